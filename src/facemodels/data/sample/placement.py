"""Turns a painted face by its pose and puts it into an image, with its points and box."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facemodels.data.sample.canvas import (
    EXTENT,
    PIXELS_PER_UNIT,
    Array,
    blur,
    f32,
    noise,
    sample,
    to_pixels,
)
from facemodels.data.sample.geometry import head_contour
from facemodels.data.sample.identity import Identity, sample_identity
from facemodels.data.sample.nuisance import Light, Nuisance, Pose
from facemodels.data.sample.render import render_frontal

_TURNING_AXIS = 0.3  # depth of the axis that the head turns about; face units
_WARP_STEPS = 4  # steps of the fixed-point search for the canvas point seen at a pixel
_SHARP_SCALE = 0.8  # image pixels per canvas pixel, below which the canvas is blurred first
_TORSO_TOP = 1.17  # y of the collar, face units


@dataclass(frozen=True)
class DrawnFace:
    """A painted face in face units around its centre, before it is put into an image.

    Attributes:
        number: the number of the person.
        identity: the person.
        nuisance: pose, expression, light and camera of the image.
        rgba: (R, R, 4), 0..255, from the front.
        relief: (R, R), depth from the turning axis.
        points: (68, 2), turned by the pose.
        box: (4,), x0 y0 x1 y1 around the turned face from hairline to chin.
    """

    number: int
    identity: Identity
    nuisance: Nuisance
    rgba: Array
    relief: Array
    points: Array
    box: Array


@dataclass(frozen=True)
class FacePlacement:
    """Where a face is in an image: its centre, and the length of a face unit, in pixels."""

    x: float
    y: float
    scale: float

    def to_image(self, units: Array) -> Array:
        """Convert points (..., 2) from face units to pixels."""
        return f32(units * self.scale + f32([self.x, self.y]))

    def box(self, face: DrawnFace) -> Array:
        """The box of a face in pixels, (4,)."""
        return self.to_image(face.box.reshape(2, 2)).reshape(4)


def make_face(seed: int, number: int, nuisance: Nuisance) -> DrawnFace:
    """Paint the person `number` with the pose, expression and light of `nuisance`."""
    identity = sample_identity(seed, number)
    frontal = render_frontal(identity, nuisance)
    relief = f32(blur(frontal.height, 0.039 * PIXELS_PER_UNIT) - _TURNING_AXIS)
    points = _turn(frontal.points, relief, nuisance.pose)
    around = np.concatenate([points, _turn(head_contour(identity), relief, nuisance.pose)])
    return DrawnFace(
        number=number,
        identity=identity,
        nuisance=nuisance,
        rgba=np.dstack([frontal.colour, 255 * frontal.alpha]),
        relief=relief,
        points=points,
        box=np.concatenate([around.min(axis=0), around.max(axis=0)]),
    )


def _turn(points: Array, relief: Array, pose: Pose) -> Array:
    """Turn canvas points (N, 2) by the pose; the result is in face units of the image."""
    x, y = points[:, 0], points[:, 1]
    depth = sample(relief, x[:, None], y[:, None])[:, 0]
    turned_x = (x * np.cos(pose.yaw) + depth * np.sin(pose.yaw)) * pose.aspect
    turned_y = y * np.cos(pose.pitch) + depth * np.sin(pose.pitch)
    cos, sin = float(np.cos(pose.roll)), float(np.sin(pose.roll))
    return f32(np.stack([cos * turned_x - sin * turned_y, sin * turned_x + cos * turned_y], axis=1))


def _unturn(dx: Array, dy: Array, relief: Array, pose: Pose) -> tuple[Array, Array]:
    """Find the canvas point that is seen at each offset (H, W) from the centre.

    It is the inverse of `_turn`. The depth depends on the point that is searched, so the
    search is a fixed-point iteration.
    """
    cos, sin = float(np.cos(pose.roll)), float(np.sin(pose.roll))
    flat_x, flat_y = f32((cos * dx + sin * dy) / pose.aspect), f32(cos * dy - sin * dx)
    x, y = flat_x, flat_y
    for _ in range(_WARP_STEPS):
        depth = sample(relief, x, y)
        x = f32((flat_x - depth * float(np.sin(pose.yaw))) * float(1 / np.cos(pose.yaw)))
        y = f32((flat_y - depth * float(np.sin(pose.pitch))) * float(1 / np.cos(pose.pitch)))
    return x, y


def paint_head(image: Array, face: DrawnFace, place: FacePlacement) -> None:
    """Paint head and neck into `image` (H, W, 3), in place."""
    pose, light = face.nuisance.pose, face.nuisance.light
    reach = (EXTENT + 0.2) * (abs(np.cos(pose.roll)) + abs(np.sin(pose.roll)))
    rows, columns = _region(image, place, -reach, reach)
    dx = f32((np.arange(columns.start, columns.stop)[None, :] - place.x) / place.scale)
    dy = f32((np.arange(rows.start, rows.stop)[:, None] - place.y) / place.scale)
    x, y = _unturn(dx, dy, face.relief, pose)
    rgba = cv2.remap(
        _minified(face.rgba, place.scale / PIXELS_PER_UNIT),
        to_pixels(x),
        to_pixels(y),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )
    alpha = rgba[..., 3:] * np.float32(1 / 255)
    gradient = 1 + light.gradient * np.clip(dx, -1, 1)
    colour = np.clip(rgba[..., :3] * (light.gain * light.tint) * gradient[..., None], 0, 255)
    image[rows, columns] += (colour - image[rows, columns]) * alpha


def _minified(rgba: Array, scale: float) -> Array:
    """`rgba`, blurred against aliasing if it will be drawn at a small `scale`."""
    return blur(rgba, 0.45 / max(scale, 0.12)) if scale < _SHARP_SCALE else rgba


def _region(image: Array, place: FacePlacement, top: float, reach: float) -> tuple[slice, slice]:
    """Rows and columns of `image` within `reach` face units of the face, rows from `top`."""
    height, width = image.shape[:2]
    y0, y1 = place.y + top * place.scale, place.y + reach * place.scale
    x0, x1 = place.x - reach * place.scale, place.x + reach * place.scale
    rows = slice(min(max(0, int(y0)), height), min(max(0, int(y1) + 2), height))
    return rows, slice(min(max(0, int(x0)), width), min(max(0, int(x1) + 2), width))


def paint_torso(image: Array, face: DrawnFace, place: FacePlacement) -> None:
    """Paint a clothed body down to the lower edge of `image`, in place.

    The body is upright; only its neck follows the roll of the head.
    """
    half_width = face.identity.head.shoulder_half_width
    roll = face.nuisance.pose.roll
    collar = place.to_image(f32([-np.sin(roll), np.cos(roll)]) * _TORSO_TOP)
    centre = FacePlacement(float(collar[0]), float(collar[1]), place.scale)
    rows = slice(min(max(0, int(centre.y - 0.1 * place.scale)), len(image)), len(image))
    columns = _region(image, centre, 0, 1.2 * half_width)[1]
    height, width = rows.stop - rows.start, columns.stop - columns.start
    if height < 1 or width < 1:
        return
    shape = centre.to_image(_torso_outline(half_width, len(image) / place.scale))
    mask = _filled(f32(shape - f32([columns.start, rows.start])), height, width)
    dx = f32((np.arange(columns.start, columns.stop)[None, :] - centre.x) / place.scale)
    dy = f32((np.arange(rows.start, rows.stop)[:, None] - centre.y) / place.scale)
    colour = _cloth(face.nuisance, dx / np.float32(half_width), dy)
    image[rows, columns] += (colour - image[rows, columns]) * mask[..., None]


def _torso_outline(half_width: float, length: float) -> Array:
    """Closed outline (N, 2) of the shoulders and the body; the origin is the collar."""
    along = np.linspace(-1, 1, 81, dtype=np.float32)
    drop = 0.42 * np.abs(along) ** 1.5 + 0.55 * np.abs(along) ** 9
    top = np.stack([along * half_width, drop], axis=1)
    bottom = f32([[1.12 * half_width, length], [-1.12 * half_width, length]])
    return np.concatenate([top, bottom])


def _filled(outline: Array, height: int, width: int) -> Array:
    mask: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    fixed = np.round(outline * 16).astype(np.int32)
    cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, 4)
    return blur(f32(mask * np.float32(1 / 255)), 0.7)


def _cloth(nuisance: Nuisance, across: Array, down: Array) -> Array:
    """Lit cloth (H, W, 3), 0..255; `across` (1, W) is 1 at the shoulder, `down` (H, 1)."""
    rng = np.random.default_rng(nuisance.texture_seed)
    size = max(len(down), across.size)
    folds = 0.07 * noise(rng, size, 7) + 0.04 * noise(rng, size, 24)
    pattern = 1 + folds[: len(down), : across.size]
    if nuisance.has_stripes:
        pattern = pattern + 0.16 * np.sign(np.sin(down * 14))
    return f32(
        np.clip(
            nuisance.cloth
            * (pattern * _cloth_light(nuisance.light, across, down))[..., None]
            * (nuisance.light.gain * nuisance.light.tint),
            0,
            255,
        )
    )


def _cloth_light(light: Light, across: Array, down: Array) -> Array:
    """The light on the clothes: the sides are darker, and the head shades the collar."""
    lamp = float(light.direction[0])
    level = 0.66 + 0.34 * light.ambient + 0.22 * lamp * np.clip(across, -1, 1)
    shadow = 0.25 * np.exp(-((across * 3) ** 2) - (down * 2.5) ** 2)
    return cast(Array, level * (1 - 0.25 * np.minimum(np.abs(across), 1.1) ** 4) * (1 - shadow))
