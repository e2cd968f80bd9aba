from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.data.executors import Processes, chunks, executor_of, windowed
from facemodels.data.sample.generate import recognition_split
from facemodels.errors import DataError


@given(count=st.integers(0, 60), size=st.integers(1, 9), most=st.integers(1, 9))
def test_so_many_chunks_are_under_way_and_no_more_are_even_asked_for(
    count: int, size: int, most: int
) -> None:
    asked: list[int] = []
    under_way: deque[list[int]] = deque()

    def jobs() -> Iterator[int]:
        for job in range(count):
            asked.append(job)
            yield job

    def begin(chunk: list[int]) -> list[int]:
        under_way.append(chunk)
        assert len(under_way) <= most
        return chunk

    def wait(begun: list[int]) -> list[int]:
        assert under_way.popleft() is begun
        return [job * job for job in begun]

    given: list[int] = []
    for result in windowed(begin, wait, chunks(jobs(), size), most):
        given.append(result)
        assert len(asked) <= len(given) + size * most
    assert given == [job * job for job in range(count)]


def test_a_worker_that_dies_is_told_and_ends_the_work() -> None:
    with (
        pytest.raises(DataError, match="worker that decodes pictures died"),
        closing(Processes(2).in_order(os._exit, [3] * 64, 64)) as results,
    ):
        list(results)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_node_of_ray_that_is_lost_in_mid_work_changes_no_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three raylets, of which two have work; one is killed and the third takes its place."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    pytest.importorskip("ray", reason="the extra facemodels[ray] is not installed")
    from ray.cluster_utils import Cluster

    from facemodels.data.ray_tasks import RayTasks

    faces = {
        "seed": 1, "identities": 40, "images_per_identity": 4, "image_size": 64, "folds": 2,
        "pairs_per_fold": 3,
    }  # fmt: skip
    cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        done: list[int] = []

        def progress(count: int) -> None:
            done.append(count)
            if len(done) == 40:
                cluster.remove_node(nodes[0], allow_graceful=False)
                cluster.add_node(num_cpus=1)

        there = recognition_split(
            "train", workers=RayTasks(cluster.address), progress=progress, **faces
        )
    finally:
        cluster.shutdown()
    assert sum(done) == 160
    here = recognition_split("train", workers=1, **faces)
    np.testing.assert_array_equal(there.images, here.images)
    np.testing.assert_array_equal(there.pairs, here.pairs)


def test_a_number_stands_for_processes() -> None:
    assert isinstance(executor_of(3), Processes)
