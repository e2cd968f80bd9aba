"""The endpoints of `/api`: detect, landmarks, embed, verify, and what model answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray

from facemodels.detection.task import Detections
from facemodels.imaging import Photo
from facemodels.routes import ABILITIES, ABILITY, INFO
from facemodels.serving.api import boxes, documents
from facemodels.serving.api.gallery_endpoints import GalleryChanges, add_galleries
from facemodels.serving.api.images import Upload
from facemodels.serving.api.photos import answer_photos, uploaded
from facemodels.serving.api.points import read_points
from facemodels.serving.api.reliability import reliability, require_contrast
from facemodels.serving.api.system import SystemAnswers, number, size
from facemodels.serving.engine.inference import Engine
from facemodels.serving.galleries import ServedGalleries
from facemodels.serving.http.bodies import json_response, read_body
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.openapi import add_endpoint
from facemodels.serving.metrics import Metrics

Answer = Callable[[list[Photo], Mapping[str, str]], dict[str, Any]]
# The threshold of a task if a package has none. Detection: YOLO's own default.
_THRESHOLDS: Mapping[str, float] = {"detection": 0.25, "recognition": 0.5}


@dataclass(frozen=True)
class ApiRequest:
    """A request for a prediction.

    Attributes:
        content_type: the `Content-Type` header.
        body: the whole body.
        query: the parameters of the query; of several with one name the last.
    """

    content_type: str
    body: bytes
    query: Mapping[str, str]


class Api:
    """Answers the requests of `/api` with one engine.

    Args:
        engine: the engine that predicts.
        about: gives the fields that the registry has for the version now. A field that it does
            not give is taken from the package.
        system: answers for a system; None for any other model.
    """

    def __init__(
        self,
        engine: Engine,
        about: Callable[[], Mapping[str, Any]] = dict,
        system: SystemAnswers | None = None,
    ) -> None:
        self._engine = engine
        self._about = about
        self._system = system
        self._since = time.monotonic()
        self._answers = self._answers_of(system)
        self._reliability = reliability(engine.package)

    def _answers_of(self, system: SystemAnswers | None) -> Mapping[str, Answer]:
        """What answers each ability."""
        if system is not None:
            return {"faces": system.faces, "verify": system.verify, "identify": system.identify}
        return {
            "detect": self._detect,
            "landmarks": self._landmarks,
            "embed": self._embed,
            "verify": self._verify,
        }

    @property
    def abilities(self) -> tuple[str, ...]:
        """The abilities of this model."""
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
            **self._about(),
            "task": package.task,
            "variant": package.id.variant,
            "architecture": metadata["architecture"],
            "threshold": package.config.get("threshold", _THRESHOLDS.get(package.task)),
            "embedding_space": metadata["embedding_space"],
            "package_digest": f"sha256:{package.digest}",
            "known_issues": self._reliability["known_issues"],
            "reliability": self._reliability,
            "uptime_seconds": round(time.monotonic() - self._since, 3),
        }

    async def predict(self, ability: str, request: ApiRequest) -> dict[str, Any]:
        """Answer one request for a prediction.

        Raises:
            RequestError: 404 if the model has not this ability; 400, 413, 415 or 422 if the
                request is wrong.
        """
        if ability not in self.abilities:
            raise RequestError(
                404, "not_of_this_model",
                f"A model of {self._engine.package.task} answers {', '.join(self.abilities)}.",
            )  # fmt: skip
        upload = await uploaded(self._engine, request.content_type, request.body)
        _check_count(ability, upload)
        answer = self._answers[ability]
        # The graph runs in the batcher's thread, everything else in a thread of the pool.
        body = await answer_photos(
            self._engine, upload, lambda photos: answer(photos, request.query)
        )
        package = self._engine.package
        return {
            "model_name": str(package.id.name),
            "model_version": str(package.id.version),
            **body,
            "reliability": self._reliability,
        }

    @property
    def reliability(self) -> dict[str, Any]:
        """What every answer says of itself; see `reliability.reliability`."""
        return self._reliability

    def logged(self, ability: str, query: Mapping[str, str]) -> dict[str, str]:
        """What the log says of a request, beside its address: which gallery is searched."""
        if ability == "identify" and self._system is not None:
            return self._system.logged(query)
        return {}

    def _threshold(self, query: Mapping[str, str]) -> float:
        """The threshold of the query, else the package's, else the task's."""
        package = self._engine.package
        own = package.config.get("threshold")
        return number(query, "threshold", _THRESHOLDS[package.task] if own is None else own, -1, 1)

    def _detect(self, photos: list[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        threshold = self._threshold(query)
        images = [photo.pixels for photo in photos]
        results = []
        for photo, found in zip(photos, self._engine.predictor.detect(images), strict=True):
            results.append({**size(photo), "faces": _faces(photo, found, threshold)})
        return {"threshold": threshold, "results": results}

    def _landmarks(self, photos: list[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        faces = np.array([boxes.of_query(query, photo.size) for photo in photos], np.float32)
        here = [photo.boxes_here(box) for photo, box in zip(photos, faces, strict=True)]
        points = self._engine.predictor.fit([photo.pixels for photo in photos], np.stack(here))
        return {
            "results": [
                {**size(photo), "box": box, "points": photo.points_of_file(one)}
                for photo, box, one in zip(photos, faces, points, strict=True)
            ]
        }

    def _embed(self, photos: list[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        vectors = self._vectors(photos, query)
        space = self._engine.package.metadata["embedding_space"]
        return {"embedding_space": space, "results": [{"embedding": v} for v in vectors]}

    def _vectors(self, photos: list[Photo], query: Mapping[str, str]) -> NDArray[np.float32]:
        """Unit embeddings (N, D) of crops, or of photos with the points of a face."""
        text, predictor = query.get("points"), self._engine.predictor
        images = [photo.pixels for photo in photos]
        require_contrast(images)
        if text is None:
            crops: NDArray[np.float32] = predictor.embed(images)
            return crops
        crop = self._engine.package.config["preprocessing"].get("crop", {})
        if crop.get("kind") != "points":
            raise RequestError(
                400, "no_points", "This model takes face crops, and no points of a face."
            )
        points = read_points(text, [photo.size for photo in photos])
        here = [photo.points_here(one) for photo, one in zip(photos, points, strict=True)]
        found: NDArray[np.float32] = predictor.embed(images, here)
        return found

    def _verify(self, photos: list[Photo], query: Mapping[str, str]) -> dict[str, Any]:
        threshold = self._threshold(query)
        one, other = self._vectors(photos, query)
        similarity = float(np.dot(one, other))
        return {
            "similarity": similarity,
            "threshold": threshold,
            "same_person": similarity >= threshold,
        }


def _faces(photo: Photo, found: Detections, threshold: float) -> list[dict[str, Any]]:
    """The faces that score at least `threshold`, with points where the model gives them."""
    columns = {"box": photo.boxes_of_file(found.boxes), "score": found.scores}
    if found.points is not None:
        columns["points"] = photo.points_of_file(found.points)
    return [
        {name: values[row] for name, values in columns.items()}
        for row in np.flatnonzero(found.scores >= threshold)
    ]


def add_api(
    app: FastAPI, engine: Engine, about: Callable[[], Mapping[str, Any]], metrics: Metrics, *,
    secured: bool, galleries: ServedGalleries | None = None,
) -> Api:  # fmt: skip
    """Add the endpoints of `/api` to an application.

    Args:
        app: the application.
        engine: the engine that predicts.
        about: see `Api`.
        metrics: where the sizes of requests are counted.
        secured: whether the server asks for tokens.
        galleries: of a system; None for any other model.

    Returns:
        What answers the requests.
    """
    system = SystemAnswers(galleries) if galleries is not None else None
    api = Api(engine, about, system)
    package = engine.package
    model, version = str(package.id.name), str(package.id.version)

    async def info() -> Response:
        return json_response(api.info())

    closed = secured and "info" not in engine.settings.open
    add_endpoint(app, INFO, info, documents.info(secured=closed))
    names = tuple(galleries.folders) if galleries is not None else ()
    for ability in api.abilities:
        documented = documents.ability(
            ability, task=package.task, model=model, version=version, secured=secured,
            galleries=names, trusted=api.reliability,
        )  # fmt: skip
        add_endpoint(app, ABILITY, _predict(api, ability, metrics), documented, ability=ability)
    if galleries is not None and system is not None:
        changes = GalleryChanges(galleries, system)
        add_galleries(app, engine, changes, metrics, secured=secured)
    return api


def _predict(api: Api, ability: str, metrics: Metrics) -> Callable[[Request], Any]:
    async def predict(request: Request) -> Response:
        body = await read_body(request)
        metrics.request_size.observe(len(body))
        content_type = request.headers.get("content-type", "")
        given = ApiRequest(content_type, body, dict(request.query_params))
        request.state.logged = api.logged(ability, given.query)
        answer = await api.predict(ability, given)
        request.state.decided = answer.get("same_person")
        return json_response(answer)

    predict.__name__ = ability  # FastAPI makes the operation's id from it
    return predict


def _check_count(ability: str, upload: Upload) -> None:
    """Raise before anything is decoded if the number of images is wrong."""
    if ability == "verify" and len(upload.data) != 2:
        raise RequestError(
            400, "two_images", f"Send two images to compare, not {len(upload.data)}."
        )
