from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.monitoring.probes import OutcomeCounts, ReplayResult

COUNT = st.integers(0, 30)


def result(correct: tuple[bool | None, ...], **more: object) -> ReplayResult:
    right = sum(bool(one) for one in correct)
    wrong = sum(one is False for one in correct)
    own = {
        "model_id": "rec-facenet-v1.0.0", "task": "recognition", "probes": "sha256:1",
        "asked": len(correct), "counts": OutcomeCounts(tp=right, fp=wrong, fn=0, tn=0),
        "correct": correct, "failures": {"timeout": sum(one is None for one in correct)},
    }  # fmt: skip
    return ReplayResult(**{**own, **more})  # type: ignore[arg-type]


def test_rates_are_those_of_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(4)
    for _ in range(50):
        truth = rng.random(40) < rng.random()
        said = np.where(rng.random(40) < 0.8, truth, ~truth)
        truth[:2], said[:2] = (True, False), (True, False)
        tn, fp, fn, tp = metrics.confusion_matrix(truth, said).ravel().tolist()
        counts = OutcomeCounts(tp, fp, fn, tn)
        assert counts.precision == pytest.approx(metrics.precision_score(truth, said))
        assert counts.recall == pytest.approx(metrics.recall_score(truth, said))
        assert counts.f1 == pytest.approx(metrics.f1_score(truth, said))
        assert counts.right == pytest.approx(metrics.accuracy_score(truth, said))
        assert counts.fpr == pytest.approx(1 - metrics.recall_score(~truth, ~said))
        seen = result(tuple((truth == said).tolist()), counts=counts).rates
        assert seen["accuracy"] == counts.right
        assert seen["tpr"] == seen["recall"] == counts.recall


@given(COUNT, COUNT, COUNT, st.none() | COUNT)
def test_every_rate_is_a_share_or_unknown(tp: int, fp: int, fn: int, tn: int | None) -> None:
    counts = OutcomeCounts(tp, fp, fn, tn)
    for rate in (counts.precision, counts.recall, counts.f1, counts.fpr, counts.right):
        assert rate is None or 0 <= rate <= 1
    if tn is None:
        assert counts.fpr is None


def test_of_landmarks_accuracy_is_the_share_of_right_faces() -> None:
    seen = result((True, True, False, True), task="landmarks", counts=OutcomeCounts(3, 1, 1, None))
    assert seen.accuracy == 0.75
    assert seen.rates == {
        "precision": 0.75, "recall": 0.75, "f1": 0.75, "tpr": 0.75, "fpr": None, "accuracy": 0.75
    }  # fmt: skip


def test_one_probe_without_an_answer_leaves_every_rate_unknown() -> None:
    seen = result((True, None, True))
    assert (seen.answered, seen.failed, seen.complete) == (2, 1, False)
    assert set(seen.rates.values()) == {None}
    assert seen.accuracy is None
    told = seen.as_json()
    assert told["answered"] == 2
    assert told["failures"] == {"timeout": 1}
    assert told["accuracy"] is None
    assert json.loads(json.dumps(told)) == told


def test_a_set_of_nothing_is_not_complete() -> None:
    assert not result(()).complete
