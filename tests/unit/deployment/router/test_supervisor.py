"""The router is kept running, and what keeps it from starting is said all the time."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from facemodels.deployment.router import supervisor
from facemodels.deployment.router.supervisor import RouterSupervisor
from facemodels.deployment.servers import health
from facemodels.errors import InputError


class TakenPort:
    """A router whose port another program has."""

    process = None
    closed = False

    def __init__(self) -> None:
        self.starts = 0
        self.taken = True

    def start(self) -> None:
        self.starts += 1
        if self.taken:
            raise InputError("Port 80 is taken.", "End that program.")


class SilentRouter(TakenPort):
    """A router that answers nothing; it is its own process."""

    pid = 4711

    def __init__(self) -> None:
        super().__init__()
        self.taken = False
        self.process = self  # type: ignore[assignment]

    def ready(self) -> bool:
        return False

    def end(self, grace_s: float) -> None:
        self.process = None


class AtOnce(Executor):
    """A thread that is as fast as can be."""

    def submit(self, act: Any, /, *words: Any, **more: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(act(*words, **more))
        except Exception as error:  # noqa: BLE001
            done.set_exception(error)
        return done


def test_the_error_of_a_start_holds_until_the_next_attempt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
    router = TakenPort()
    kept = RouterSupervisor(router, 5, AtOnce())  # type: ignore[arg-type]
    for _ in range(5):  # turns of the loop
        with pytest.raises(InputError, match="Port 80 is taken"):
            kept.tend("")
        now[0] += 0.05
    assert router.starts == 1
    now[0] += 1
    router.taken = False
    kept.tend("")
    assert router.starts == 2
    kept.tend("")
    kept.close()


@pytest.mark.parametrize("works", [True, False])
def test_a_silent_router_is_killed_where_it_does_nothing_and_left_where_it_works(
    works: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(supervisor.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        health,
        "effort_of",
        lambda _, at: health.Effort(at, 0.1 * at if works else 0.0, waits=False),
    )
    router = SilentRouter()
    kept = RouterSupervisor(router, 5, AtOnce())  # type: ignore[arg-type]
    while router.process is not None:
        kept.tend("")
        now[0] += 1
    kept.close()
    assert now[0] - 101 == (61 if works else 6)
