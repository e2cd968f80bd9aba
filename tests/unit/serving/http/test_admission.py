"""Places in the queue, with a clock that is set by hand."""

from __future__ import annotations

import asyncio

import pytest

from facemodels.serving.http.admission import Admission
from facemodels.serving.http.errors import RequestError
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Limits


class Now:
    s = 0.0

    def __call__(self) -> float:
        return self.s


def places(now: Now, **limits: float) -> Admission:
    return Admission(Limits(**limits), Metrics("m", "1.0.0", "d"), clock=now)


def filled(now: Now, interval_s: float, **limits: float) -> Admission:
    """One that has learned how long a request takes, and has nobody in it."""
    made = places(now, **limits)
    made.enter()
    for _ in range(300):
        made.enter()
        now.s += interval_s
        made.leave()
    made.leave()
    return made


async def crowd(made: Admission) -> None:
    while True:
        await made.room()
        made.enter()


def test_no_more_are_taken_than_can_be_answered_in_half_of_the_deadline() -> None:
    async def count(interval_s: float) -> int:
        made = filled(Now(), interval_s, deadline_s=10, queue=64)
        with pytest.raises(RequestError) as refused:
            await crowd(made)
        assert (refused.value.status, refused.value.code) == (503, "overloaded")
        assert f"{made.in_work} requests in flight" in refused.value.text
        assert refused.value.headers == {"retry-after": "1"}
        assert made.shed == 1
        return made.in_work

    assert asyncio.run(count(0.001)) == 64  # the queue's own length
    assert asyncio.run(count(0.25)) == 20  # 20 × 0.25 s
    assert asyncio.run(count(5)) == 4  # always, so that the rate is learned again


def test_who_waits_takes_the_place_that_becomes_free() -> None:
    async def talk() -> None:
        made = places(Now(), queue=1)
        made.enter()
        waiting = asyncio.create_task(made.room())
        await asyncio.sleep(0)
        made.leave()
        await waiting
        assert made.shed == 0

    asyncio.run(talk())


def test_bodies_are_bounded_together() -> None:
    made = places(Now(), buffer_bytes=10)
    made.buffer(6)
    with pytest.raises(RequestError) as refused:
        made.buffer(5)
    assert refused.value.status == 503
    made.buffer(-6)
    made.buffer(10)
