"""Rewrites an ONNX graph into one that computes the same and that ONNX Runtime runs faster.

ONNX Runtime keeps convolutions in a layout of its own (NCHWc) and leaves it for every node
that has no kernel there. PReLU has none, and its kernel is slow besides: in MobileFaceNet 33
of them took more time than all convolutions (docs/results.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto


def rewrite_file(path: Path) -> None:
    """Rewrite the ONNX file `path` in place; equal files give equal bytes."""
    import onnx

    model = onnx.load(path)
    if rewrite_prelu(model):
        onnx.checker.check_model(model)
        onnx.save(model, path)


def rewrite_prelu(model: ModelProto) -> int:
    """Write each PReLU as x + max((a - 1) * x, 0), which is exact up to rounding.

    A node stays as it is where a slope `a` is above 1, for which this does not hold, or is no
    constant of the graph.

    Args:
        model: is changed in place.

    Returns:
        How many nodes were rewritten.
    """
    from onnx import numpy_helper

    constants = _constants(model)
    nodes: list[NodeProto] = []
    rewritten = 0
    for node in model.graph.node:
        slope = constants.get(node.input[1]) if node.op_type == "PRelu" else None
        slopes = numpy_helper.to_array(slope) if slope is not None else None
        if slopes is None or (slopes > 1).any():
            nodes.append(node)
            continue
        factor = numpy_helper.from_array(slopes - np.float32(1), f"{node.output[0]}_factor")
        model.graph.initializer.append(factor)
        nodes += _as_relu(node, factor.name)
        rewritten += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unused(model)
    return rewritten


def _as_relu(node: NodeProto, factor: str) -> list[NodeProto]:
    """The three nodes that compute what a PReLU does; `factor` is its slope less 1."""
    from onnx import helper

    (source, _), (target,) = node.input, node.output
    scaled, excess = f"{target}_scaled", f"{target}_excess"
    return [
        helper.make_node("Mul", [source, factor], [scaled], name=f"{node.name}/Mul"),
        helper.make_node("Relu", [scaled], [excess], name=f"{node.name}/Relu"),
        helper.make_node("Add", [source, excess], [target], name=f"{node.name}/Add"),
    ]


def _constants(model: ModelProto) -> dict[str, TensorProto]:
    """The constants by name, also by the names that Identity nodes give them.

    torch's exporter writes equal weights once, and refers to them by Identity.
    """
    found = {value.name: value for value in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _drop_unused(model: ModelProto) -> None:
    """Remove the constants that no node reads any more, and their other names."""
    used = {name for node in model.graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    nodes = [node for node in model.graph.node if used.intersection(node.output)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [value for value in model.graph.initializer if value.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
