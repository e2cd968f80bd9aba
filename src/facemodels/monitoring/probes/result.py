"""The result of a replay: counts of the outcomes and the rates from them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RATES = ("precision", "recall", "f1", "fpr", "tpr", "accuracy")


@dataclass(frozen=True)
class OutcomeCounts:
    """The number of outcomes of each kind, at the threshold of the package.

    Recognition counts pairs, and so does a system; one of whose photos shows no face that can be
    compared counts as called different. Detection counts faces at an IoU of 0.5 and has no true
    negatives. Landmarks counts faces: points that miss a face are a false positive and a false
    negative, so precision and recall are both the share of faces whose points are right.

    Attributes:
        tp: true positives.
        fp: false positives.
        fn: false negatives.
        tn: true negatives; None for a task that has none.
    """

    tp: int
    fp: int
    fn: int
    tn: int | None

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP), 0 to 1; None if nothing was called positive."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN), 0 to 1: the true positive rate; None without positives."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def f1(self) -> float | None:
        """2 TP / (2 TP + FP + FN), 0 to 1; None if all three are zero."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    @property
    def fpr(self) -> float | None:
        """FP / (FP + TN), 0 to 1; None without negatives."""
        return None if self.tn is None else _ratio(self.fp, self.fp + self.tn)

    @property
    def right(self) -> float | None:
        """The share of all outcomes that are right, 0 to 1; None without outcomes.

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

    Rates are given over all probes or not at all, because a version that does not answer the
    hard ones would look better without them.

    Attributes:
        model_id: the version that was asked, for example `rec-facenet-v2.1.3`.
        task: `detection`, `recognition`, `landmarks` or `system`.
        probes: the digest of the golden set.
        asked: the number of probes in the set.
        counts: the outcomes of the probes that were answered.
        correct: for each probe whether the answer was right; None without an answer.
        failures: the number of probes that failed, by reason.
        threshold: the threshold of the decisions; None for landmarks.
        mean_nme: the mean normalised error over the answers; None for other tasks than landmarks.
        seconds: how long the replay took.
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
        """The number of probes that this version answered, with an answer that makes sense."""
        return sum(one is not None for one in self.correct)

    @property
    def failed(self) -> int:
        """The number of probes without such an answer."""
        return self.asked - self.answered

    @property
    def complete(self) -> bool:
        """Whether every probe was answered."""
        return self.asked > 0 and self.failed == 0

    @property
    def accuracy(self) -> float | None:
        """The accuracy, 0 to 1; None unless complete. For landmarks the share of right faces."""
        if not self.complete:
            return None
        if self.task == "landmarks":
            return sum(map(bool, self.correct)) / self.asked
        return self.counts.right

    @property
    def rates(self) -> dict[str, float | None]:
        """The rates of `RATES` by name, each 0 to 1; all None unless complete."""
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
        """The result as plain values, for `probes/<id>.json`."""
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
