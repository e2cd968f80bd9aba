"""Work that threads share has the results of one, in the order of its parts."""

from __future__ import annotations

import threading
from itertools import count

import numpy as np
import pytest
import torch
from torch import nn

from facemodels.evaluate.side_by_side import side_by_side
from facemodels.runtime import torch_run
from facemodels.training.loop import deterministic


def test_results_come_in_the_order_of_the_parts_whoever_ends_first() -> None:
    second = threading.Event()

    def work(part: int) -> int:
        if part == 0:
            assert second.wait(30)  # the first part ends after the second
        if part == 1:
            second.set()
        return 10 * part

    assert list(side_by_side(work, range(9), workers=2)) == [10 * part for part in range(9)]


def test_parts_are_taken_as_they_are_needed_and_an_error_is_the_callers() -> None:
    taken = []

    def parts():
        for part in count():
            taken.append(part)
            yield part

    def work(part: int) -> int:
        if part == 3:
            raise ValueError("part 3")
        return part

    with pytest.raises(ValueError, match="part 3"):
        list(side_by_side(work, parts(), workers=2))
    assert len(taken) < 12


def test_a_network_gives_the_same_bits_alone_and_beside_itself() -> None:
    with deterministic(1, 0):
        network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 16, 3)).eval()
        run = torch_run(network)
        batches = np.random.default_rng(0).random((12, 4, 3, 32, 32), np.float32)
        alone = [run(batch) for batch in batches]
        for found, expected in zip(side_by_side(run, batches, workers=4), alone, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert not torch.is_inference_mode_enabled()
