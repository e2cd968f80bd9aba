from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from facemodels.errors import InputError
from facemodels.files import sha256
from facemodels.params import Int8
from facemodels.quantization import outward, quantize
from facemodels.runtime import open_graph

BOUNDS = st.floats(2**-20, 2**20, width=32).map(np.float32)


@pytest.fixture(scope="module")
def convolutions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`images` (N, 4, 8, 8) through two convolutions, called `first` and `second`."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(0, 0.2, (8, inputs, 3, 3)).astype(np.float32), name)
        for name, inputs in (("w1", 4), ("w2", 8))
    ]
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["planes"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["planes"], ["positive"], name="relu"),
        helper.make_node("Conv", ["positive", "w2"], ["out"], name="second", pads=[1] * 4),
    ]
    graph = helper.make_graph(
        nodes,
        "two",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 8, 8, 8])],
        weights,
    )
    path = tmp_path_factory.mktemp("graphs") / "two.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def batches() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(0, 1, (rows, 4, 8, 8)).astype(np.float32) for rows in (4, 3)]


def int8_weights(path: Path) -> list[str]:
    values = onnx.load(path).graph.initializer
    return [v.name for v in values if v.data_type == TensorProto.INT8 and len(v.dims) == 4]


def test_the_int8_graph_computes_nearly_the_same(convolutions: Path, tmp_path: Path) -> None:
    quantize(convolutions, tmp_path / "int8.onnx", batches(), Int8())
    assert len(int8_weights(tmp_path / "int8.onnx")) == 2
    images = batches()[0]
    one, other = (
        open_graph(p, threads=1).run(images) for p in (convolutions, tmp_path / "int8.onnx")
    )
    assert np.abs(one - other).max() < 0.05 * np.abs(one).max()
    assert not np.array_equal(one, other)


def test_a_node_that_a_pattern_names_stays_float32(convolutions: Path, tmp_path: Path) -> None:
    quantize(convolutions, tmp_path / "int8.onnx", batches(), Int8(keep_float=["fir"]))
    assert [name.startswith("w2") for name in int8_weights(tmp_path / "int8.onnx")] == [True]


def test_the_same_graph_inputs_and_settings_give_the_same_bytes(
    convolutions: Path, tmp_path: Path
) -> None:
    for name in ("one", "other"):
        quantize(convolutions, tmp_path / name, batches(), Int8())
    assert sha256(tmp_path / "one") == sha256(tmp_path / "other")


def test_last_bits_of_the_activations_do_not_change_the_bytes(
    convolutions: Path, tmp_path: Path
) -> None:
    quantize(convolutions, tmp_path / "one", batches(), Int8())
    other_cpu = [batch * np.float32(1 + 1e-6) for batch in batches()]
    quantize(convolutions, tmp_path / "other", other_cpu, Int8())
    assert sha256(tmp_path / "one") == sha256(tmp_path / "other")


def test_operators_that_the_graph_lacks_are_refused(convolutions: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no MatMul that may compute in int8"):
        quantize(convolutions, tmp_path / "x", batches(), Int8(operators=["MatMul"]))
    with pytest.raises(InputError, match="has no Conv"):
        quantize(convolutions, tmp_path / "x", batches(), Int8(keep_float=[""]))
    assert not (tmp_path / "x").exists()


def test_no_images_to_calibrate_with_are_refused(convolutions: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no image to calibrate with"):
        quantize(convolutions, tmp_path / "x", [], Int8())


@given(bound=BOUNDS, sign=st.sampled_from([1, -1]))
def test_a_bound_is_rounded_outward_by_less_than_a_hundredth(bound: np.float32, sign: int) -> None:
    value = np.float32(sign * bound)
    rounded = outward(value)
    assert rounded >= value
    assert rounded - value <= np.float32(0.0079) * bound
    assert outward(rounded) == rounded
