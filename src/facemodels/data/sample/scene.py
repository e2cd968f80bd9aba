"""Draws whole images: a background, people, things that hide parts of them, and the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from facemodels.data.sample.canvas import Array, blur, f32, noise
from facemodels.data.sample.identity import SKIN_ANCHORS
from facemodels.data.sample.nuisance import Camera, sample_nuisance
from facemodels.data.sample.placement import (
    DrawnFace,
    FacePlacement,
    make_face,
    paint_head,
    paint_torso,
)

MAX_FACES = 4  # in a scene

_SCENE_SCALES = (0.10, 0.26)  # length of a face unit as a share of the image's side
_FACE_SCALES = (0.34, 0.40)  # of one person: room enough that no crop shows a border
_PORTRAIT_SCALES = (0.24, 0.36)
_CROWD_SHRINK = 0.75  # factor on the scale in scenes of three or more faces
_PLACE_TRIES = 30
_FACE_PART = 0.85  # share of such an image that its face fills


@dataclass(frozen=True)
class Picture:
    """A finished image and its faces.

    Attributes:
        image: uint8 (S, S, 3), RGB.
        boxes: float32 (K, 4), x0 y0 x1 y1 in pixels.
        points: float32 (K, 68, 2), in pixels.
        groups: int8 (K,), skin-tone group of each face.
        people: int32 (K,), the number of each person.
    """

    image: NDArray[np.uint8]
    boxes: Array
    points: Array
    groups: NDArray[np.int8]
    people: NDArray[np.int32]


def scene(rng: np.random.Generator, seed: int, numbers: Sequence[int], size: int) -> Picture:
    """Draw one to `len(numbers)` people, the first ones of `numbers`.

    Faces do not overlap and are wholly in the image. A face that finds no room is left out.
    """
    count = int(rng.integers(1, len(numbers) + 1))
    image = background(rng, size)
    shrink = 1.0 if count < 3 else _CROWD_SHRINK
    faces: list[DrawnFace] = []
    places: list[FacePlacement] = []
    for number in numbers[:count]:
        face = make_face(seed, number, sample_nuisance(rng))
        taken = [other.box(neighbour) for other, neighbour in zip(places, faces, strict=True)]
        place = _find_place(rng, face, size, taken, shrink)
        if place is not None:
            faces.append(face)
            places.append(place)
    camera = Camera(blur=max(0.0, float(rng.normal(0.3, 0.4))), noise=abs(float(rng.normal(0, 4))))
    return _compose(rng, image, faces, places, camera)


def portrait(rng: np.random.Generator, seed: int, number: int, size: int) -> Picture:
    """Draw one large face, with pose and light as in a scene."""
    face = make_face(seed, number, sample_nuisance(rng))
    image = background(rng, size)
    place = _random_place(rng, face, size, _PORTRAIT_SCALES, 1.0)
    camera = _scaled(face.nuisance.camera, size)
    return _compose(rng, image, [face], [place], camera)


def close_up(rng: np.random.Generator, seed: int, number: int, size: int) -> Picture:
    """Draw one face in the middle of the image, for the crops of recognition to be cut from."""
    face = make_face(seed, number, sample_nuisance(rng))
    image = background(rng, size)
    x, y = (size * float(0.5 + 0.02 * offset) for offset in rng.standard_normal(2))
    place = FacePlacement(x, y, size * float(rng.uniform(*_FACE_SCALES)))
    return _compose(rng, image, [face], [place], _scaled(face.nuisance.camera, _FACE_PART * size))


def background(rng: np.random.Generator, size: int) -> Array:
    """Draw a background of blurred colours and shapes, float32 (size, size, 3)."""
    base = rng.uniform(25, 215) + rng.normal(0, 22, 3)
    shared = 32 * noise(rng, size, 3) + 12 * noise(rng, size, 12) + 6 * noise(rng, size, 48)
    image = np.dstack([shared + 12 * noise(rng, size, 4) + float(level) for level in base])
    for _ in range(int(rng.integers(4, 16))):
        image = _with_shape(rng, image)
    return blur(f32(image), float(rng.uniform(0.5, 2)))


def _with_shape(rng: np.random.Generator, image: Array) -> Array:
    """`image` with one more half-transparent rectangle, ellipse or line."""
    size = len(image)
    colour = _colour(rng, 0, 255)
    x, y = (int(value) for value in rng.integers(0, size, 2))
    width, height = (int(value) for value in rng.integers(6, max(8, size // 3), 2))
    layer = image.copy()
    match int(rng.integers(4)):
        case 0:
            cv2.rectangle(layer, (x, y), (x + width, y + height), colour, -1)
        case 1:
            _ellipse(rng, layer, (x, y), (width // 2, height // 2), colour)
        case 2:
            end_x, end_y = (int(value) for value in rng.integers(0, size, 2))
            cv2.line(layer, (x, y), (end_x, end_y), colour, int(rng.integers(1, 6)), cv2.LINE_AA)
        case _:  # looks like skin but is no face
            skin = SKIN_ANCHORS[int(rng.integers(len(SKIN_ANCHORS)))]
            tone = (float(skin[0]), float(skin[1]), float(skin[2]))
            _ellipse(rng, layer, (x, y), (width // 2, height // 2), tone)
    opacity = float(rng.uniform(0.5, 1))
    return cast(Array, cv2.addWeighted(image, 1 - opacity, layer, opacity, 0))


def _ellipse(
    rng: np.random.Generator,
    image: Array,
    centre: tuple[int, int],
    axes: tuple[int, int],
    colour: tuple[float, float, float],
) -> None:
    angle = float(rng.uniform(0, 180))
    cv2.ellipse(image, centre, axes, angle, 0, 360, colour, -1, cv2.LINE_AA)


def _colour(rng: np.random.Generator, low: float, high: float) -> tuple[float, float, float]:
    red, green, blue = rng.uniform(low, high, 3)
    return float(red), float(green), float(blue)


def _find_place(
    rng: np.random.Generator, face: DrawnFace, size: int, taken: Sequence[Array], shrink: float
) -> FacePlacement | None:
    """Draw a place whose box touches none of `taken`; None if that fails a number of times."""
    for _ in range(_PLACE_TRIES):
        place = _random_place(rng, face, size, _SCENE_SCALES, shrink)
        box = place.box(face)
        if not any(_overlap(box, other) for other in taken):
            return place
    return None


def _random_place(
    rng: np.random.Generator, face: DrawnFace, size: int, scales: tuple[float, float], shrink: float
) -> FacePlacement:
    """Draw a place at which the face's box is inside of the image."""
    scale = size * float(rng.uniform(*scales)) * shrink
    x0, y0, x1, y1 = (float(side) * scale for side in face.box)
    edge = size - 1
    return FacePlacement(
        float(rng.uniform(-x0, edge - x1)), float(rng.uniform(-y0, edge - y1)), scale
    )


def _overlap(one: Array, other: Array) -> bool:
    return bool(np.all(one[:2] < other[2:]) and np.all(other[:2] < one[2:]))


def _compose(
    rng: np.random.Generator,
    image: Array,
    faces: Sequence[DrawnFace],
    places: Sequence[FacePlacement],
    camera: Camera,
) -> Picture:
    """Paint all bodies, then all heads, each from the top down, so that no body hides a face."""
    boxes = [place.box(face) for face, place in zip(faces, places, strict=True)]
    by_height = sorted(range(len(faces)), key=lambda index: places[index].y)
    for index in by_height:
        paint_torso(image, faces[index], places[index])
    for index in by_height:
        paint_head(image, faces[index], places[index])
    for face, box in zip(faces, boxes, strict=True):
        if face.nuisance.is_occluded:
            _occlude(rng, image, box)
    points = [place.to_image(face.points) for face, place in zip(faces, places, strict=True)]
    return Picture(
        image=_expose(rng, image, camera),
        boxes=f32(boxes).reshape(-1, 4),
        points=f32(points).reshape(-1, 68, 2),
        groups=np.array([face.identity.skin.group for face in faces], np.int8),
        people=np.array([face.number for face in faces], np.int32),
    )


def _occlude(rng: np.random.Generator, image: Array, box: Array) -> None:
    """Hide a part of a face behind a mask, a blob or a bar, in place."""
    x0, y0, x1, y1 = (float(side) for side in box)
    width, height = x1 - x0, y1 - y0
    colour = _colour(rng, 10, 240)
    match int(rng.integers(3)):
        case 0:
            left, top = x0 + width * rng.uniform(-0.1, 0.6), y0 + height * rng.uniform(0.55, 0.75)
            corner = (int(x1 + 0.1 * width), int(y1 + 0.1 * height))
            cv2.rectangle(image, (int(left), int(top)), corner, colour, -1)
        case 1:
            x, y = x0 + width * rng.uniform(0, 1), y0 + height * rng.uniform(0.5, 1)
            axes = (int(0.28 * width), int(0.16 * height))
            _ellipse(rng, image, (int(x), int(y)), axes, colour)
        case _:
            start_y, end_y = (int(y0 + height * part) for part in rng.uniform(0, 1, 2))
            thickness = max(1, int(0.07 * width))
            cv2.line(image, (int(x0), start_y), (int(x1), end_y), colour, thickness, cv2.LINE_AA)


def _scaled(camera: Camera, size: float) -> Camera:
    """The camera with its blur, which is given for a side of 112 px, scaled to `size`."""
    return replace(camera, blur=camera.blur * size / 112)


def _expose(rng: np.random.Generator, image: Array, camera: Camera) -> NDArray[np.uint8]:
    """Blur, add noise and round down to uint8."""
    if camera.blur > 0.15:
        image = blur(image, camera.blur)
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(image + camera.noise * grain, 0, 255).astype(np.uint8)
