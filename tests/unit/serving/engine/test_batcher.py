"""The batcher with runs that the tests hold and let go: nothing here waits for a clock."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from concurrent.futures import wait as wait_for

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.runtime import Batch
from facemodels.serving.engine.batcher import Batcher
from facemodels.serving.settings import Batching

LONG = 60  # seconds; only a hang takes them


class Gate:
    """A run that stands still until it is opened, and remembers what it was given."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.runs: list[list[float]] = []

    def __call__(self, batch: Batch) -> Batch:
        self.runs.append(batch[:, 0].tolist())
        self.began.release()
        assert self.go.acquire(timeout=LONG)
        return batch * 2

    def open(self, times: int = 1000) -> None:
        self.go.release(times)


def row(*values: float) -> Batch:
    return np.array(values, np.float32)[:, None]


def value(future: Future[Batch]) -> list[float]:
    return future.result(LONG)[:, 0].tolist()


def busy(rows: int = 4) -> tuple[Gate, Batcher, Future[Batch]]:
    """A batcher whose first run, of the value 0, stands still."""
    gate = Gate()
    batcher = Batcher(gate, Batching(rows=rows))
    first = batcher.submit(row(0))
    assert gate.began.acquire(timeout=LONG)
    return gate, batcher, first


def test_a_batch_comes_back_as_the_run_makes_it() -> None:
    batcher = Batcher(lambda batch: batch + 1, Batching())
    assert batcher(row(1, 2)).tolist() == [[2], [3]]
    batcher.close()


def test_who_waits_while_a_run_is_on_shares_the_next_one_in_the_order_of_arrival() -> None:
    gate, batcher, first = busy(rows=4)
    futures = [batcher.submit(row(number)) for number in range(1, 7)]
    gate.open()
    assert value(first) == [0]
    assert [value(future) for future in futures] == [[2], [4], [6], [8], [10], [12]]
    assert gate.runs == [[0], [1, 2, 3, 4], [5, 6]]
    batcher.close()


def test_one_who_does_not_fit_is_the_first_of_the_next_run() -> None:
    gate, batcher, _ = busy(rows=4)
    futures = [batcher.submit(b) for b in (row(1, 2, 3), row(4, 5), row(6), row(7, 8))]
    gate.open()
    assert [value(future) for future in futures] == [[2, 4, 6], [8, 10], [12], [14, 16]]
    assert gate.runs == [[0], [1, 2, 3], [4, 5, 6], [7, 8]]
    batcher.close()


def test_a_request_of_more_rows_than_a_run_takes_several_and_others_go_between() -> None:
    gate, batcher, _ = busy(rows=4)
    large, small = batcher.submit(row(*range(1, 10))), batcher.submit(row(100))
    gate.open(2)
    assert value(small) == [200]
    late = batcher.submit(row(101))
    gate.open()
    assert value(large) == [2.0 * number for number in range(1, 10)]
    assert value(late) == [202]
    assert gate.runs == [[0], [100], [1, 2, 3, 4], [101], [5, 6, 7, 8], [9]]
    batcher.close()


def test_one_row_a_run_switches_batching_off() -> None:
    gate, batcher, _ = busy(rows=1)
    futures = [batcher.submit(row(number)) for number in (1, 2)]
    gate.open()
    assert [value(future) for future in futures] == [[2], [4]]
    assert gate.runs == [[0], [1], [2]]
    batcher.close()


def test_with_a_time_to_wait_a_run_waits_for_company() -> None:
    gate = Gate()
    gate.open()
    batcher = Batcher(gate, Batching(rows=2, wait_ms=LONG * 1e3))
    futures = [batcher.submit(row(number)) for number in (1, 2)]
    assert [value(future) for future in futures] == [[2], [4]]
    assert gate.runs == [[1, 2]]
    batcher.close()


def test_a_future_that_is_cancelled_before_its_run_spares_it() -> None:
    gate, batcher, first = busy(rows=2)
    futures = [batcher.submit(row(number)) for number in (1, 2, 3)]
    assert not first.cancel()
    assert futures[0].cancel()
    gate.open()
    assert [value(future) for future in futures[1:]] == [[4], [6]]
    assert gate.runs == [[0], [2, 3]]  # and leaves its place to the next
    batcher.close()


def test_if_all_are_cancelled_nothing_runs() -> None:
    gate, batcher, _ = busy()
    assert all(batcher.submit(row(number)).cancel() for number in (1, 2))
    gate.open()
    batcher.close()
    assert gate.runs == [[0]]


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), SystemExit(3)])
def test_an_exception_reaches_everyone_of_the_run_and_the_batcher_lives_on(
    error: BaseException,
) -> None:
    gate = Gate()

    def run(batch: Batch) -> Batch:
        output = gate(batch)
        if 13 in batch:
            raise error
        return output

    batcher = Batcher(run, Batching(rows=2))
    first = batcher.submit(row(0))
    assert gate.began.acquire(timeout=LONG)
    futures = [batcher.submit(row(number)) for number in (1, 13, 3)]
    gate.open()
    assert value(first) == [0]
    assert [future.exception(LONG) for future in futures[:2]] == [error, error]
    assert value(futures[2]) == [6]
    batcher.close()


def test_batches_that_do_not_fit_together_are_told_so_and_the_batcher_lives_on() -> None:
    gate, batcher, _ = busy()
    futures = [batcher.submit(row(1)), batcher.submit(np.zeros((1, 5), np.float32))]
    gate.open()
    assert all(isinstance(future.exception(LONG), ValueError) for future in futures)
    assert batcher(row(4)).tolist() == [[8]]
    batcher.close()


def test_a_run_that_loses_rows_is_an_error_and_not_a_wrong_answer() -> None:
    batcher = Batcher(lambda batch: batch[:1], Batching())
    with pytest.raises(RuntimeError, match="made 1 rows of 2"):
        batcher(row(1, 2))
    batcher.close()


def test_closing_finishes_what_was_submitted_and_takes_nothing_more() -> None:
    gate, batcher, first = busy(rows=2)
    futures = [batcher.submit(b) for b in (row(1), row(2, 3), row(4), row(5, 6, 7))]
    closing = threading.Thread(target=batcher.close)
    closing.start()
    gate.open()
    closing.join(LONG)
    assert not closing.is_alive()
    assert first.done()
    assert [value(future) for future in futures] == [[2], [4, 6], [8], [10, 12, 14]]
    with pytest.raises(RuntimeError, match="closed"):
        batcher.submit(row(8))
    batcher.close()  # once more does nothing


def test_under_load_everyone_who_was_let_in_before_the_end_is_answered() -> None:
    batcher = Batcher(lambda batch: batch * 2, Batching(rows=3))
    answered: list[tuple[float, Future[Batch]]] = []
    refused = threading.Barrier(5)

    def submit(start: int) -> None:
        try:
            number = start
            while True:
                answered.append((number, batcher.submit(row(number))))
                number += 1
        except RuntimeError:
            refused.wait(LONG)

    clients = [threading.Thread(target=submit, args=(i * 1_000_000,)) for i in range(4)]
    for client in clients:
        client.start()
    while len(answered) < 50:
        wait_for([future for _, future in list(answered)], LONG)
    batcher.close()
    refused.wait(LONG)
    for client in clients:
        client.join(LONG)
    assert all(future.done() for _, future in answered)
    assert all(value(future) == [2 * number] for number, future in answered)


def test_runs_are_observed_with_their_rows_before_their_callers_are_told() -> None:
    seen: list[tuple[int, float, float]] = []
    gate = Gate()
    batcher = Batcher(
        gate, Batching(rows=4), observe=lambda *numbers: seen.append(numbers)
    )  # fmt: skip
    first = batcher.submit(row(0))
    assert gate.began.acquire(timeout=LONG)
    futures = [batcher.submit(b) for b in (row(1, 2), row(3), row(4, 5, 6, 7, 8))]
    gate.open()
    assert value(first) == [0]
    assert value(futures[-1])[-1] == 16
    assert [rows for rows, _, _ in seen] == [1, 3, 4, 1]
    assert all(took >= 0 and waited >= 0 for _, took, waited in seen)
    assert seen[2][2] <= seen[3][2]  # the second part of the same job waited for the first
    batcher.close()


def test_an_observer_that_fails_is_heard_of_and_stops_nothing() -> None:
    calls = []

    def observe(rows: int, took: float, waited: float) -> None:
        calls.append(rows)
        if len(calls) == 1:
            raise ZeroDivisionError

    batcher = Batcher(lambda batch: batch, Batching(), observe=observe)
    assert isinstance(batcher.submit(row(1)).exception(LONG), ZeroDivisionError)
    assert value(batcher.submit(row(2))) == [2]
    batcher.close()


@given(sizes=st.lists(st.integers(0, 7), max_size=12), rows=st.integers(1, 6))
def test_whatever_the_sizes_everyone_gets_their_rows_and_no_run_is_too_large(
    sizes: list[int], rows: int
) -> None:
    gate, batcher, first = busy(rows)
    inputs = [row(*(100 * i + j + 1 for j in range(n))) for i, n in enumerate(sizes)]
    inputs = [batch.reshape(-1, 1) for batch in inputs]
    futures = [batcher.submit(batch) for batch in inputs]
    gate.open()
    batcher.close()
    assert value(first) == [0]
    for batch, future in zip(inputs, futures, strict=True):
        np.testing.assert_array_equal(future.result(0), batch * 2)
    assert all(len(run) <= rows for run in gate.runs)
    ran = [x for run in gate.runs[1:] for x in run]
    for kind in (True, False):  # those of one run, and those of several
        mine = [x for b in inputs if (len(b) <= rows) is kind for x in b[:, 0]]
        assert [x for x in ran if x in mine] == mine
