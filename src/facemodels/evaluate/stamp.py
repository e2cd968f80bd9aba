"""The stamp of a figure: what it was measured on and how.

Figures with different stamps are not set side by side: the same weights reach 96.3 or 99.3 % on
LFW by the crop alone (facenet-pytorch, issue 120). The parts of a stamp:

- `data`: SHA-256 over the prepared folder, as the report of prepare has it.
- `pairs`: SHA-256 of the pair list of the test split; "" where the task has none.
- `crop`: the crop in which the model takes faces; "" where the task has none.
- `detector`: what found the faces of the data, its digest, and which of its faces were taken;
  "" where the task has no such faces.
- `evaluator`: the protocol and its version, which is raised when the protocol changes.
- `threshold`: where the operating point comes from; "" where the task has none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.files import sha256_tree

Stamp = Mapping[str, str]
PARTS = ("data", "pairs", "crop", "detector", "evaluator", "threshold")
OF_A_MODEL = ("crop",)  # a part of the model, which differs where whole models are compared
FACES = "faces.json"  # of prepared faces, as `data.splits.FACES`, which is slow to import


def stamp(data: Path, *, evaluator: str, threshold: str, own: Mapping[str, str]) -> Stamp:
    """Return the stamp of an evaluation.

    Args:
        data: the prepared folder.
        evaluator: the protocol and its version, such as `recognition 2`.
        threshold: where the operating point comes from.
        own: the parts that the protocol knows, such as `pairs` and `crop`.
    """
    values = {
        "data": f"sha256:{sha256_tree(data)}",
        "detector": _detector(data),
        "evaluator": evaluator,
        "threshold": threshold,
        **own,
    }
    return {part: values.get(part, "") for part in PARTS}


def differences(a: Any, b: Any) -> tuple[str, ...]:
    """The parts in which two stamps differ, each as `name: one → other`; empty if they agree.

    A stamp that is missing, or is no mapping, differs as a whole.
    """
    if not (isinstance(a, Mapping) and a and isinstance(b, Mapping) and b):
        missing = [name for name, value in (("first", a), ("second", b)) if not value]
        return (f"the {' and the '.join(missing) or 'stamp'} has no stamp",)
    names = [*PARTS, *sorted((a.keys() | b.keys()) - set(PARTS))]
    return tuple(
        f"{name}: {_short(a.get(name))} → {_short(b.get(name))}"
        for name in names
        if a.get(name) != b.get(name)
    )


def require_same(a: Stamp, b: Stamp, names: tuple[str, str], *, across_crops: bool = False) -> None:
    """Check that the figures of two models may be set side by side.

    Args:
        a: the stamp of the first model's figures.
        b: the stamp of the second's.
        names: what the message calls the two models.
        across_crops: let each model have its own crop: what is compared then are models
            together with their crops, not weights.

    Raises:
        InputError: a part differs; the message says which, and what to do.
    """
    allowed = OF_A_MODEL if across_crops else ()
    first, second = ({k: "" if k in allowed else v for k, v in side.items()} for side in (a, b))
    found = differences(first, second)
    if found:
        only_crops = all(first.get(k) == second.get(k) for k in PARTS if k not in OF_A_MODEL)
        raise InputError(
            f"the figures of {names[0]} and {names[1]} cannot be set side by side: "
            f"{'; '.join(found)}.",
            "Give --across-crops (in conf/config.yaml: compare.across_crops) to compare each "
            "model together with its crop."
            if only_crops
            else "Measure both on the same data with the same version of facemodels.",
        )


def _detector(data: Path) -> str:
    """The detector with its digest and how its faces were taken; "" for a task without faces."""
    path = data / FACES
    if not path.is_file():
        return ""
    about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    settings = [f"{name} {about[name]}" for name in sorted(about.keys() - {"detector"})]
    return ", ".join([str(about["detector"]), *settings])


def _short(value: object) -> str:
    """A digest by its first digits; other values whole."""
    text = str(value or "none")
    return text[:19] if text.startswith("sha256:") else text
