from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facemodels.serving.engine.budget import MemoryBudget, NoMemoryLeftError, TooMuchMemoryError

LARGE = 300  # of 400 bytes; the rest is for small requests


def budget(queue: int = 100, patience_s: float = 60.0) -> MemoryBudget:
    return MemoryBudget(400, threads=4, queue=queue, patience_s=patience_s)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, LARGE), st.integers(0, 3), st.booleans()), min_size=1, max_size=12
    )
)
def test_no_more_is_held_than_there_is_and_everything_comes_back(
    requests: list[tuple[int, int, bool]],
) -> None:
    """Requests of any size that hold for some turns of the loop; some leave before they get it."""
    order: list[int]
    most: list[int]
    made, held, order, most = budget(), 0, [], [0]

    async def one(number: int, size: int, turns: int) -> None:
        nonlocal held
        async with made.reserved(size):
            held += size
            most.append(held)
            order.append(number)
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
            finally:
                held -= size

    async def all_of_them() -> None:
        tasks = []
        for number, (size, turns, leaves) in enumerate(requests):
            tasks.append(asyncio.create_task(one(number, size, turns)))
            await asyncio.sleep(0)
            if leaves:
                tasks[-1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with made.reserved(LARGE):  # all of it is there again
            assert made.large == 1
        assert made.large == 0

    asyncio.run(all_of_them())
    assert max(most) <= LARGE
    stayed = {n for n, (_, _, leaves) in enumerate(requests) if not leaves}
    assert stayed <= set(order)


def test_who_can_never_be_served_and_who_waits_too_long_is_told() -> None:
    async def talk() -> None:
        made = budget(queue=1, patience_s=0.01)
        assert made.small == 25
        with pytest.raises(TooMuchMemoryError):
            await made.reserved(LARGE + 1).__aenter__()
        async with made.reserved(200):
            waiting = asyncio.create_task(made.reserved(200).__aenter__())
            await asyncio.sleep(0)
            with pytest.raises(NoMemoryLeftError):  # one waits already
                await made.reserved(1).__aenter__()
            with pytest.raises(NoMemoryLeftError):
                await waiting
        assert made.large == 0

    asyncio.run(talk())
