"""The crops of faces that recognition models take: which part of a photo, at which size.

The same weights reach 96 or 99 % on LFW depending on the crop alone (facenet-pytorch#120). So
a crop has a name, a package states it, and prepare, validate, benchmark and the server all cut
it here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import InputError
from facemodels.imaging.align import similarity, warp
from facemodels.imaging.arrays import as_rgb
from facemodels.imaging.geometry import crop, resize

Kind = Literal["points", "box", "centre"]


@dataclass(frozen=True)
class Crop:
    """One way to cut a face out of a photo into a square.

    Attributes:
        name: for example `arcface112`; config.yaml of a package states it.
        kind: `points` brings five points to those of the template; `box` cuts the face's box
            with a margin; `centre` cuts the middle of the image and asks for no face.
        size: side of the crop in pixels.
        template: of `points`: five points in pixels of the crop, centres frame.
        margin: of `box`: pixels of the crop that lie beside the box, both sides together.
        fraction: of `centre`: share of the shorter side that the square has.
    """

    name: str
    kind: Kind
    size: int
    template: tuple[tuple[float, float], ...] = ()
    margin: float = 0.0
    fraction: float = 1.0

    def cut(
        self,
        image: NDArray[np.uint8],
        points: NDArray[np.floating[Any]] | None = None,
        box: Sequence[float] | NDArray[np.floating[Any]] | None = None,
    ) -> NDArray[np.uint8]:
        """Cut a face out: uint8 (size, size, 3), RGB, black outside of the image.

        Args:
            image: uint8 (H, W, 3), a photo.
            points: (5, 2), centres frame, see `imaging.align`; `points` needs them.
            box: x0 y0 x1 y1, edges frame; `box` needs it.

        Without what its kind needs, the image is taken for a crop that was made elsewhere,
        and only resized.

        Raises:
            ImageError: the image, its points or its box cannot be used.
        """
        if self.kind == "points" and points is not None:
            return warp(as_rgb(image), similarity(points, self.template), self.size)
        if self.kind == "box" and box is not None:
            return crop(image, self._with_margin(box), self.size)
        if self.kind == "centre":
            return crop(image, self._centre(image), self.size)
        return resize(image, self.size, self.size)

    def _with_margin(self, box: Sequence[float] | NDArray[np.floating[Any]]) -> list[float]:
        x0, y0, x1, y1 = (float(value) for value in box)
        share = self.margin / (self.size - self.margin) / 2
        wide, high = (x1 - x0) * share, (y1 - y0) * share
        return [x0 - wide, y0 - high, x1 + wide, y1 + high]

    def _centre(self, image: NDArray[np.uint8]) -> list[float]:
        height, width = image.shape[:2]
        side = min(height, width) * self.fraction
        x0, y0 = (width - side) / 2, (height - side) / 2
        return [x0, y0, x0 + side, y0 + side]

    def as_config(self) -> dict[str, Any]:
        """The crop's values for config.yaml of a package."""
        values: dict[str, Any] = {"name": self.name, "kind": self.kind, "size": self.size}
        if self.kind == "points":
            values["template"] = [list(point) for point in self.template]
        if self.kind == "box":
            values["margin"] = self.margin
        if self.kind == "centre":
            values["fraction"] = self.fraction
        return values | {"interpolation": "bilinear, reduced first where it shrinks"}

    @classmethod
    def of_config(cls, values: Mapping[str, Any]) -> Crop:
        """Read the values of config.yaml; the package says the crop, not this version of us."""
        return cls(
            values["name"],
            values["kind"],
            values["size"],
            template=tuple((x, y) for x, y in values.get("template", ())),
            margin=values.get("margin", 0.0),
            fraction=values.get("fraction", 1.0),
        )


# InsightFace's face_align, which ArcFace's published models take.
_ARCFACE = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
    (70.7299, 92.2041),
)  # fmt: skip
# MTCNN's points in dlib's chip (150 px, padding 0.25): the median over 200 people of LFW's
# View 1.
_DLIB = ((48.30, 46.68), (103.18, 46.40), (75.70, 79.42), (51.89, 106.34), (99.65, 106.36))

CROPS: Mapping[str, Crop] = {
    one.name: one
    for one in (
        Crop("arcface112", "points", 112, template=_ARCFACE),
        Crop("dlib150", "points", 150, template=_DLIB),
        # facenet-pytorch's evaluation on LFW: MTCNN's box with a margin of 14 of 160 pixels.
        Crop("facenet160", "box", 160, margin=14.0),
        Crop("centre112", "centre", 112, fraction=0.5),
    )
}


def crop_named(name: str) -> Crop:
    """Find a crop by its name.

    Raises:
        InputError: there is none of that name.
    """
    if name not in CROPS:
        raise InputError(f"there is no crop {name!r}.", f"Use one of {', '.join(CROPS)}.")
    return CROPS[name]
