"""What differs between the images of one person: pose, expression, light, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facemodels.data.sample.canvas import Array, f32


@dataclass(frozen=True)
class Pose:
    """The pose of the head.

    Attributes:
        roll: rotation in the image, clockwise; radians.
        yaw: rotation to the side; radians.
        pitch: rotation up or down; radians.
        aspect: factor on the width.
    """

    roll: float
    yaw: float
    pitch: float
    aspect: float


@dataclass(frozen=True)
class Expression:
    """The expression of the face.

    Attributes:
        smile: -0.6 (frown) to 1.2.
        mouth_open: 0 is closed, 1 is wide open.
        lids: opening of the eyes as a factor, 0.35..1.3.
        brow_raise: height by which the brows are raised; face units.
        gaze: x and y of the iris; 1 is the corner of the eye.
    """

    smile: float
    mouth_open: float
    lids: float
    brow_raise: float
    gaze: tuple[float, float]


@dataclass(frozen=True)
class Light:
    """One lamp and the ambient light.

    Attributes:
        direction: unit vector (3,) to the lamp; x points right, y down, z to the camera.
        ambient: light that comes from everywhere, 0..1.
        gain: factor of the exposure.
        tint: (3,) factor on red, green and blue.
        gradient: relative difference of brightness between the right side and the middle.
    """

    direction: Array
    ambient: float
    gain: float
    tint: Array
    gradient: float


@dataclass(frozen=True)
class Camera:
    """The camera's blur (sigma in pixels of a 112 px crop) and noise (sigma in grey levels)."""

    blur: float
    noise: float


@dataclass(frozen=True)
class Nuisance:
    """Everything that differs in one image; `texture_seed` is the seed of the clothes' texture."""

    pose: Pose
    expression: Expression
    light: Light
    camera: Camera
    is_occluded: bool
    cloth: Array
    has_stripes: bool
    texture_seed: int


def sample_nuisance(rng: np.random.Generator) -> Nuisance:
    """Draw the nuisance of one image."""
    return Nuisance(
        pose=_sample_pose(rng),
        expression=_sample_expression(rng),
        light=_sample_light(rng),
        camera=Camera(blur=max(0.0, _normal(rng, 0.3, 0.5)), noise=abs(_normal(rng, 0, 4))),
        is_occluded=bool(rng.random() < 0.10),
        cloth=f32(rng.uniform(20, 230, 3)),
        has_stripes=bool(rng.random() < 0.2),
        texture_seed=int(rng.integers(2**31)),
    )


def _normal(rng: np.random.Generator, mean: float, sigma: float) -> float:
    return float(rng.normal(mean, sigma))


def _clipped_normal(
    rng: np.random.Generator, mean: float, sigma: float, low: float, high: float
) -> float:
    return min(max(_normal(rng, mean, sigma), low), high)


def _degrees(rng: np.random.Generator, sigma: float, limit: float) -> float:
    return float(np.deg2rad(_clipped_normal(rng, 0, sigma, -limit, limit)))


def _sample_pose(rng: np.random.Generator) -> Pose:
    return Pose(
        roll=_degrees(rng, 9, 28),
        yaw=_degrees(rng, 11, 26),
        pitch=_degrees(rng, 5, 12),
        aspect=_clipped_normal(rng, 1, 0.02, 0.94, 1.06),
    )


def _sample_expression(rng: np.random.Generator) -> Expression:
    return Expression(
        smile=_clipped_normal(rng, 0.2, 0.45, -0.6, 1.2),
        mouth_open=max(0.0, _normal(rng, -0.1, 0.35)),
        lids=_clipped_normal(rng, 1, 0.16, 0.35, 1.3),
        brow_raise=_normal(rng, 0, 0.025),
        gaze=(_normal(rng, 0, 0.25), _normal(rng, 0, 0.12)),
    )


def _sample_light(rng: np.random.Generator) -> Light:
    lamp = f32([_normal(rng, 0, 0.45), _normal(rng, -0.45, 0.25), 1.0])
    return Light(
        direction=f32(lamp / np.linalg.norm(lamp)),
        ambient=float(rng.uniform(0.38, 0.62)),
        gain=float(rng.uniform(0.75, 1.15)),
        tint=f32(rng.uniform(0.92, 1.08, 3)),
        gradient=_normal(rng, 0, 0.18),
    )
