"""The router is kept running, and what keeps it from starting is said all the time."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any

import pytest

from facemodels.deployment.router import supervisor
from facemodels.deployment.router.supervisor import RouterSupervisor
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
