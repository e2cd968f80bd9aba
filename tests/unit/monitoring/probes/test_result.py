from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.monitoring.probes import Counts, Result, changes, drop

COUNT = st.integers(0, 30)


def result(correct: tuple[bool | None, ...], **more: object) -> Result:
    right = sum(bool(one) for one in correct)
    wrong = sum(one is False for one in correct)
    own = {
        "model_id": "rec-facenet-v1.0.0", "task": "recognition", "probes": "sha256:1",
        "asked": len(correct), "counts": Counts(tp=right, fp=wrong, fn=0, tn=0),
        "correct": correct, "failures": {"timeout": sum(one is None for one in correct)},
    }  # fmt: skip
    return Result(**{**own, **more})  # type: ignore[arg-type]


def test_rates_are_those_of_scikit_learn() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(4)
    for _ in range(50):
        truth = rng.random(40) < rng.random()
        said = np.where(rng.random(40) < 0.8, truth, ~truth)
        truth[:2], said[:2] = (True, False), (True, False)
        tn, fp, fn, tp = metrics.confusion_matrix(truth, said).ravel().tolist()
        counts = Counts(tp, fp, fn, tn)
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
    counts = Counts(tp, fp, fn, tn)
    for rate in (counts.precision, counts.recall, counts.f1, counts.fpr, counts.right):
        assert rate is None or 0 <= rate <= 1
    if tn is None:
        assert counts.fpr is None


def test_of_landmarks_accuracy_is_the_share_of_right_faces() -> None:
    seen = result((True, True, False, True), task="landmarks", counts=Counts(3, 1, 1, None))
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


def test_drop_is_how_much_is_lost() -> None:
    reference = result((True, True, True, False))
    candidate = result((True, False, False, False))
    assert drop(candidate, reference) == pytest.approx(0.5)
    assert drop(reference, candidate) == pytest.approx(-0.5)
    assert drop(reference, reference) == 0


@pytest.mark.parametrize(
    "other",
    [
        result((True, True, None)),
        result((True, True, True), probes="sha256:2"),
        result((True, True, True), task="detection"),
    ],
)
def test_where_nobody_can_say_drop_is_none_either_way(other: Result) -> None:
    whole = result((True, True, True))
    assert drop(other, whole) is None
    assert drop(whole, other) is None
    assert changes(other, whole) is None


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_changes_are_mcnemars_exact_test(pairs: list[tuple[bool, bool]]) -> None:
    from scipy.stats import binomtest

    candidate, reference = (result(tuple(pair[side] for pair in pairs)) for side in (0, 1))
    found = changes(candidate, reference)
    assert found is not None
    assert found.lost == sum(was and not now for now, was in pairs)
    assert found.won == sum(now and not was for now, was in pairs)
    total = found.lost + found.won
    expected = binomtest(found.lost, total, 0.5, "greater").pvalue if total else 1.0
    assert found.p_value == pytest.approx(expected)
    gap = drop(candidate, reference)
    assert gap == pytest.approx((found.lost - found.won) / len(pairs))


def test_results_of_other_versions_of_one_set_are_compared() -> None:
    one = result((True, False))
    assert drop(replace(one, model_id="rec-facenet-v2.0.0"), one) == 0
