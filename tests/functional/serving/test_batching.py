"""Batched answers are the unbatched ones to the last bit, on real graphs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facemodels.package.verify import ONNX
from facemodels.runtime import Graph, open_graph
from facemodels.serving.engine.batcher import Batcher
from facemodels.serving.settings import Batching

from .conftest import Server, Start

ROWS = 16


@cache
def load(package: Path, threads: int) -> tuple[Graph, np.ndarray, np.ndarray]:
    """A graph, sixteen different rows, and what it makes of each alone."""
    loaded = open_graph(package / ONNX, threads=threads)
    rng = np.random.default_rng(0)
    scales = np.linspace(0.1, 2, ROWS).reshape(-1, 1, 1, 1)
    inputs = (rng.uniform(-1, 1, (ROWS, *loaded.input_shape)) * scales).astype(np.float32)
    return loaded, inputs, np.concatenate([loaded.run(row[None]) for row in inputs])


@pytest.fixture(params=["facenet", "yolov8"])
def package(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_row_is_the_same_to_the_last_bit_in_a_batch_of_any_size(
    package: Path, threads: int
) -> None:
    loaded, inputs, alone = load(package, threads)
    for size in range(1, ROWS + 1):
        np.testing.assert_array_equal(loaded.run(inputs[:size]), alone[:size])


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_row_is_the_same_to_the_last_bit_in_any_company(package: Path, data: st.DataObject):
    loaded, inputs, alone = load(package, 2)
    order = data.draw(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=ROWS))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=6)) | {len(order)})
    groups = [order[start:end] for start, end in zip([0, *cuts], cuts, strict=False)]
    hold = threading.Event()

    def run(batch: np.ndarray) -> np.ndarray:
        assert hold.wait(60)
        return loaded.run(batch)

    batcher = Batcher(run, Batching(rows=data.draw(st.integers(1, ROWS))))
    futures = [batcher.submit(inputs[group]) for group in groups]
    hold.set()
    for group, future in zip(groups, futures, strict=True):
        np.testing.assert_array_equal(future.result(60), alone[group])
    batcher.close()


@pytest.fixture(scope="module")
def batching(start: Start, yolov8: Path) -> Server:
    # With time to wait for company even a quick machine gathers requests.
    return start(yolov8, batching={"rows": 4, "wait_ms": 200})


def tensor(seed: int, rows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 1, (rows, 3, 64, 64)).astype(np.float32)


def infer(server: Server, batch: np.ndarray) -> np.ndarray:
    given = {
        "name": "images", "datatype": "FP32", "shape": list(batch.shape), "data": batch.tolist()
    }  # fmt: skip
    answer = server.post("/v2/models/detection-yolov8/infer", json={"inputs": [given]})
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    return np.array(output["data"], np.float32).reshape(output["shape"])


def test_concurrent_requests_share_runs_and_get_their_own_answers(
    batching: Server, yolov8: Path
) -> None:
    inputs = [tensor(seed) for seed in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda batch: infer(batching, batch), inputs))
    loaded = open_graph(yolov8 / ONNX, threads=1)
    for batch, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer, loaded.run(batch))
    text = batching.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("model_batch_size_")]
    found = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert found["model_batch_size_sum"] == 12
    if batching.wait_for("batching")["rows"] > 1:  # it pays, by the server's own trial
        assert found["model_batch_size_count"] < 12


def test_a_request_of_more_rows_than_a_run_is_answered_whole(
    batching: Server, yolov8: Path
) -> None:
    batch = tensor(99, rows=9)
    own = open_graph(yolov8 / ONNX, threads=1).run(batch)
    np.testing.assert_array_equal(infer(batching, batch), own)


def test_the_log_tells_whether_batching_is_on_and_what_it_brings(batching: Server) -> None:
    line = batching.wait_for("batching")
    assert line["rows"] in (1, 4)
    assert line["gain"] > 0
    assert (line["rows"] == 4) == (line["sure"] and line["gain"] >= 1.05)
