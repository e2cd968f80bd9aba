"""When a process that died is started again."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from facemodels.deployment.servers.backoff import Backoff, Deaths, deaths_of, keep_deaths
from facemodels.deployment.servers.process import adopt


def test_the_wait_doubles_to_its_limit() -> None:
    backoff = Backoff(first_s=1, max_s=5, settled_s=60)
    deaths, waits = Deaths(), []
    for _ in range(5):
        deaths = backoff.died(deaths, lived_s=0.1, now=1000.0)
        waits.append(backoff.wait_s(deaths, 1000.0))
    assert waits == [1, 2, 4, 5, 5]
    assert backoff.wait_s(deaths, 1004.0) == 1
    assert backoff.wait_s(deaths, 1005.0) == 0


def test_who_lived_for_a_while_starts_the_count_anew() -> None:
    backoff = Backoff(first_s=1, max_s=60, settled_s=60)
    assert backoff.died(Deaths(7, 0.0), lived_s=60, now=100.0) == Deaths(1, 100.0)
    assert backoff.wait_s(Deaths(), 0.0) == 0


@given(
    quick=st.integers(0, 10**6),
    last=st.floats(0, 4e9),
    now=st.floats(0, 4e9),
    first_s=st.floats(0.01, 10),
)
def test_no_clock_and_no_number_of_deaths_makes_the_wait_longer_than_its_limit(
    quick: int, last: float, now: float, first_s: float
) -> None:
    wait_s = Backoff(first_s, 60, 60).wait_s(Deaths(quick, last), now)
    assert 0 <= wait_s <= 60 + 1e-6 * last


def test_deaths_survive_a_restart_of_who_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "one.json"
    assert deaths_of(path) == Deaths()
    keep_deaths(path, Deaths(3, 12.5))
    assert deaths_of(path) == Deaths(3, 12.5)
    assert adopt(path) is None
    path.with_suffix(".deaths").write_text(json.dumps({"quick": "x"}))
    assert deaths_of(path) == Deaths()
