"""The smallest legal version bump between two packages: computed, not asserted. Pure.

MAJOR  callers or stored data break: input or output signature, embedding space, architecture; of
       a system, which has no architecture, the crop
MINOR  better accuracy (the paired interval of the difference excludes zero), or a new form
PATCH  speed, size and fixes at equal accuracy
Worse accuracy has no legal bump unless someone answers for it.

Source of the levels: semver.org 2.0.0, items 6 to 8, read for models as in the model guide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.errors import InputError, RuleError
from facemodels.names import Version

Level = Literal["patch", "minor", "major"]
LEVELS: tuple[Level, ...] = ("patch", "minor", "major")
Accuracy = Literal["better", "worse", "no difference shown"]
# key of an entry's `interface` → what its change is called
_BREAKING: Mapping[str, str] = {
    "architecture": "architecture",
    "crop": "crop",
    "input_shape": "input shape",
    "output_shape": "output shape",
    "embedding_space": "embedding space",
}


@dataclass(frozen=True)
class BumpRuling:
    """The smallest legal bump and why.

    Attributes:
        level: patch, minor or major.
        reasons: one line for each change that asks for the level.
        regression: whether accuracy is worse.
    """

    level: Level
    reasons: tuple[str, ...]
    regression: bool


def rule(old: Mapping[str, Any], new: Mapping[str, Any], accuracy: Accuracy) -> BumpRuling:
    """Rule on the smallest legal bump from one package to another.

    Args:
        old: `interface` of the entry: architecture or crop, shapes, embedding_space, runtimes.
        new: the same keys of the new package.
        accuracy: verdict of the paired comparison, of new against old.
    """
    breaks = [
        f"{words} {old.get(key)} → {new.get(key)}"
        for key, words in _BREAKING.items()
        if old.get(key) != new.get(key)
    ]
    lost = sorted(set(old.get("runtimes", ())) - set(new.get("runtimes", ())))
    breaks += [f"no longer runs on {runtime}" for runtime in lost]
    gains = ["accuracy is better"] if accuracy == "better" else []
    gained = sorted(set(new.get("runtimes", ())) - set(old.get("runtimes", ())))
    gains += [f"runs on {runtime} too" for runtime in gained]
    level: Level = "major" if breaks else "minor" if gains else "patch"
    reasons = tuple(breaks or gains or ["same interface and no difference in accuracy shown"])
    return BumpRuling(level, reasons, accuracy == "worse")


def bump(version: Version, level: Level) -> Version:
    """The next version at a level."""
    if level == "major":
        return Version(version.major + 1, 0, 0)
    if level == "minor":
        return Version(version.major, version.minor + 1, 0)
    return Version(version.major, version.minor, version.patch + 1)


def level_between(old: Version, new: Version) -> Level:
    """The level at which two versions differ.

    Raises:
        InputError: the new version is not above the old.
    """
    if new <= old:
        raise InputError(f"{new} is not above {old}.", f"Use at least {bump(old, 'patch')}.")
    if new.major != old.major:
        return "major"
    return "minor" if new.minor != old.minor else "patch"


def check(old: Version, new: Version, ruling: BumpRuling, *, accept_regression: str = "") -> None:
    """Refuse a version number that promises more than the ruling allows.

    Raises:
        InputError: it is not above the old.
        RuleError: the bump is too small, or accuracy is worse and nobody answers for it.
    """
    level = level_between(old, new)
    if LEVELS.index(level) < LEVELS.index(ruling.level):
        raise RuleError(
            f"{old} → {new} is a {level} bump, but at least {ruling.level} is due: "
            f"{'; '.join(ruling.reasons)}.",
            f"Use {bump(old, ruling.level)} or more.",
        )
    if ruling.regression and not accept_regression:
        raise RuleError(
            f"accuracy of {new} is worse than of {old}.",
            "Train it better, or answer for it with --accept-regression REASON.",
        )
