"""Paints a face from the front on the canvas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from facemodels.data.sample import features, geometry, hair, shading, skin
from facemodels.data.sample.canvas import (
    ABS_X,
    PIXELS_PER_UNIT,
    Array,
    X,
    Y,
    blur,
    bump,
    f32,
    mix,
    polygon,
    soft_step,
)
from facemodels.data.sample.identity import BeardStyle, HairLength, Identity
from facemodels.data.sample.nuisance import Nuisance

_NECK_END = 1.40  # y of the lowest point of the neckline


@dataclass(frozen=True)
class FrontalFace:
    """A painted face, float32 planes of the canvas.

    Attributes:
        colour: (R, R, 3), 0..255.
        alpha: (R, R), 0..1.
        height: (R, R), height towards the camera in face units; 0 outside of the head.
        points: (68, 2), in face units.
    """

    colour: Array
    alpha: Array
    height: Array
    points: Array


def render_frontal(identity: Identity, nuisance: Nuisance) -> FrontalFace:
    """Paint from the back to the front: hair, neck, ears, face, hair, glasses."""
    texture = skin.person_texture(identity)
    points = geometry.landmarks(identity, nuisance.expression)
    height = shading.height_field(identity, nuisance.expression)
    light = shading.shade(height, nuisance.light)
    layers = hair.hair_layers(identity, texture)
    head = _head_mask(identity)

    colour, alpha = _behind_the_face(identity, texture, layers)
    colour = f32(colour * shading.flat_irradiance(nuisance.light)[..., None])
    colour = mix(colour, _lit_face(identity, nuisance, texture, points, light), head)

    shadow = 0.35 * blur(layers.top, 0.08 * PIXELS_PER_UNIT) * (1 - layers.top)
    colour = f32(colour * (1 - shadow)[..., None])
    lit_hair = texture.hair * hair.hair_light(light.diffuse)[..., None]
    colour = mix(colour, f32(lit_hair), layers.top)
    colour = features.paint_glasses(colour, identity)
    return FrontalFace(
        colour=f32(np.clip(colour, 0, 255)),
        alpha=f32(np.clip(np.maximum.reduce([alpha, head, layers.top]), 0, 1)),
        height=f32(height * head),
        points=points,
    )


def _head_mask(identity: Identity) -> Array:
    head = identity.head
    inside = soft_step(geometry.outline(head, Y) - ABS_X, 0.018)
    return f32(inside * (np.abs(Y) < head.half_height))


def _lit_face(
    identity: Identity,
    nuisance: Nuisance,
    texture: skin.Texture,
    points: Array,
    light: shading.Shading,
) -> Array:
    """The lit colour inside of the head's outline, (R, R, 3)."""
    albedo = skin.paint_skin(identity, texture)
    albedo = features.paint_mouth(albedo, points, identity, nuisance.expression, texture)
    albedo = features.paint_eyes(albedo, points, identity, nuisance.expression)
    albedo = features.paint_brows(albedo, points, identity, texture)
    lips = polygon(points[geometry.OUTER_LIPS])
    gloss = light.highlight * (1 - 0.3 * lips)
    if identity.beard.style is BeardStyle.FULL:
        gloss = gloss * 0.5
    return f32(albedo * light.irradiance[..., None] + 255 * gloss[..., None])


def _behind_the_face(
    identity: Identity, texture: skin.Texture, layers: hair.HairLayers
) -> tuple[Array, Array]:
    """Colour without light, and alpha, of the neck, the ears and the hair behind the head."""
    neck, ears = _neck_mask(identity), _ear_mask(identity)
    is_long = identity.hair.length is HairLength.LONG
    shade = 0.72 - _chin_shadow(identity)
    neck_skin = f32(identity.skin.colour * ((1 + texture.skin) * shade)[..., None])
    if is_long:
        colour = mix(f32(0.55 * texture.hair), neck_skin, neck)
        return colour, f32(np.maximum(layers.back, neck))
    colour = mix(neck_skin, f32(0.7 * texture.hair), f32(layers.back * (1 - neck)))
    rings = 0.8 + 0.075 * np.cos(30 * (X**2 + Y**2))
    colour = mix(colour, f32(identity.skin.colour * rings[..., None]), ears)
    return colour, f32(np.maximum.reduce([layers.back, neck, ears]))


def _neck_mask(identity: Identity) -> Array:
    """A mask from inside of the head down to a round neckline on the clothes."""
    flare = 0.25 * np.clip((Y - 1.0) / 0.5, 0, 1) ** 2
    sides = soft_step(identity.head.neck_half_width + flare - ABS_X, 0.02)
    end = _NECK_END - 0.30 * np.minimum(ABS_X / 0.5, 1.2) ** 2
    return f32(sides * soft_step(Y - 0.5, 0.03) * soft_step(end - Y, 0.015))


def _ear_mask(identity: Identity) -> Array:
    x = (ABS_X - identity.head.half_width) / identity.head.ear_width
    return soft_step(f32(1 - np.hypot(x, (Y - 0.02) / 0.21)), 0.125)


def _chin_shadow(identity: Identity) -> Array:
    """The share of the light that the chin keeps from the neck, a plane of the canvas."""
    return f32(0.18 * bump(X, Y - identity.head.half_height, 0.5, 0.22))
