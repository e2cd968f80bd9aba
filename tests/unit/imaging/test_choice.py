"""Which face of several is meant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.imaging import Choice, chosen

BOXES = np.array([[0, 0, 30, 30], [60, 60, 100, 100], [45, 40, 60, 55]], np.float32)


@pytest.mark.parametrize(("choose", "row"), [("best", 0), ("largest", 1), ("centre", 2)])
def test_the_face_that_is_asked_for_is_chosen(choose: Choice, row: int) -> None:
    assert chosen(BOXES, 100, 100, choose) == row


def test_of_equal_faces_the_first_is_chosen() -> None:
    twice = np.array([[0, 40, 20, 60], [80, 40, 100, 60]], np.float32)
    assert chosen(twice, 100, 100, "largest") == 0
    assert chosen(twice, 100, 100, "centre") == 0


@given(st.integers(1, 6), st.integers(0, 1000), st.sampled_from(["best", "largest", "centre"]))
def test_a_face_alone_or_of_many_is_always_a_row(count: int, seed: int, choose: Choice) -> None:
    corners = np.random.default_rng(seed).uniform(0, 90, (count, 2))
    boxes = np.concatenate([corners, corners + 5], axis=1)
    assert 0 <= chosen(boxes, 100, 100, choose) < count
