"""The face as a surface: its height towards the camera, and the light on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from facemodels.data.sample.canvas import (
    ABS_X,
    PIXELS_PER_UNIT,
    Array,
    X,
    Y,
    blur,
    bump,
    f32,
    gaussian,
    soft_step,
)
from facemodels.data.sample.geometry import outline
from facemodels.data.sample.identity import Eyes, Head, Identity, Nose
from facemodels.data.sample.nuisance import Expression, Light

_STEEPEST = 2.0  # slopes beyond this are the silhouette, not the face
_OCCLUSION_DEPTH = 0.15  # face units below the surroundings that count as fully hidden
_SHININESS_DOUBLINGS = 5  # the highlight is a cosine to the power 2⁵


@dataclass(frozen=True)
class Shading:
    """The light on the face, as planes of the canvas.

    Attributes:
        diffuse: cosine of the angle to the lamp, 0..1.
        irradiance: factor on the albedo.
        highlight: gloss to add, as a share of white, 0..1.
    """

    diffuse: Array
    irradiance: Array
    highlight: Array


def height_field(identity: Identity, expression: Expression) -> Array:
    """Height of the face towards the camera in face units, a plane of the canvas."""
    parts = (
        _dome(identity.head),
        _nose(identity.nose, identity.eyes),
        _brow_ridge_and_sockets(identity),
        _cheeks(expression),
        _lips_and_chin(identity),
    )
    return f32(sum(parts[1:], start=parts[0]))


def shade(height: Array, light: Light) -> Shading:
    """Light a surface by Lambert's law, Blinn's highlight and a darkening of hollows."""
    surface = blur(height, 0.025 * PIXELS_PER_UNIT)
    slope_x, slope_y = _slope(surface, 1, 0), _slope(surface, 0, 1)
    length = np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)

    def cosine(direction: Array) -> Array:
        x, y, z = (float(value) for value in direction)
        return f32(np.clip((z - slope_x * x - slope_y * y) / length, 0, 1))

    halfway = light.direction + f32([0, 0, 1])
    highlight = cosine(f32(halfway / np.linalg.norm(halfway)))
    for _ in range(_SHININESS_DOUBLINGS):
        highlight = f32(highlight * highlight)
    diffuse = cosine(light.direction)
    depth = np.clip(blur(height, 0.12 * PIXELS_PER_UNIT) - height, 0, _OCCLUSION_DEPTH)
    exposure = light.ambient + (1.08 - light.ambient) * diffuse
    return Shading(
        diffuse=diffuse,
        irradiance=f32(exposure * (1 - 0.22 / _OCCLUSION_DEPTH * depth)),
        highlight=f32(0.13 * highlight),
    )


def flat_irradiance(light: Light) -> Array:
    """Light on neck and ears, which have no relief: a row (1, R), brighter on the lamp's side."""
    side = np.clip(2 * X * float(light.direction[0]), -1, 1)
    return f32(0.62 + 0.38 * light.ambient + 0.10 * side)


def _slope(surface: Array, dx: int, dy: int) -> Array:
    raw = cast(Array, cv2.Sobel(surface, cv2.CV_32F, dx, dy, scale=PIXELS_PER_UNIT / 8))
    return f32(np.clip(raw, -_STEEPEST, _STEEPEST))


def _dome(head: Head) -> Array:
    width = np.maximum(outline(head, Y), 0.05)
    across = np.clip(1 - (X / width) ** 2, 0, 1)
    along = np.clip(1 - (Y / (1.02 * head.half_height)) ** 2, 0, 1)
    return f32(0.62 * head.half_width * np.sqrt(across * along + 1e-4))


def _nose(nose: Nose, eyes: Eyes) -> Array:
    down = np.clip((Y - eyes.y) / (nose.tip_y - eyes.y), 0, 1)
    ridge = np.exp(-0.5 * (X / (nose.bridge_width + 0.05 * down)) ** 2)
    profile = nose.projection * down**1.3 * soft_step(nose.tip_y + 0.03 - Y, 0.025)
    bridge = 0.05 * bump(X, Y - eyes.y, 0.10, 0.2)
    wings = 0.5 * nose.projection * bump(ABS_X - 0.55 * nose.half_width, Y - nose.tip_y, 0.05, 0.05)
    return f32(profile * ridge + bridge + wings)


def _brow_ridge_and_sockets(identity: Identity) -> Array:
    x, y = ABS_X - identity.eyes.x, Y - identity.eyes.y
    ridge = 0.055 * bump(x, y + identity.brows.rise + 0.03, 0.20, 0.06)
    socket = 0.085 * bump(x, y, 0.17, 0.10)
    eyeball = 0.035 * bump(x, y, 0.10, 0.055)
    return f32(ridge - socket + eyeball)


def _cheeks(expression: Expression) -> Array:
    smile = max(0.0, expression.smile)
    cheek = (0.05 + 0.05 * smile) * bump(ABS_X - 0.44, Y - 0.22, 0.17, 0.17)
    fold_x = ABS_X - 0.30 - 0.18 * (Y - 0.3)
    fold = (0.02 + 0.05 * smile) * gaussian(fold_x, 0.03) * gaussian(Y - 0.42, 0.13)
    return f32(cheek - fold)


def _lips_and_chin(identity: Identity) -> Array:
    y, half_width = Y - identity.mouth.y, identity.mouth.half_width
    upper = 0.05 * bump(X, y + 0.03, 0.8 * half_width, 0.06)
    lower = 0.045 * bump(X, y - 0.07, 0.6 * half_width, 0.05)
    below = 0.03 * bump(X, y - 0.16, 0.15, 0.03)
    chin = 0.06 * bump(X, Y - 0.90 * identity.head.half_height, 0.17, 0.11)
    philtrum = 0.02 * bump(X, Y - identity.nose.tip_y - 0.12, 0.03, 0.06)
    return f32(upper + lower - below + chin - philtrum)
