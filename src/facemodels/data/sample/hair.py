"""Hair in two layers: behind the head and on top of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facemodels.data.sample.canvas import ABS_X, Array, X, Y, f32, gaussian, soft_step
from facemodels.data.sample.identity import HairLength, Identity
from facemodels.data.sample.skin import Texture

_LONG_HAIR_END = 1.36  # y of the tips; the canvas ends at 1.55


@dataclass(frozen=True)
class HairLayers:
    """Masks of the hair in 0..1, planes of the canvas: `back` behind the head, `top` before it."""

    back: Array
    top: Array


def hair_layers(identity: Identity, texture: Texture) -> HairLayers:
    """The masks of the hair, which are empty for a bald head.

    Outlines follow the coarse locks and not the fine grain, because a threshold on the grain
    would turn an edge into scattered pixels.
    """
    if identity.hair.length is HairLength.BALD:
        nothing = np.zeros_like(texture.locks)
        return HairLayers(back=nothing, top=nothing)
    is_long = identity.hair.length is HairLength.LONG
    ends = _long_ends(identity, texture) if is_long else soft_step(0.05 - Y, 0.06)
    back = _cap(identity, texture, rise=1.0, widen=1.0, softness=0.032) * ends
    top = _cap(identity, texture, rise=0.85, widen=0.8, softness=0.032)
    top = top * soft_step(_hairline(identity, texture) - Y, 0.03)
    if is_long:
        top = top * ends
    return HairLayers(back=f32(back), top=f32(top))


def hair_light(diffuse: Array) -> Array:
    """Factor on the colour of the hair: light of the lamp, and a highlight around the crown."""
    return f32(0.75 + 0.35 * diffuse + 0.25 * gaussian(Y + 0.9, 0.12))


def _cap(
    identity: Identity, texture: Texture, *, rise: float, widen: float, softness: float
) -> Array:
    """A mask of a dome around the skull, whose sides go straight down below its middle."""
    head, volume = identity.head, identity.hair.volume
    x = X / (head.half_width + widen * volume)
    y = np.minimum(Y + 0.08, 0) / (head.half_height + 0.8 * rise * volume - 0.02)
    return soft_step(f32(1 - np.hypot(x, y) + 0.018 * texture.locks), softness)


def _long_ends(identity: Identity, texture: Texture) -> Array:
    """A mask that ends at the tips, which hang lower in the middle of a side than outside."""
    reach = identity.head.half_width + identity.hair.volume
    tips = _LONG_HAIR_END - 0.30 * (np.minimum(ABS_X / reach, 1.1)) ** 5
    # One row of the locks is used for all heights, so that each strand has one tip.
    return soft_step(f32(tips + 0.04 * texture.locks[-1:] - Y), 0.03)


def _hairline(identity: Identity, texture: Texture) -> Array:
    """Y of the lower edge of the hair on the forehead, (R, R)."""
    head, hair = identity.head, identity.hair
    temples = 0.62 * np.clip(ABS_X / head.half_width, 0, 1.03) ** 4
    parting = 0.05 * gaussian(X - 0.5 * hair.part, 0.106) + 0.10 * hair.part * X
    line = temples + parting - hair.line * head.half_height + 0.03 * texture.strands
    if hair.length is HairLength.LONG:
        # Locks in front of the ears reach down to the tips.
        line = line + 2 * soft_step(ABS_X - 0.95 * head.half_width, 0.025)
    return f32(line)
