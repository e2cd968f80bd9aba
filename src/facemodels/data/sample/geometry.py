"""The outline of the head, and the 68 iBUG landmarks of a face from the front.

Order of the points: jaw 0..16, brows 17..21 and 22..26, nose bridge 27..30, nostrils
31..35, eyes 36..41 and 42..47, outer lips 48..59, inner lips 60..67. The left side of the
image comes first.
"""

from __future__ import annotations

import numpy as np

from facemodels.data.sample.canvas import Array, f32
from facemodels.data.sample.identity import Brows, Eyes, Head, Identity, Mouth, Nose
from facemodels.data.sample.nuisance import Expression

LEFT_BROW, RIGHT_BROW = slice(17, 22), slice(22, 27)
LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)
OUTER_LIPS, INNER_LIPS = slice(48, 60), slice(60, 68)
INNER_UPPER_LIP = slice(60, 65)

_LOWER_LID = 0.62  # the lower lid bends less than the upper
_OPEN_MOUTH = 0.09  # face units by which the upper lip rises at mouth_open 1
_JAW_DROP = 1.5  # the lower lip moves this many times further
_MIRRORED_EYE = (3, 2, 1, 0, 5, 4)  # a mirrored eye still starts at the image's left
_JAW_HEIGHTS: Array = f32([-0.15, 0.04, 0.24, 0.42, 0.59, 0.745, 0.865, 0.96, 1.0])


def outline(head: Head, y: Array) -> Array:
    """Half width of the head at `y`, from the crown (-half_height) to the chin (+half_height)."""
    height = np.clip(np.abs(y) / head.half_height, 0, 1)
    width = head.half_width * (1 - height**head.squareness) ** (1 / 2.05)
    below = np.clip(y / head.half_height, 0, 1)
    return f32(width * (1 - head.jaw * below**1.6 * (1 - 0.5 * below**6)))


def landmarks(identity: Identity, expression: Expression) -> Array:
    """The 68 points, float32 (68, 2), in face units."""
    jaw = _left_jaw(identity.head)
    brow = _left_brow(identity.brows, identity.eyes, expression)
    eye = _left_eye(identity.eyes, expression)
    return np.concatenate(
        [
            jaw,
            mirror(jaw[:-1])[::-1],
            brow,
            mirror(brow)[::-1],
            _nose(identity.nose, identity.eyes),
            eye,
            mirror(eye)[list(_MIRRORED_EYE)],
            _lips(identity.mouth, expression),
        ]
    )


def head_contour(identity: Identity) -> Array:
    """Points (48, 2) around the face from hairline to chin, which the face's box encloses."""
    head = identity.head
    y = np.linspace(-identity.hair.line, 1, 24, dtype=np.float32) * head.half_height
    left = np.stack([-outline(head, y), y], axis=1)
    return np.concatenate([left, mirror(left)])


def mirror(points: Array) -> Array:
    """Points (N, 2) mirrored at the midline."""
    return f32(points * f32([-1, 1]))


def lid_curve(eyes: Eyes, expression: Expression, *, upper: bool) -> Array:
    """A lid of the eye on the image's left, (15, 2), a little wider than the eye."""
    along = np.linspace(-1, 1, 15, dtype=np.float32)
    bend = -1.0 if upper else _LOWER_LID
    y = eyes.y + bend * eyes.opening * expression.lids * (1 - along**2) + eyes.tilt * along
    return f32(np.stack([1.03 * eyes.half_width * along - eyes.x, y], axis=1))


def _left_jaw(head: Head) -> Array:
    y = head.half_height * _JAW_HEIGHTS
    x = -outline(head, y)
    x[-1] = 0
    return f32(np.stack([x, y], axis=1))


def _left_brow(brows: Brows, eyes: Eyes, expression: Expression) -> Array:
    along = f32([-1.45, -0.85, -0.10, 0.65, 1.2])  # in half widths of the eye
    bow = 1 - ((along + 0.15) / 1.5) ** 2
    y = eyes.y - brows.rise - expression.brow_raise - brows.arch * bow + brows.tilt * along
    return f32(np.stack([along * eyes.half_width - eyes.x, y], axis=1))


def _left_eye(eyes: Eyes, expression: Expression) -> Array:
    along = f32([-1, -0.4, 0.4, 1, 0.4, -0.4])
    bend = f32([-1, -1, -1, -1, _LOWER_LID, _LOWER_LID]) * (1 - along**2)
    y = eyes.y + eyes.opening * expression.lids * bend + eyes.tilt * along
    return f32(np.stack([along * eyes.half_width - eyes.x, y], axis=1))


def _nose(nose: Nose, eyes: Eyes) -> Array:
    bridge_y = np.linspace(eyes.y, nose.tip_y - 0.05, 4, dtype=np.float32)
    bridge = np.stack([np.zeros(4, np.float32), bridge_y], axis=1)
    base_x = nose.half_width * f32([-0.75, -0.4, 0, 0.4, 0.75])
    base_y = nose.tip_y + f32([0.055, 0.085, 0.10, 0.085, 0.055])
    return np.concatenate([bridge, np.stack([base_x, base_y], axis=1)])


def _lips(mouth: Mouth, expression: Expression) -> Array:
    """Outer lips (12 points) and inner lips (8), each clockwise from the image's left."""
    gap = expression.mouth_open * _OPEN_MOUTH
    half_width = mouth.half_width * (1 + 0.16 * expression.smile)

    def line(along: Array, offset: Array) -> Array:
        lift = expression.smile * (0.02 - 0.07 * along**2)  # a smile lifts the corners
        return f32(np.stack([along * half_width, mouth.y + lift + offset], axis=1))

    upper = f32([-1, -0.6, -0.25, 0, 0.25, 0.6, 1])
    cupids_bow = mouth.upper_lip * f32([0, 0.75, 1.05, 0.85, 1.05, 0.75, 0])
    lower = f32([0.65, 0.3, 0, -0.3, -0.65])
    fullness = (_JAW_DROP * gap + mouth.lower_lip) * (1 - lower**2) ** 0.8
    inner_upper = f32([-0.86, -0.35, 0, 0.35, 0.86])
    inner_lower = f32([0.35, 0, -0.35])
    return np.concatenate(
        [
            line(upper, -gap * (1 - upper**2) - cupids_bow),
            line(lower, f32(fullness)),
            line(inner_upper, -gap * (1 - inner_upper**2)),
            line(inner_lower, _JAW_DROP * gap * (1 - inner_lower**2)),
        ]
    )
