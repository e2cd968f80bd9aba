"""What stays the same over all images of a person.

Lengths are in face units (see `canvas`), colours are RGB in 0..255.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from facemodels.data.sample.canvas import Array, f32

# Skin colours from the lightest to the darkest; a tone t in 0..6 lies between two of them.
SKIN_ANCHORS: Array = f32(
    [
        [241, 206, 180],
        [229, 184, 152],
        [214, 165, 130],
        [190, 135, 100],
        [150, 102, 74],
        [110, 72, 52],
        [80, 52, 40],
    ]
)
_DARKEST_TONE = len(SKIN_ANCHORS) - 1
_DARK_FEATURES_TONE = 3.2  # people with a darker tone mostly have dark hair and eyes

# Thirds of the tone axis: t in 0..2 is light, 2..4 medium, 4..6 dark.
GROUPS = ("light", "medium", "dark")

_HAIR_COLOURS: Array = f32(
    [
        [25, 20, 18],
        [52, 36, 26],
        [92, 62, 38],
        [150, 112, 66],
        [196, 166, 110],
        [120, 52, 28],
        [130, 128, 126],
    ]
)
_HAIR_ODDS_DARK_SKIN = (0.55, 0.30, 0.05, 0.00, 0.00, 0.02, 0.08)
_HAIR_ODDS_LIGHT_SKIN = (0.20, 0.22, 0.20, 0.13, 0.08, 0.07, 0.10)
_IRIS_COLOURS: Array = f32(
    [[60, 38, 22], [92, 62, 34], [70, 104, 70], [78, 110, 150], [100, 120, 130]]
)

_IDENTITY_STREAM = 1  # makes these random numbers independent of those of scenes and crops


class HairLength(IntEnum):
    """Length of the hair."""

    BALD = 0
    SHORT = 1
    LONG = 2


class BeardStyle(IntEnum):
    """Shape of the beard."""

    NONE = 0
    CHIN = 1
    GOATEE = 2
    FULL = 3


class GlassesStyle(IntEnum):
    """Shape of the glasses' frame."""

    NONE = 0
    ROUND = 1
    SQUARE = 2


@dataclass(frozen=True)
class Skin:
    """Colour and marks of the skin.

    Attributes:
        tone: 0 (lightest anchor) to 6 (darkest).
        group: index into GROUPS, a third of the tone axis.
        colour: (3,), RGB.
        redness: redness of the cheeks, 0..1.
        fold: darkness of the fold from nose to mouth, 0..1.
        moles: x, y and radius of each mole.
    """

    tone: float
    group: int
    colour: Array
    redness: float
    fold: float
    moles: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Head:
    """Outline of the head, and the build; `jaw` is how much the face narrows to the chin."""

    half_width: float
    half_height: float
    jaw: float
    squareness: float
    ear_width: float
    neck_half_width: float
    shoulder_half_width: float


@dataclass(frozen=True)
class Eyes:
    """The eyes; `x` is the distance of a centre from the midline, `opening` the half height."""

    x: float
    y: float
    half_width: float
    opening: float
    tilt: float
    iris: Array


@dataclass(frozen=True)
class Brows:
    """The eyebrows; `rise` is the height of a brow above the eye."""

    rise: float
    thickness: float
    arch: float
    tilt: float
    density: float


@dataclass(frozen=True)
class Nose:
    """The nose; `projection` is the height of the tip above the face."""

    tip_y: float
    half_width: float
    projection: float
    bridge_width: float


@dataclass(frozen=True)
class Mouth:
    """The mouth; `tint` (3,) is the colour of the lips minus the colour of the skin."""

    y: float
    half_width: float
    upper_lip: float
    lower_lip: float
    tint: Array


@dataclass(frozen=True)
class Hair:
    """The hair; `line` is the height of the hairline as a share of the head's half height."""

    colour: Array
    length: HairLength
    line: float
    part: float
    volume: float


@dataclass(frozen=True)
class Beard:
    """The beard; `density` is the share of the skin that it hides, 0..1."""

    style: BeardStyle
    density: float


@dataclass(frozen=True)
class Glasses:
    """The glasses; `grey` is the brightness of the frame, 0..255, `radius` that of a lens."""

    style: GlassesStyle
    grey: float
    radius: float


@dataclass(frozen=True)
class Identity:
    """A person; `texture_seed` is the seed of the fine texture of skin and hair."""

    number: int
    texture_seed: int
    skin: Skin
    head: Head
    eyes: Eyes
    brows: Brows
    nose: Nose
    mouth: Mouth
    hair: Hair
    beard: Beard
    glasses: Glasses


def group_of(number: int) -> int:
    """The skin-tone group of a person, an index into GROUPS.

    Successive numbers belong to different groups, so every range of numbers is balanced.
    """
    return number % len(GROUPS)


def sample_identity(seed: int, number: int) -> Identity:
    """Draw the person `number` of the population `seed`; the same arguments give the same one."""
    rng = np.random.default_rng([seed, _IDENTITY_STREAM, number])
    male = rng.random() < 0.5
    skin = _sample_skin(rng, group_of(number))
    has_dark_features = skin.tone > _DARK_FEATURES_TONE
    return Identity(
        number=number,
        texture_seed=int(rng.integers(2**31)),
        skin=skin,
        head=_sample_head(rng, male),
        eyes=_sample_eyes(rng, has_dark_features),
        brows=_sample_brows(rng),
        nose=_sample_nose(rng),
        mouth=_sample_mouth(rng),
        hair=_sample_hair(rng, male, has_dark_features),
        beard=_sample_beard(rng, male),
        glasses=_sample_glasses(rng),
    )


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))


def _choice(rng: np.random.Generator, odds: tuple[float, ...]) -> int:
    return int(rng.choice(len(odds), p=odds))


def skin_colour(tone: float) -> Array:
    """The skin colour (3,) of a `tone` in 0..6."""
    below = min(int(tone), _DARKEST_TONE - 1)
    share = tone - below
    return f32(SKIN_ANCHORS[below] * (1 - share) + SKIN_ANCHORS[below + 1] * share)


def _sample_skin(rng: np.random.Generator, group: int) -> Skin:
    step = _DARKEST_TONE / len(GROUPS)
    tone = _between(rng, group * step, (group + 1) * step)
    moles = tuple(
        (_between(rng, -0.5, 0.5), _between(rng, -0.5, 0.7), _between(rng, 0.012, 0.03))
        for _ in range(int(rng.integers(0, 4)))
    )
    return Skin(
        tone=tone,
        group=group,
        colour=skin_colour(tone) * _between(rng, 0.95, 1.05),
        redness=_between(rng, 0.0, 0.22),
        fold=_between(rng, 0.0, 0.12),
        moles=moles,
    )


def _sample_head(rng: np.random.Generator, male: bool) -> Head:
    return Head(
        half_width=_between(rng, 0.70, 0.86),
        half_height=_between(rng, 1.02, 1.20),
        jaw=_between(rng, 0.10, 0.42),
        squareness=_between(rng, 1.9, 2.7),
        ear_width=_between(rng, 0.07, 0.13),
        neck_half_width=_between(rng, 0.36, 0.42) + (0.07 if male else 0.0),
        shoulder_half_width=_between(rng, 1.45, 1.75) + (0.25 if male else 0.0),
    )


def _sample_eyes(rng: np.random.Generator, has_dark_features: bool) -> Eyes:
    is_brown = has_dark_features and rng.random() < 0.8
    iris = 0 if is_brown else int(rng.integers(len(_IRIS_COLOURS)))
    return Eyes(
        x=_between(rng, 0.30, 0.38),
        y=_between(rng, -0.20, -0.10),
        half_width=_between(rng, 0.135, 0.185),
        opening=_between(rng, 0.055, 0.09),
        tilt=_between(rng, -0.03, 0.04),
        iris=_IRIS_COLOURS[iris] * _between(rng, 0.8, 1.2),
    )


def _sample_brows(rng: np.random.Generator) -> Brows:
    return Brows(
        rise=_between(rng, 0.17, 0.25),
        thickness=_between(rng, 0.028, 0.065),
        arch=_between(rng, 0.03, 0.10),
        tilt=_between(rng, -0.03, 0.04),
        density=_between(rng, 0.55, 0.95),
    )


def _sample_nose(rng: np.random.Generator) -> Nose:
    return Nose(
        tip_y=_between(rng, 0.22, 0.32),
        half_width=_between(rng, 0.13, 0.21),
        projection=_between(rng, 0.16, 0.30),
        bridge_width=_between(rng, 0.065, 0.105),
    )


def _sample_mouth(rng: np.random.Generator) -> Mouth:
    return Mouth(
        y=_between(rng, 0.54, 0.64),
        half_width=_between(rng, 0.22, 0.32),
        upper_lip=_between(rng, 0.035, 0.075),
        lower_lip=_between(rng, 0.05, 0.10),
        tint=f32([_between(rng, -10, 30), _between(rng, -55, -25), _between(rng, -45, -15)]),
    )


def _sample_hair(rng: np.random.Generator, male: bool, has_dark_features: bool) -> Hair:
    odds = _HAIR_ODDS_DARK_SKIN if has_dark_features else _HAIR_ODDS_LIGHT_SKIN
    return Hair(
        colour=_HAIR_COLOURS[_choice(rng, odds)] * _between(rng, 0.8, 1.2),
        length=HairLength(_choice(rng, (0.15, 0.75, 0.10) if male else (0.02, 0.28, 0.70))),
        line=_between(rng, 0.58, 0.84),
        part=_between(rng, -0.5, 0.5),
        volume=_between(rng, 0.06, 0.22),
    )


def _sample_beard(rng: np.random.Generator, male: bool) -> Beard:
    style = BeardStyle(_choice(rng, (0.45, 0.25, 0.15, 0.15))) if male else BeardStyle.NONE
    return Beard(style=style, density=_between(rng, 0.35, 0.8))


def _sample_glasses(rng: np.random.Generator) -> Glasses:
    return Glasses(
        style=GlassesStyle(_choice(rng, (0.75, 0.15, 0.10))),
        grey=_between(rng, 10, 90),
        radius=_between(rng, 0.20, 0.25),
    )
