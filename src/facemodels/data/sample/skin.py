"""The colour of the face without light (albedo): skin, its marks, and a beard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facemodels.data.sample.canvas import (
    ABS_X,
    PIXELS_PER_UNIT,
    RESOLUTION,
    Array,
    X,
    Y,
    blur,
    bump,
    f32,
    gaussian,
    mix,
    noise,
    soft_step,
)
from facemodels.data.sample.identity import BeardStyle, Identity

_BLUSH: Array = f32([-0.10, 0.28, 0.25])  # red gains a little, green and blue lose
_PORES = ((7, 0.025), (20, 0.020), (64, 0.018))  # bumps along a side, amplitude


@dataclass(frozen=True)
class Texture:
    """The fine texture of one person, as planes of the canvas.

    Attributes:
        skin: relative brightness of the skin, around 0.
        grain: noise of unit variance, for stubble.
        strands: noise of unit variance, stretched downwards, for hair.
        locks: coarse strands, for the outline of hair.
        hair: (R, R, 3), colour of the hair without light.
    """

    skin: Array
    grain: Array
    strands: Array
    locks: Array
    hair: Array


def person_texture(identity: Identity) -> Texture:
    """The texture of a person, which is the same in all images of them."""
    rng = np.random.default_rng(identity.texture_seed)
    skin = sum((noise(rng, RESOLUTION, cells) * size for cells, size in _PORES), f32(0))
    grain = noise(rng, RESOLUTION, 110)
    strands = blur(grain, 0.012 * PIXELS_PER_UNIT, 0.06 * PIXELS_PER_UNIT) * 1.6
    locks = blur(noise(rng, RESOLUTION, 44), 0.5, 0.16 * PIXELS_PER_UNIT) * 1.6
    tone = np.clip(1 + 0.35 * strands + 0.15 * noise(rng, RESOLUTION, 9), 0.3, 2)
    return Texture(
        skin=f32(skin),
        grain=grain,
        strands=f32(strands),
        locks=f32(locks),
        hair=f32(identity.hair.colour * tone[..., None]),
    )


def paint_skin(identity: Identity, texture: Texture) -> Array:
    """Albedo (R, R, 3), 0..255, of the face without eyes, brows and mouth."""
    albedo = identity.skin.colour * (1 + texture.skin)[..., None]
    albedo = albedo * (1 - _redness(identity)[..., None] * _BLUSH)
    albedo = albedo * np.clip(1 - _darkness(identity), 0.1, 1)[..., None]
    return _paint_beard(f32(albedo), identity, texture)


def _redness(identity: Identity) -> Array:
    cheeks = identity.skin.redness * bump(ABS_X - 0.45, Y - 0.2, 0.17, 0.15)
    return f32(cheeks + 0.10 * bump(X, Y - identity.nose.tip_y, 0.12, 0.10))


def _darkness(identity: Identity) -> Array:
    """How much less light sockets, folds, nostrils and moles reflect, 0..1."""
    eye_x, eye_y = ABS_X - identity.eyes.x, Y - identity.eyes.y
    sockets = 0.30 * bump(eye_x, eye_y - 0.005, 0.15, 0.085)
    bags = 0.16 * bump(eye_x + 0.04, eye_y - 0.12, 0.12, 0.03)
    nose_root = 0.14 * bump(ABS_X - 0.10, eye_y, 0.04, 0.08)
    fold_x = ABS_X - 0.30 - 0.25 * (Y - 0.4)
    folds = identity.skin.fold * gaussian(fold_x, 0.02) * gaussian(Y - 0.42, 0.12)
    dark = sockets + bags + nose_root + folds + _nostrils(identity)
    for x, y, radius in identity.skin.moles:
        dark += 0.55 * bump(X - x, Y - y, radius, radius)
    return f32(dark)


def _nostrils(identity: Identity) -> Array:
    nose = identity.nose
    y = Y - nose.tip_y
    holes = 0.55 * bump(ABS_X - 0.42 * nose.half_width, y - 0.045, 0.04, 0.018)
    wings = 0.25 * bump(ABS_X - 0.92 * nose.half_width, y - 0.01, 0.02, 0.05)
    base = 0.20 * bump(X, y - 0.085, 0.7 * nose.half_width, 0.02)
    return f32(holes + wings + base)


def _paint_beard(albedo: Array, identity: Identity, texture: Texture) -> Array:
    style = identity.beard.style
    if style is BeardStyle.NONE:
        return albedo
    growth = _goatee(identity) if style is BeardStyle.GOATEE else _jaw_beard(identity)
    if style is not BeardStyle.CHIN:
        growth = np.maximum(growth, _moustache(identity))
    around_lips = bump(X, Y - identity.mouth.y, 0.7 * identity.mouth.half_width, 0.055)
    stubble = 0.85 + 0.22 * texture.grain
    mask = growth * (1 - 0.8 * around_lips) * identity.beard.density * stubble
    return mix(albedo, texture.hair * 0.8, f32(np.clip(mask, 0, 0.93)))


def _jaw_beard(identity: Identity) -> Array:
    """A mask of all below a line that rises to the ears; the line is lower for a chin beard."""
    across = np.clip(ABS_X / identity.head.half_width, 0, 1)
    drop = 0.0 if identity.beard.style is BeardStyle.FULL else 0.30
    return soft_step(Y - identity.mouth.y + 0.35 - drop - 0.25 * across**2, 0.05)


def _goatee(identity: Identity) -> Array:
    return bump(X, Y - identity.mouth.y - 0.22, 0.20, 0.13)


def _moustache(identity: Identity) -> Array:
    y = 0.5 * (identity.nose.tip_y + identity.mouth.y) + 0.02
    return f32(1.1 * bump(X, Y - y, 0.8 * identity.mouth.half_width, 0.045))
