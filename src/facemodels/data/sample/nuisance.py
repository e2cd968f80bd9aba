"""What changes from picture to picture of one person: pose, expression, light, camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facemodels.data.sample.canvas import Array, f32


@dataclass(frozen=True)
class Pose:
    """Angles in radians (roll turns clockwise in the image); `aspect` stretches the width."""

    roll: float
    yaw: float
    pitch: float
    aspect: float


@dataclass(frozen=True)
class Expression:
    """The muscles.

    Attributes:
        smile: -0.6 (frown) to 1.2.
        mouth_open: 0 is closed, about 1 wide open.
        lids: opening of the eyes as a factor, 0.35..1.3.
        brow_raise: in face units.
        gaze: x and y of the iris, 1 is the corner of the eye.
    """

    smile: float
    mouth_open: float
    lids: float
    brow_raise: float
    gaze: tuple[float, float]


@dataclass(frozen=True)
class Light:
    """One lamp and what is around it.

    Attributes:
        direction: unit vector (3,) to the lamp; x right, y down, z to the camera.
        ambient: light that comes from everywhere, 0..1.
        gain: exposure.
        tint: (3,) factor on red, green and blue.
        gradient: how much brighter the right side of the face is than its middle.
    """

    direction: Array
    ambient: float
    gain: float
    tint: Array
    gradient: float


@dataclass(frozen=True)
class Camera:
    """Blur as a sigma in pixels of a 112 px crop; noise as a sigma in grey levels."""

    blur: float
    noise: float


@dataclass(frozen=True)
class Nuisance:
    """One picture's circumstances; `texture_seed` is for its clothes' fine texture."""

    pose: Pose
    expression: Expression
    light: Light
    camera: Camera
    is_occluded: bool
    cloth: Array
    has_stripes: bool
    texture_seed: int


def sample_nuisance(rng: np.random.Generator) -> Nuisance:
    """Draw the circumstances of one picture."""
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
