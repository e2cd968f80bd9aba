"""Whether new faces find old ones: a new model's embeddings against an old model's gallery.

Three measurements stand side by side, each named query/gallery: old/old, new/new, and new/old,
where the first face of a pair is embedded by the new model and the second, as in a gallery that
nobody enrolled anew, by the old. Each model takes faces in its own crop.

A version *claims* the embedding space of another when both state the same space and have other
weights. Galleries and servers believe the claim, so it has a gate: with the new model's faces
against the old model's gallery, accuracy may not be lower than the old model's own by more than
`compare.compatibility_margin`, at the low end of the paired interval. That holds for the accuracy
of the folds, whose thresholds are chosen for new/old, and for that at the threshold which the old
model has in use. Source of the criterion: Shen et al., "Towards Backward-Compatible
Representation Learning", CVPR 2020, which wants new/old above old/old; the margin says how far
"not below" can be shown by a finite test.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from facemodels.errors import GateError, InputError
from facemodels.evaluate import bootstrap
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.measurements import Measurements
from facemodels.package.load import Package
from facemodels.params import Compare
from facemodels.text import markdown

THRESHOLD = "threshold"  # the best on val
GATED = ("accuracy", "accuracy_at_threshold")
# What new/old has at a threshold is at the old model's, as galleries have it in use.
_WITHOUT_INTERVAL = ("fnir_at_fpir_1e-1", "fnir_at_fpir_1e-2", "fmr", "fnmr")


@dataclass(frozen=True)
class CompatibilityRow:
    """One metric of the three measurements.

    Attributes:
        metric: its name.
        old_old: the old model alone.
        new_new: the new model alone.
        new_old: the new model's faces against the old model's gallery.
        low: end of the paired interval of new_old - old_old, or None where there is none.
        high: likewise.
    """

    metric: str
    old_old: float
    new_new: float
    new_old: float
    low: float | None = None
    high: float | None = None

    @property
    def difference(self) -> float:
        """What new/old has more than old/old."""
        return self.new_old - self.old_old


@dataclass(frozen=True)
class Compatibility:
    """What was measured of a new model against an old model's gallery.

    Attributes:
        old: id of the old version.
        new: id of the new version.
        rows: the metrics, those that the gate looks at first.
        margin: how far the low ends of their intervals may lie below 0.
    """

    old: str
    new: str
    rows: tuple[CompatibilityRow, ...]
    margin: float

    @property
    def gated(self) -> tuple[CompatibilityRow, ...]:
        """The rows that the gate looks at."""
        return tuple(row for row in self.rows if row.metric in GATED)

    @property
    def passed(self) -> bool:
        """Whether new/old reaches old/old within the margin."""
        return all(row.low is not None and row.low >= -self.margin for row in self.gated)

    def as_json(self) -> dict[str, Any]:
        """Return the values for reports and for the registry."""
        return {
            "old": self.old,
            "new": self.new,
            "margin": self.margin,
            "passed": self.passed,
            "rows": [asdict(row) for row in self.rows],
        }

    def table(self, percent: str) -> str:
        """Format the rows as Markdown."""
        return markdown([_line(row, percent) for row in self.rows])

    def verdict(self) -> str:
        """Say in a sentence whether new faces find old ones."""
        words = "reaches" if self.passed else "does not reach"
        return (
            f"{self.new} against a gallery of {self.old} {words} {self.old} itself within "
            f"{self.margin:g}: {'; '.join(map(_difference, self.gated))}"
        )


def claims_space_of(old: Package, new: Package) -> bool:
    """Return whether a package says that its embeddings can be compared with another's.

    Packages of the same weights need not say so.
    """
    space = new.metadata.get("embedding_space")
    return (
        new.task == old.task == "recognition"
        and space is not None
        and space == old.metadata.get("embedding_space")
        and new.metadata["checksum"] != old.metadata["checksum"]
    )


def measure_compatibility(old: Package, new: Package, measured: Measurements) -> Compatibility:
    """Measure two recognisers alone, and the new one's faces against the old one's gallery.

    Deterministic: same packages, data and seed give the same rows.

    Raises:
        DataError: the data has no such splits, or too little for an interval.
        InputError: a package is no recogniser, or their embeddings have other sizes.
    """
    for package in (old, new):
        if package.task != "recognition":
            raise InputError(
                f"{package.id} is of {package.task} and has no embeddings.",
                "Compare the embeddings of two recognisers.",
            )
    sizes = [package.metadata["output_shape"] for package in (old, new)]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"embeddings of {old.id} have the shape {sizes[0]} and those of {new.id} "
            f"{sizes[1]}, so neither can be searched in the other's gallery.",
            "Compare models whose embeddings have one size.",
        )
    alone, own = measured.evaluation(old), measured.evaluation(new)
    across = measured.evaluation(new, old)
    names = [*GATED, *sorted(alone.resampled.keys() - set(GATED))]
    rows = [_paired(name, alone, own, across, measured.settings) for name in names]
    rows += [_plain(name, *(e.metrics for e in (alone, own, across))) for name in _WITHOUT_INTERVAL]
    thresholds = [{THRESHOLD: e.threshold or 0.0} for e in (alone, own, across)]
    rows.append(_plain(THRESHOLD, *thresholds))
    return Compatibility(
        str(old.id),
        str(new.id),
        tuple(row for row in rows if row is not None),
        measured.settings.compatibility_margin,
    )


def require_compatible(found: Compatibility) -> None:
    """Stop a version that claims the space of another and was not shown to keep it.

    Raises:
        GateError: new/old does not reach old/old within the margin.
    """
    if not found.passed:
        raise GateError(
            f"{found.new} claims the embedding space of {found.old}, but {found.verdict()}.",
            "Raise train.losses.influence (margin_rad, weight) or train longer; or train without "
            "compatible_with, release it as a new MAJOR version, and migrate the galleries.",
        )


def _paired(
    name: str, alone: Evaluation, own: Evaluation, across: Evaluation, settings: Compare
) -> CompatibilityRow | None:
    """A metric with its interval; None where one of the measurements lacks it."""
    if not all(name in evaluation.resampled for evaluation in (own, across)):
        return None
    difference = bootstrap.difference_of(
        across.resampled[name],
        alone.resampled[name],
        resamples=settings.resamples,
        seed=settings.seed,
        confidence=settings.confidence,
    )
    return CompatibilityRow(
        name,
        alone.metrics[name],
        own.metrics[name],
        across.metrics[name],
        difference.low,
        difference.high,
    )


def _plain(
    name: str,
    alone: Mapping[str, float],
    own: Mapping[str, float],
    across: Mapping[str, float],
) -> CompatibilityRow | None:
    if not all(name in metrics for metrics in (alone, own, across)):
        return None
    return CompatibilityRow(name, alone[name], own[name], across[name])


def _line(row: CompatibilityRow, percent: str) -> dict[str, object]:
    return {
        "metric": row.metric,
        "old/old": row.old_old,
        "new/new": row.new_new,
        "new/old": row.new_old,
        "new/old - old/old": row.difference,
        f"{percent} interval": "" if row.low is None else f"{row.low:.4g} to {row.high:.4g}",
    }


def _difference(row: CompatibilityRow) -> str:
    return (
        f"{row.metric} {row.new_old:.4f} against {row.old_old:.4f}, interval of the difference "
        f"{row.low:.4f} to {row.high:.4f}"
    )
