"""Small ONNX networks of faces, and what they compute by a second formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, WIDTH = 8, 6
RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(0, 0.1, (3 * SIZE * SIZE, WIDTH)).astype(np.float32)


def model(
    nodes: Sequence[Any],
    *,
    inputs: Sequence[Any] | None = None,
    outputs: Sequence[Any] | None = None,
    tensors: Sequence[Any] = (),
    opset: int = 17,
    ir: int = 8,
    domains: Sequence[str] = (),
) -> bytes:
    graph = helper.make_graph(
        list(nodes),
        "test",
        list(inputs or [value("x", ["n", 3, SIZE, SIZE])]),
        list(outputs or [value("y", ["n", WIDTH])]),
        list(tensors),
    )
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(graph, opset_imports=imports)
    made.ir_version = ir
    return made.SerializeToString()


def value(name: str, shape: Sequence[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def linear(
    *,
    batch: Any = "n",
    last: bool = False,
    half: bool = False,
    four: bool = False,
    weights: np.ndarray = WEIGHTS,
    size: int = SIZE,
) -> bytes:
    """Flattens the picture and multiplies it with `weights`, which stand for a network.

    Args:
        batch: the batch axis.
        last: whether channels come last.
        half: whether it computes in float16.
        four: whether its output has four axes.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    shape = [batch, size, size, 3] if last else [batch, 3, size, size]
    width = weights.shape[1]
    nodes = [helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])] if last else []
    nodes += [
        helper.make_node("Flatten", ["t" if last else "x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["m" if four else "y"]),
    ]
    tensors = [numpy_helper.from_array(weights.astype(np.float16) if half else weights, "w")]
    if four:
        tensors.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
        nodes.append(helper.make_node("Unsqueeze", ["m", "axes"], ["y"]))
    return model(
        nodes,
        inputs=[value("x", shape, kind)],
        outputs=[value("y", [batch, width, 1, 1] if four else [batch, width], kind)],
        tensors=tensors,
    )


def expected(batch: np.ndarray, weights: np.ndarray = WEIGHTS) -> np.ndarray:
    """Unit rows of what `linear` computes."""
    rows = batch.reshape(len(batch), -1).astype(np.float64) @ weights
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def changed(data: bytes, change: Any) -> bytes:
    made = onnx.load_model_from_string(data)
    change(made)
    return made.SerializeToString()
