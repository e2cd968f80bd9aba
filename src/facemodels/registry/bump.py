"""Compares two packages: the version bump that their interfaces and their accuracy ask for.

The rule itself is in `semver` and pure; this module runs both packages on the same images.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import GateError, InputError
from facemodels.evaluate.comparison import compare_accuracy
from facemodels.evaluate.compatibility import (
    claims_space_of,
    measure_compatibility,
    require_compatible,
)
from facemodels.evaluate.measurements import Measurements
from facemodels.package.load import Package
from facemodels.params import Compare
from facemodels.registry import semver
from facemodels.registry.evidence import interface


@dataclass(frozen=True)
class Comparison:
    """A ruling and the evidence for it.

    Attributes:
        ruling: the smallest legal bump.
        evidence: the package compared with, the metric, and its interval.
    """

    ruling: semver.BumpRuling
    evidence: dict[str, Any]


def compare(old: Package, new: Package, data: Path, settings: Compare) -> Comparison:
    """Rule on the bump from one package to another.

    Packages with the same weights have the same accuracy, so they are not run.

    Args:
        old: the package of the version before.
        new: the package of the next version.
        data: prepared test data of the task.
        settings: the settings of the paired bootstrap.

    Raises:
        InputError: there is no data to compare on.
        GateError: the new package claims the old one's embedding space and does not keep it, or
            it claims the space of a third.
    """
    require_shown_claim(old, new)
    evidence: dict[str, Any] = {"against": str(old.id), "package": f"sha256:{old.digest}"}
    accuracy: semver.Accuracy = "no difference shown"
    if _has_equal_weights(old, new):
        evidence["accuracy"] = "same weights"
    else:
        if not data.is_dir():
            raise InputError(
                f"{data} is not there, so {new.id} cannot be compared with {old.id}.",
                f"Run `dvc repro prepare@{new.task}`, or give --test-data.",
            )
        measured = Measurements(data, settings)
        row = compare_accuracy(old, new, measured)[0]  # of the primary metric
        accuracy = row.verdict
        evidence["accuracy"] = asdict(row)
        if claims_space_of(old, new):
            found = measure_compatibility(old, new, measured)
            require_compatible(found)
            evidence["compatibility"] = found.as_json()
    return Comparison(semver.rule(interface(old), interface(new), accuracy), evidence)


def _has_equal_weights(old: Package, new: Package) -> bool:
    """Whether two packages compute the same: of systems, which faces are looked at counts too."""
    keys = ("min_score",) if new.task == "system" else ()
    return old.metadata["checksum"] == new.metadata["checksum"] and all(
        old.config.get(key) == new.config.get(key) for key in keys
    )


def require_shown_claim(old: Package | None, new: Package) -> None:
    """Refuse a claim on an embedding space that the version before cannot confirm.

    Args:
        old: the package of the version before; None where there is none.
        new: the package of the next version.

    Raises:
        GateError: the new package claims a space that the old one does not have.
    """
    named = new.metadata.get("compatible_with")
    space = old.metadata.get("embedding_space") if old is not None else None
    if named and new.metadata.get("embedding_space") != space:
        before = f"{old.id}, the version before, has another" if old else "no version is before it"
        raise GateError(
            f"{new.id} claims the embedding space of {named['id']}, but {before}, so that nothing "
            "shows the claim.",
            f"Register it as the version after {named['id']}, or train without compatible_with.",
        )
