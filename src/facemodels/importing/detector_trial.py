"""Tries the preprocessing that an importer states for a detector, as `alternatives` does for faces.

The figure is AP at IoU 0.5 to 0.95 on the scenes of `val`; scenes are resampled. The truth of these
scenes has no points, so a mirrored picture or swapped points are not looked for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemodels.data.splits import DetectionSplit
from facemodels.detection import coco, metrics
from facemodels.detection.decodes.heads import HeadDetector, PictureInput
from facemodels.evaluate import bootstrap
from facemodels.importing.alternatives import ERROR, LESS_ERROR, RESAMPLES, same_scaling, scalings
from facemodels.progress import progress

_SEED = 1
_SCENES = 60  # most; a way takes as many runs


@dataclass(frozen=True)
class TriedPicture:
    """One way to turn a picture into an input, and its figure beside the stated one.

    Attributes:
        name: what differs from the stated way.
        picture: the way.
        ap: AP at IoU 0.5 to 0.95, 0..1.
        stated: the figure of the stated way.
        low: end of the interval of `ap - stated`; 0 for the stated way itself.
        high: likewise.
        better: whether it is clearly better than the stated one.
    """

    name: str
    picture: PictureInput
    ap: float
    stated: float
    low: float
    high: float
    better: bool

    def as_json(self) -> dict[str, Any]:
        """Return the name, the figures and the verdict."""
        figures = {"ap50_95": self.ap, "low": self.low, "high": self.high}
        rounded = {name: round(value, 6) for name, value in figures.items()}
        return {"way": self.name, **rounded, "better": self.better}


def try_pictures(detector: HeadDetector, data: Path) -> list[TriedPicture]:
    """Find the faces of the scenes in the stated way and in others; the stated one is first.

    Args:
        detector: the detector in the stated way.
        data: the prepared folder, of which `val` is looked at.
    """
    split = DetectionSplit.load(data / "val")
    ways = _ways(detector.picture)
    confidence = 1 - ERROR / len(ways)
    scenes = min(len(split), _SCENES)
    with progress("try preprocessing", scenes * (1 + len(ways))) as advance:

        def matches(picture: PictureInput) -> metrics.Matches:
            model = replace(detector, picture=picture)
            found = []
            for image in split.images[:scenes]:
                found += model.detect([image])
                advance(1)
            truths = [split.boxes_of(index) for index in range(scenes)]
            groups = [split.box_group[split.box_image == index] for index in range(scenes)]
            boxes, scores = [one.boxes for one in found], [one.scores for one in found]
            return coco.match(boxes, scores, truths, groups)

        base = matches(detector.picture)
        stated = metrics.ap50_95(base)
        tried = [
            TriedPicture("as stated", detector.picture, stated, stated, 0.0, 0.0, better=False)
        ]
        tried += [
            _compared(name, picture, matches(picture), base, confidence) for name, picture in ways
        ]
    return tried


def best(tried: list[TriedPicture]) -> TriedPicture | None:
    """The best of the ways that are clearly better than the stated one; None if none is."""
    return max((one for one in tried if one.better), key=lambda one: one.ap, default=None)


def _ways(stated: PictureInput) -> list[tuple[str, PictureInput]]:
    """The ways that differ from the stated one in a single property."""
    other = "BGR" if stated.color == "RGB" else "RGB"
    swapped = {"color": other, "mean": stated.mean[::-1], "scale": stated.scale[::-1]}
    ways = [(f"colour {other}", stated.model_copy(update=swapped))]
    for name, (mean, scale) in scalings(stated.color).items():
        if not same_scaling((stated.mean, stated.scale), (mean, scale)):
            each = scale if isinstance(scale, tuple) else (scale, scale, scale)
            changed = stated.model_copy(update={"mean": mean, "scale": each})
            ways.append((f"scaling {name}", changed))
    return ways


def _compared(
    name: str,
    picture: PictureInput,
    found: metrics.Matches,
    base: metrics.Matches,
    confidence: float,
) -> TriedPicture:
    def score(matches: metrics.Matches, images: NDArray[np.intp]) -> float:
        return metrics.ap50_95(matches, images=images)

    difference = bootstrap.paired_difference(
        partial(score, found),
        partial(score, base),
        base.n_images,
        resamples=RESAMPLES,
        seed=_SEED,
        confidence=confidence,
    )
    ap, stated = metrics.ap50_95(found), metrics.ap50_95(base)
    better = difference.low > 0 and 1 - ap <= (1 - LESS_ERROR) * (1 - stated)
    return TriedPicture(name, picture, ap, stated, difference.low, difference.high, better=better)
