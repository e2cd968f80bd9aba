"""What a replay showed: counts and rates. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RATES = ("precision", "recall", "f1", "fpr", "tpr", "accuracy")


@dataclass(frozen=True)
class OutcomeCounts:
    """Outcomes at the package's threshold.

    Recognition counts pairs. Detection counts faces at IoU 0.5, where nothing is a true
    negative. Landmarks counts faces: points that miss are a false positive, and the face that
    they miss is a false negative; so precision and recall are the share of faces that are right.

    Attributes:
        tp: true positives.
        fp: false positives.
        fn: false negatives.
        tn: true negatives; None where there is no such thing.
    """

    tp: int
    fp: int
    fn: int
    tn: int | None

    @property
    def precision(self) -> float | None:
        """0..1; None if nothing was called positive."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """0..1; the true positive rate."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """0..1: 2PR / (P + R) without its division by zero."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def fpr(self) -> float | None:
        """0..1; None where there are no true negatives."""
        return None if self.tn is None else _ratio(self.fp, self.fp + self.tn)

    @property
    def right(self) -> float | None:
        """Share of all outcomes that are right, 0..1.

        Without true negatives it is TP / (TP + FP + FN), the critical success index of
        Donaldson, Dyer, Kraus, "An objective evaluator of techniques for predicting severe
        weather events", 1975.
        """
        tn = self.tn or 0
        return _ratio(self.tp + tn, self.tp + self.fp + self.fn + tn)


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


@dataclass(frozen=True)
class ReplayResult:
    """What one version answered to one golden set.

    Rates are given over all probes or not at all: a version that fails on the hard ones would
    look better for it.

    Attributes:
        model_id: the version that was asked, for example `rec-facenet-v2.1.3`.
        task: `detection`, `recognition` or `landmarks`.
        probes: digest of the set.
        asked: how many probes there are.
        counts: of those that were answered.
        correct: of each probe, whether it was answered right; None where no answer came.
        failures: how many probes failed, by reason.
        threshold: of the decisions; None for landmarks.
        mean_nme: landmarks: over the answers; None for others.
        seconds: that the replay took.
    """

    model_id: str
    task: str
    probes: str
    asked: int
    counts: OutcomeCounts
    correct: tuple[bool | None, ...]
    failures: Mapping[str, int] = field(default_factory=dict)
    threshold: float | None = None
    mean_nme: float | None = None
    seconds: float = 0.0

    @property
    def answered(self) -> int:
        """How many probes this version answered, by itself and with sense."""
        return sum(one is not None for one in self.correct)

    @property
    def failed(self) -> int:
        """The others."""
        return self.asked - self.answered

    @property
    def complete(self) -> bool:
        """Whether every probe was answered."""
        return self.asked > 0 and self.failed == 0

    @property
    def accuracy(self) -> float | None:
        """0..1; None unless complete. Of landmarks the share of faces that are right."""
        if not self.complete:
            return None
        if self.task == "landmarks":
            return sum(map(bool, self.correct)) / self.asked
        return self.counts.right

    @property
    def rates(self) -> dict[str, float | None]:
        """`RATES` by name, each 0..1; all None unless complete."""
        if not self.complete:
            return dict.fromkeys(RATES)
        counts = self.counts
        return {
            "precision": counts.precision,
            "recall": counts.recall,
            "f1": counts.f1,
            "fpr": counts.fpr,
            "tpr": counts.recall,
            "accuracy": self.accuracy,
        }

    def as_json(self) -> dict[str, Any]:
        """All of it, for status.json and reports."""
        return {
            "model_id": self.model_id,
            "task": self.task,
            "probes": self.probes,
            "asked": self.asked,
            "answered": self.answered,
            "failures": dict(self.failures),
            "complete": self.complete,
            "counts": vars(self.counts).copy(),
            "threshold": self.threshold,
            "mean_nme": self.mean_nme,
            "seconds": round(self.seconds, 3),
            **self.rates,
        }
