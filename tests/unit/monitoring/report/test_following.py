"""`monitor` outlives a source that fails, and says which way the evidence leans."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.monitoring.report.test_views import observation

from facemodels.errors import ToolError
from facemodels.monitoring.analysis.lean import Leaning, leaning
from facemodels.monitoring.analysis.verdict import MetricEvidence, decide
from facemodels.monitoring.report.following import Follower
from facemodels.monitoring.report.observation import Observation

BEGAN = 1000.0


def follow(failures: set[int], *, raises: bool) -> tuple[Observation, list[Observation]]:
    """Ten seconds of looks, of which some fail; what was shown, and the last one."""
    time, shown, source = [0.0], [], SimpleNamespace(problem="")

    def look(curves: bool) -> Observation:
        fails = int(time[0]) in failures
        if fails and raises:
            raise ToolError("Prometheus is away.")
        source.problem = "Prometheus is away." if fails else ""
        return observation(began=BEGAN, now=BEGAN + time[0])

    def sleep(seconds: float) -> None:
        time[0] += seconds

    any_source: Any = source
    follower = Follower(
        look, any_source, BEGAN + 10, shown.append, sleep=sleep, clock=lambda: time[0]
    )
    return follower.follow(), shown


@pytest.mark.parametrize("raises", [True, False])
def test_the_last_figures_stay_while_the_source_fails(raises: bool) -> None:
    last, shown = follow({3, 4, 5, 9, 10, 11}, raises=raises)
    assert [one.now - BEGAN for one in shown] == [0, 1, 2, 2, 2, 2, 6, 7, 8, 8, 8]
    assert "No figures since 1970-01-01 00:16:42 UTC: Prometheus is away." in shown[3].notes
    assert shown[6].notes == ()
    assert (last.now - BEGAN, last.notes) == (12, ())


def test_a_source_that_never_comes_back_ends_with_the_last_figures() -> None:
    last, _ = follow(set(range(5, 1000)), raises=True)
    assert last.now == BEGAN + 4
    assert "Prometheus is away" in last.notes[-1]


def test_a_source_that_never_answered_is_an_error() -> None:
    with pytest.raises(ToolError, match="away"):
        follow({0}, raises=True)


def evidence(name: str, worse: float, fit: float) -> MetricEvidence:
    return MetricEvidence(name, 0.1, 0.1, 100, 10, worse, 5.0, fit, 4.0)


def test_it_leans_to_what_the_evidence_is_nearest_to() -> None:
    def leans(*pairs: tuple[float, float]) -> Leaning | None:
        return leaning(decide([evidence("errors", *one) for one in pairs]), elapsed_s=600)

    assert leans((0.5, 2.0), (0.0, 3.0)) == Leaning("promote", 600)  # the slower one counts
    assert leans((2.5, 0.4), (0.0, 4.5)) == Leaning("roll back", 600)
    assert leans((0.0, -1.0)) is None
    assert leans((6.0, 0.0)) is None  # it is decided
