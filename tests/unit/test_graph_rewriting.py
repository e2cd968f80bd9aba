from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from facemodels.files import sha256
from facemodels.graph_rewriting import rewrite_file, rewrite_prelu
from facemodels.runtime import open_graph

SLOPES = st.floats(-2, 1, width=32).map(np.float32)


def prelu_graph(slopes: list[float]) -> onnx.ModelProto:
    """`images` (N, C, 2, 2) through one PReLU to `out`."""
    values = np.array(slopes, np.float32)[:, None, None]
    shape = ["batch", len(slopes), 2, 2]
    graph = helper.make_graph(
        [helper.make_node("PRelu", ["images", "slope"], ["out"], name="act")],
        "one",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(values, "slope")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    return open_graph(model.SerializeToString(), threads=1).run(images)


@settings(deadline=None, max_examples=30)
@given(slopes=st.lists(SLOPES, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_rewritten_prelu_computes_the_same(slopes: list[float], seed: int) -> None:
    images = np.random.default_rng(seed).normal(0, 3, (2, len(slopes), 2, 2)).astype(np.float32)
    model = prelu_graph(slopes)
    expected = run(model, images)
    assert rewrite_prelu(model) == 1
    assert "PRelu" not in {node.op_type for node in model.graph.node}
    np.testing.assert_allclose(run(model, images), expected, atol=3e-6)
    positive = np.abs(images)
    assert np.array_equal(run(model, positive), positive)


def test_a_slope_above_one_is_left_as_it_is() -> None:
    model = prelu_graph([0.25, 1.5])
    before = model.SerializeToString()
    assert rewrite_prelu(model) == 0
    assert model.SerializeToString() == before


def test_a_slope_that_is_no_constant_is_left_as_it_is() -> None:
    model = prelu_graph([0.25])
    del model.graph.initializer[:]
    model.graph.input.append(helper.make_tensor_value_info("slope", TensorProto.FLOAT, [1, 1, 1]))
    assert rewrite_prelu(model) == 0


def test_a_file_is_rewritten_to_the_same_bytes_each_time(tmp_path: Path) -> None:
    digests = set()
    for name in ("one", "other"):
        onnx.save(prelu_graph([0.1, 0.3]), tmp_path / name)
        rewrite_file(tmp_path / name)
        digests.add(sha256(tmp_path / name))
    assert len(digests) == 1


def test_a_file_without_a_prelu_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(prelu_graph([1.5]), path)
    path.chmod(0o444)
    before = path.stat().st_mtime_ns
    rewrite_file(path)
    assert path.stat().st_mtime_ns == before


def test_mobilefacenet_is_exported_without_a_prelu_even_where_slopes_are_equal(tmp_path) -> None:
    import torch

    from facemodels.recognition.arcface import ArcFace

    model = ArcFace.of(
        {"backbone": "mobilefacenet", "image_size": 48, "embedding_size": 128, "dropout": 0.0}
    )
    torch.manual_seed(0)
    error = model.export_network(model.build().eval(), tmp_path / "model.onnx")
    assert error <= 1e-4
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert "PRelu" not in {node.op_type for node in graph.node}
    read = {name for node in graph.node for name in node.input}
    assert {value.name for value in graph.initializer} <= read
