"""The parts of the difference between two versions, and how each part is computed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.names import ModelId
from facemodels.provenance.flat import Flat, ValueChange, changes, flatten
from facemodels.provenance.lineage.ancestry import Ancestor
from facemodels.provenance.lineage.inputs import Artifact
from facemodels.registry import semver
from facemodels.registry.semver import Level
from facemodels.yaml_text import plain

_NOT_EVALUATED = ("model_size_mb", "inference_time_ms")

# how the second of two commits stands to the first
Relation = Literal["same", "after", "before", "diverged", "not known"]


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """A metric of two versions.

    Attributes:
        name: the key of the metric.
        before: the value of the first version; None if it has no such metric.
        after: the value of the second version; None if it has no such metric.
        comparable: whether both were measured on the same data in the same way.
    """

    name: str
    before: Any
    after: Any
    comparable: bool = True

    @property
    def difference(self) -> float | None:
        """The second value minus the first; None unless both are comparable numbers."""
        if self.comparable and _is_number(self.before) and _is_number(self.after):
            return float(self.after) - float(self.before)
        return None

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "name": self.name,
            "before": self.before,
            "after": self.after,
            "difference": self.difference,
        }


@dataclass(frozen=True, slots=True)
class BumpCheck:
    """The version bump that two interfaces ask for, beside the bump that was made.

    Attributes:
        older: the id of the lower version.
        newer: the id of the higher version.
        at_least: the smallest legal level. Accuracy may ask for more; it is not judged here.
        reasons: the changes that ask for the level; empty if the interface asks for nothing.
        actual: the level at which the two version numbers differ.
    """

    older: str
    newer: str
    at_least: Level
    reasons: tuple[str, ...]
    actual: Level

    @property
    def enough(self) -> bool:
        """Whether the numbers differ by as much as the interfaces ask for."""
        return semver.LEVELS.index(self.actual) >= semver.LEVELS.index(self.at_least)

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "older": self.older,
            "newer": self.newer,
            "at_least": self.at_least,
            "reasons": list(self.reasons),
            "actual": self.actual,
            "enough": self.enough,
        }


@dataclass(frozen=True, slots=True)
class Commits:
    """Commits that touch the code.

    Attributes:
        count: the number of commits.
        listed: the newest of them, each as `<short id> <subject>`.
    """

    count: int = 0
    listed: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {"count": self.count, "listed": list(self.listed)}


@dataclass(frozen=True, slots=True)
class CodeDifference:
    """How the code of two versions differs.

    Attributes:
        relation: how the second commit stands to the first.
        paths: the folders whose commits are counted.
        gained: the commits that the second version has and the first does not have.
        lost: the commits that the first version has and the second does not have.
        files: the files that the stages read and that differ; None if dvc.lock does not say.
    """

    relation: Relation
    paths: tuple[str, ...]
    gained: Commits
    lost: Commits
    files: tuple[str, ...] | None

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "relation": self.relation,
            "paths": list(self.paths),
            "gained": self.gained.as_json(),
            "lost": self.lost.as_json(),
            "files": None if self.files is None else list(self.files),
        }


@dataclass(frozen=True, slots=True)
class VersionDifference:
    """What differs between two versions. A part is None if one side recorded nothing of it.

    Attributes:
        before: the first version.
        after: the second version.
        metrics: all metrics, whether they differ or not.
        stamps: the parts in which the stamps of the metrics differ; empty if they agree.
        interface: the changes that callers see, such as shapes.
        bump: the version bump that the interface asks for; None also for two models or variants.
        parameters: the changed parameters, without the version number and the card.
        data: the changed digests of data, by path.
        same_package: whether the packages are equal byte for byte.
        code: the commits and files of the code.
        requirements: the changed pins of requirements.
        requirements_from: `registration` or `requirements.lock`, which had the pins; "" if none.
        labels: the labels in the registry that were added or removed.
        members: of two systems, the changed members: id and digest by task.
        decides_by: of two systems, the changed thresholds and limits.
    """

    before: Ancestor
    after: Ancestor
    metrics: tuple[MetricDifference, ...]
    stamps: tuple[str, ...]
    interface: tuple[ValueChange, ...] | None
    bump: BumpCheck | None
    parameters: tuple[ValueChange, ...] | None
    data: tuple[ValueChange, ...] | None
    same_package: bool | None
    code: CodeDifference
    requirements: tuple[ValueChange, ...] | None
    requirements_from: str
    labels: tuple[ValueChange, ...]
    members: tuple[ValueChange, ...] | None = None
    decides_by: tuple[ValueChange, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "before": _side(self.before),
            "after": _side(self.after),
            "metrics": [metric.as_json() for metric in self.metrics],
            "stamps": list(self.stamps),
            "interface": _listed(self.interface),
            **_of_systems(self),
            "bump": self.bump.as_json() if self.bump else None,
            "parameters": _listed(self.parameters),
            "data": _listed(self.data),
            "same_package": self.same_package,
            "code": self.code.as_json(),
            "requirements": _listed(self.requirements),
            "requirements_from": self.requirements_from,
            "labels": {
                "added": [change.name for change in self.labels if change.kind == "added"],
                "removed": [change.name for change in self.labels if change.kind == "removed"],
            },
        }


def _of_systems(difference: VersionDifference) -> dict[str, Any]:
    if difference.members is None:
        return {}
    return {
        "members": _listed(difference.members),
        "decides_by": _listed(difference.decides_by),
    }


def _side(version: Ancestor) -> dict[str, Any]:
    package = version.inputs.package
    return {
        "model_id": version.id,
        "status": version.status,
        "created_at": version.created_at,
        "commit": version.revision.as_json(),
        "dvc": version.dvc or (package.md5 if package else ""),
        "size": package.size if package else None,
        "parameters_from": version.inputs.parameters_from,
        "notes": [*version.notes, *version.inputs.notes],
    }


def _listed(found: Sequence[ValueChange] | None) -> list[dict[str, Any]] | None:
    return None if found is None else [change.as_json() for change in found]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


# --- comparing what was recorded -----------------------------------------------------------


def metrics(before: Any, after: Any, *, comparable: bool = True) -> tuple[MetricDifference, ...]:
    """Pair the metrics of two versions, sorted by name.

    Args:
        before: what the first registration recorded as `metrics`, whatever it is.
        after: what the second registration recorded.
        comparable: whether the stamps of both agree. Without that, only what needs no
            evaluation, such as the size, is subtracted.
    """
    sides = [{".".join(key): v for key, v in leaves(values).items()} for values in (before, after)]
    names = sorted(sides[0].keys() | sides[1].keys())
    return tuple(
        MetricDifference(
            name, sides[0].get(name), sides[1].get(name), comparable or name in _NOT_EVALUATED
        )
        for name in names
    )


def recorded(before: Any, after: Any) -> tuple[ValueChange, ...] | None:
    """Find the changes between two recorded mappings; None unless both were recorded."""
    sides = leaves(before), leaves(after)
    return changes(*sides) if all(sides) else None


def leaves(values: Any) -> Flat:
    """Flatten a recorded mapping; a value that is no mapping gives an empty one."""
    return flatten(plain(values)) if isinstance(values, Mapping) else {}


def labels(before: Any, after: Any) -> tuple[ValueChange, ...]:
    """Find the labels that were added and removed."""
    sides: list[Flat] = [
        {(str(label),): True for label in (values if isinstance(values, list | tuple) else ())}
        for values in (before, after)
    ]
    return changes(*sides)


def digests(before: Sequence[Artifact], after: Sequence[Artifact]) -> tuple[ValueChange, ...]:
    """Find the data whose digest changed, or that only one side has."""
    sides: list[dict[tuple[str, ...], str]] = []
    for artifacts in (before, after):
        found: dict[tuple[str, ...], str] = {}
        for artifact in artifacts:
            known = found.get((artifact.path,))
            found[(artifact.path,)] = f"{known} {artifact.md5}" if known else artifact.md5
        sides.append(found)
    return changes(*sides)


def bump(first: str, second: str, interfaces: Mapping[str, Any]) -> BumpCheck | None:
    """Check the version bump between two versions against their interfaces.

    Args:
        first: the id of a version.
        second: the id of another version.
        interfaces: what was recorded as the interface of both, by id.

    Returns:
        The check; None if an interface is not known, the versions are equal, or they are of two
        models or variants.
    """
    one, other = ModelId.parse(first), ModelId.parse(second)
    known = all(isinstance(value, Mapping) and value for value in interfaces.values())
    same_line = (one.name, one.variant) == (other.name, other.variant)
    if not known or not same_line or one.version == other.version:
        return None
    older, newer = sorted((one, other), key=lambda model: model.version)
    # The accuracy is not known here. This word for it asks for no more than a patch, so what
    # remains is what the interfaces ask for, and its own reason is left out.
    ruling = semver.rule(interfaces[str(older)], interfaces[str(newer)], "no difference shown")
    reasons = ruling.reasons if ruling.level != "patch" else ()
    actual = semver.level_between(older.version, newer.version)
    return BumpCheck(str(older), str(newer), ruling.level, reasons, actual)


def pins(text: str) -> dict[tuple[str, ...], str]:
    """Read the pinned versions, by name, from the text of a requirements file.

    Comments, options and hashes are left out.
    """
    found: dict[tuple[str, ...], str] = {}
    for line in text.splitlines():
        requirement = line.split(" #", 1)[0].split(" --hash", 1)[0].strip().rstrip("\\").strip()
        name, separator, version = requirement.partition("==")
        if separator and not name.startswith(("#", "-")):
            key = (name.strip().lower(),)
            found[key] = f"{found[key]}, {version.strip()}" if key in found else version.strip()
    return found
