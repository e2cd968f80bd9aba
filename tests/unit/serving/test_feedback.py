"""What users say of answers is counted once an answer, and within bounds."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from scipy.stats import binomtest

from facemodels.intervals import wilson
from facemodels.serving.feedback import Feedback

OWN = ("recognition-facenet", "1.0.0")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def value(registry: CollectorRegistry, name: str, **labels: str) -> float | None:
    own = {"model_name": OWN[0], "model_version": OWN[1]}
    return registry.get_sample_value(name, {**own, **labels})


def test_satisfaction_is_the_mean_of_what_was_said_once_an_answer(
    registry: CollectorRegistry,
) -> None:
    told = Feedback(OWN, registry)
    assert value(registry, "facemodels_user_satisfaction_ratio") is None
    for number in range(4):
        told.answered(f"r{number}", None)
    scores = [1.0, 0.5, 0.0]
    for number, score in enumerate(scores):
        given = {"score": score, "verdict": None, "per_hour": 10}
        assert told.judge(f"r{number}", "a", **given) is None
        assert told.judge(f"r{number}", "b", **given) == "repeated"
    told.answered("r0", None)  # the id again opens nothing
    assert told.judge("r0", "a", score=1, verdict=None, per_hour=10) == "repeated"
    assert told.judge("other", "a", score=1, verdict=None, per_hour=10) == "unknown"
    assert told.judge("r3", "a", score=None, verdict="wrong", per_hour=10) == "undecided"
    assert value(registry, "facemodels_user_satisfaction_ratio") == 0.5
    assert value(registry, "facemodels_user_feedback_total") == 3


def test_wrong_decisions_give_live_rates_with_intervals(registry: CollectorRegistry) -> None:
    told = Feedback(OWN, registry)
    said = [(True, "wrong")] * 2 + [(False, "right")] * 8 + [(True, "right")] * 3
    for number, (same, verdict) in enumerate(said):
        told.answered(f"r{number}", same)
        told.judge(f"r{number}", "a", score=None, verdict=verdict, per_hour=100)
    assert value(registry, "facemodels_reported_false_match_ratio") == 0.2
    assert value(registry, "facemodels_reported_false_non_match_ratio") == 0.0
    low, high = (
        value(registry, f"facemodels_reported_false_match_ratio_{b}") for b in ("low", "high")
    )
    exact = binomtest(2, 10).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((exact.low, exact.high), abs=1e-6)
    reported = "facemodels_reported_decisions_total"
    assert value(registry, reported, same_person="true", verdict="wrong") == 2
    assert b"r0" not in generate_latest(registry)
    assert wilson(0, 5)[0] == 0.0


def test_one_client_counts_so_often_an_hour(registry: CollectorRegistry) -> None:
    clock = Clock()
    told = Feedback(OWN, registry, clock=clock)
    for number in range(6):
        told.answered(f"r{number}", None)
    given = {"score": 1.0, "verdict": None, "per_hour": 2}
    assert [told.judge(f"r{n}", "a", **given) for n in range(3)] == [None, None, "too_many"]
    assert told.judge("r2", "b", **given) is None
    clock.now = 3600.0
    assert told.judge("r3", "a", **given) is None
