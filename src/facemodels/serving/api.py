"""`/api`: detect, landmarks, embed, verify, and what model this is."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.serving.engine import Engine
from facemodels.serving.images import decode_all, read_upload
from facemodels.serving.problems import RequestError

Image = NDArray[np.uint8]
# task → what its models can do
ABILITIES: Mapping[str, tuple[str, ...]] = {
    "detection": ("detect",),
    "recognition": ("embed", "verify"),
    "landmarks": ("landmarks",),
}
_DETECTION_THRESHOLD = 0.25  # where a package has none; YOLO's own default


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        content_type: of the body.
        body: the whole of it, within the limit.
        query: parameters of the address; the last of a name counts.
    """

    content_type: str
    body: bytes
    query: Mapping[str, str]


class Api:
    """Answers requests with one engine.

    Args:
        engine: what predicts.
        entry: what the registry says of the version; fields of the package where it says none.
    """

    def __init__(self, engine: Engine, entry: Mapping[str, Any] | None = None) -> None:
        self._engine = engine
        self._entry = dict(entry or {})
        self._since = time.monotonic()

    @property
    def abilities(self) -> tuple[str, ...]:
        """What this model can do."""
        return ABILITIES[self._engine.package.task]

    def info(self) -> dict[str, Any]:
        """The registry's fields of the version that answers, its digest, and its uptime."""
        package = self._engine.package
        metadata = package.metadata
        own = {
            "model_id": str(package.id),
            "name": str(package.id.name),
            "version": str(package.id.version),
            "status": None,
            "created_at": metadata["created_at"],
            "deployed_at": None,
            "storage_path": None,
            "metrics": dict(metadata["accuracy_metrics"]),
            "tags": [],
            "parent_version": metadata["parent_version"],
            "changelog": metadata["changelog"],
        }
        return {
            **own,
            **self._entry,
            "task": package.task,
            "variant": package.id.variant,
            "architecture": metadata["architecture"],
            "threshold": package.config.get("threshold"),
            "embedding_space": metadata["embedding_space"],
            "package_digest": f"sha256:{package.digest}",
            "uptime_seconds": round(time.monotonic() - self._since, 3),
        }

    async def predict(self, ability: str, asked: Asked) -> dict[str, Any]:
        """Answer one request.

        Raises:
            RequestError: the model cannot do that, or the request is wrong.
        """
        if ability not in self.abilities:
            raise RequestError(
                404, "not_of_this_model",
                f"A model of {self._engine.package.task} answers {', '.join(self.abilities)}.",
            )  # fmt: skip
        limits = self._engine.settings.limits
        upload = read_upload(asked.content_type, asked.body, limits)
        answer = getattr(self, f"_{ability}")
        # The graph runs in the batcher's thread; decoding and the rest in one of the pool's.
        body: dict[str, Any] = await self._engine.work(
            lambda: answer(decode_all(upload, limits), asked.query)
        )
        package = self._engine.package
        return {
            "model_name": str(package.id.name),
            "model_version": str(package.id.version),
            **body,
        }

    def _detect(self, images: list[Image], query: Mapping[str, str]) -> dict[str, Any]:
        own = self._engine.package.config.get("threshold") or _DETECTION_THRESHOLD
        threshold = _number(query, "threshold", own)
        results = []
        for image, found in zip(images, self._engine.predictor.detect(images), strict=True):
            faces = [
                {"box": _floats(box), "score": float(score)}
                for box, score in zip(found.boxes, found.scores, strict=True)
                if score >= threshold
            ]
            results.append({**_size(image), "faces": faces})
        return {"threshold": threshold, "results": results}

    def _landmarks(self, images: list[Image], query: Mapping[str, str]) -> dict[str, Any]:
        boxes = np.array([_box(query, image) for image in images], np.float32)
        points = self._engine.predictor.fit(images, boxes)
        return {
            "results": [
                {**_size(image), "box": _floats(box), "points": [_floats(xy) for xy in one]}
                for image, box, one in zip(images, boxes, points, strict=True)
            ]
        }

    def _embed(self, images: list[Image], query: Mapping[str, str]) -> dict[str, Any]:
        vectors = self._engine.predictor.embed(images)
        space = self._engine.package.metadata["embedding_space"]
        return {"embedding_space": space, "results": [{"embedding": _floats(v)} for v in vectors]}

    def _verify(self, images: list[Image], query: Mapping[str, str]) -> dict[str, Any]:
        if len(images) != 2:
            raise RequestError(400, "two_images", f"Send two images to compare, not {len(images)}.")
        own = self._engine.package.config.get("threshold", 0.5)
        threshold = _number(query, "threshold", own)
        one, other = self._engine.predictor.embed(images)
        similarity = float(np.dot(one, other))
        return {
            "similarity": similarity,
            "threshold": threshold,
            "same_person": similarity >= threshold,
        }


def _floats(values: NDArray[np.float32]) -> list[float]:
    listed: list[float] = np.asarray(values, np.float64).tolist()
    return listed


def _size(image: Image) -> dict[str, int]:
    return {"width": image.shape[1], "height": image.shape[0]}


def _number(query: Mapping[str, str], name: str, default: float) -> float:
    text = query.get(name)
    if text is None:
        return float(default)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not -1 <= value <= 1:
        raise RequestError(400, "wrong_parameter", f"{name} is a number from -1 to 1.")
    return value


def _box(query: Mapping[str, str], image: Image) -> list[float]:
    """The face's box, x0 y0 x1 y1 in pixels; the whole image where none is given."""
    text = query.get("box")
    height, width = image.shape[:2]
    if text is None:
        return [0.0, 0.0, float(width), float(height)]
    try:
        box = [float(part) for part in text.split(",")]
    except ValueError:
        box = []
    reach = 2 * max(width, height)
    inside = len(box) == 4 and all(-reach <= value <= reach + max(width, height) for value in box)
    if not inside or box[2] <= box[0] or box[3] <= box[1]:
        raise RequestError(400, "wrong_parameter", "box is x0,y0,x1,y1 in pixels, near the image.")
    return box
