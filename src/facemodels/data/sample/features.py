"""Mouth, eyes, brows and glasses, painted on the skin."""

from __future__ import annotations

import numpy as np

from facemodels.data.sample import geometry
from facemodels.data.sample.canvas import (
    ABS_X,
    Array,
    X,
    Y,
    bump,
    f32,
    gaussian,
    mix,
    polygon,
    soft_step,
    stroke,
    window,
)
from facemodels.data.sample.identity import Glasses, GlassesStyle, Identity
from facemodels.data.sample.nuisance import Expression
from facemodels.data.sample.skin import Texture

_MOUTH_CAVITY: Array = f32([52, 20, 20])
_TEETH: Array = f32([225, 218, 205])
_SCLERA: Array = f32([232, 228, 222])
_PUPIL: Array = f32([10, 8, 8])
_GLINT: Array = f32([255, 255, 255])
_FRAME_TINT: Array = f32([1, 0.95, 0.9])

_PARTED_LIPS = 0.12  # mouth_open from which the inside of the mouth is visible
_FAIREST_BROW = 150.0  # of 255, in the strongest channel
_IRIS_RADIUS = 0.078
_PUPIL_RADIUS = 0.034


def paint_mouth(
    albedo: Array, points: Array, identity: Identity, expression: Expression, texture: Texture
) -> Array:
    """Paint the lips and what is visible between them; `points` are the 68 landmarks."""
    mouth = identity.mouth
    outer = polygon(points[geometry.OUTER_LIPS])
    lips = np.clip(identity.skin.colour + mouth.tint, 15, 255)
    lit = np.where(mouth.y > Y, f32(0.84), f32(1.0)) * (1 + 0.10 * texture.strands)
    albedo = mix(albedo, f32(lips * lit[..., None]), f32(0.85 * outer))
    if expression.mouth_open <= _PARTED_LIPS:
        return _paint_lip_line(albedo, points, identity)
    inner = polygon(points[geometry.INNER_LIPS], 0.5)
    albedo = mix(albedo, _MOUTH_CAVITY, inner)
    if expression.smile <= -0.1:
        return albedo
    teeth_end = mouth.y + 0.01 + 0.02 * expression.mouth_open
    return mix(albedo, _TEETH, f32(0.9 * inner * soft_step(teeth_end - Y, 0.015)))


def _paint_lip_line(albedo: Array, points: Array, identity: Identity) -> Array:
    upper = points[geometry.INNER_UPPER_LIP]
    line_y = f32(np.interp(X[0], upper[:, 0], upper[:, 1]))
    across = soft_step(1.02 * identity.mouth.half_width - ABS_X, 0.02)
    dark = 0.65 * gaussian(Y - line_y, 0.013) * across
    return f32(albedo * (1 - dark)[..., None])


def paint_eyes(albedo: Array, points: Array, identity: Identity, expression: Expression) -> Array:
    """Paint both eyes with lids and lashes."""
    albedo = albedo.copy()
    for side, eye in ((-1, geometry.LEFT_EYE), (1, geometry.RIGHT_EYE)):
        _paint_eyeball(albedo, points[eye], side, identity, expression)
        _paint_lids(albedo, side, identity, expression)
    return albedo


def _paint_eyeball(
    albedo: Array, contour: Array, side: int, identity: Identity, expression: Expression
) -> None:
    """Paint in place, and only in a window around the eye, because an eye has many layers."""
    eyes = identity.eyes
    centre_x, reach = side * eyes.x, eyes.half_width + 0.06
    view = window(centre_x - reach, centre_x + reach, eyes.y - 0.22, eyes.y + 0.22)
    x, y = X[:, view[1]], Y[view[0]]
    iris_x = centre_x + 0.4 * eyes.half_width * expression.gaze[0]
    iris_y = eyes.y - 0.012 + 0.04 * expression.gaze[1]
    radius = f32(np.hypot(x - iris_x, y - iris_y))
    lid_shadow = 0.25 * soft_step(eyes.y - 0.3 * eyes.opening - y, 0.02) + f32(0 * x)
    ball = _SCLERA * (1 - lid_shadow)[..., None]
    iris = eyes.iris * (1 + 0.5 * np.clip((y - iris_y) * (1 / _IRIS_RADIUS), -1, 1))[..., None]
    ball = mix(f32(ball), f32(iris), soft_step(_IRIS_RADIUS - radius, 0.007))
    ball = mix(ball, _PUPIL, soft_step(_PUPIL_RADIUS - radius, 0.006))
    glint = 0.95 * bump(x - iris_x + 0.024, y - iris_y + 0.022, 0.011, 0.011)
    ball = mix(ball, _GLINT, f32(glint))
    albedo[view] = mix(albedo[view], ball, polygon(contour, 0.5)[view])


def _paint_lids(albedo: Array, side: int, identity: Identity, expression: Expression) -> None:
    eyes = identity.eyes
    upper = geometry.lid_curve(eyes, expression, upper=True)
    lower = geometry.lid_curve(eyes, expression, upper=False)
    if side > 0:
        upper, lower = geometry.mirror(upper), geometry.mirror(lower)
    reach = eyes.half_width + 0.1
    centre = side * eyes.x
    view = window(centre - reach, centre + reach, eyes.y - 0.35, eyes.y + 0.25)
    lashes = 0.85 * stroke(upper, 2, 0.6)[view]
    albedo[view] = mix(albedo[view], f32(0.5 * np.minimum(identity.hair.colour, 60)), f32(lashes))
    crease = 0.28 * stroke(f32(upper - f32([0, 0.078])), 1, 0.8)[view]
    edge = 0.30 * stroke(lower, 1, 0.7)[view]
    albedo[view] *= ((1 - crease) * (1 - edge))[..., None]


def paint_brows(albedo: Array, points: Array, identity: Identity, texture: Texture) -> Array:
    """Paint both eyebrows, which are thin at the temple and thick at the nose."""
    brows = identity.brows
    half = 0.5 * brows.thickness * f32([0.25, 0.575, 0.9, 0.95, 1.0])
    lift = np.stack([np.zeros(5, np.float32), half], axis=1)
    left = points[geometry.LEFT_BROW]
    shape = np.concatenate([left - lift, (left + lift)[::-1]])
    hairs = brows.density * (1 + 0.3 * texture.grain)
    mask = np.maximum(polygon(shape, 0.8), polygon(geometry.mirror(shape), 0.8))
    # Brows are darker than fair hair; one factor for all channels keeps the hue.
    darkening = 0.75 * min(1.0, _FAIREST_BROW / float(identity.hair.colour.max()))
    colour = darkening * texture.hair
    return mix(albedo, f32(colour), f32(np.clip(mask * hairs, 0, 0.96)))


def paint_glasses(image: Array, identity: Identity) -> Array:
    """Paint the glasses over the lit face, if the person wears any."""
    glasses = identity.glasses
    if glasses.style is GlassesStyle.NONE:
        return image
    x, y = ABS_X - identity.eyes.x, Y - identity.eyes.y
    to_rim = np.abs(_distance_to_rim(glasses, x, f32(y - 0.02)))
    rim = soft_step(f32(0.017 - to_rim), 0.006)
    image = mix(image, glasses.grey * _FRAME_TINT, f32(0.92 * rim))
    gap = soft_step(identity.eyes.x - 0.98 * glasses.radius - ABS_X, 0.01)
    bridge = 0.9 * gap * gaussian(y + 0.03, 0.018)
    return mix(image, f32(glasses.grey), f32(bridge))


def _distance_to_rim(glasses: Glasses, x: Array, y: Array) -> Array:
    """Signed distance to the middle of the rim; `x` (1, R), `y` (R, 1) start at the lens."""
    if glasses.style is GlassesStyle.ROUND:
        return f32(np.hypot(x, 1.12 * y) - glasses.radius)
    return f32(np.maximum(np.abs(x) / 1.12, 1.45 * np.abs(y)) - glasses.radius)
