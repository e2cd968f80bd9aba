"""Rewrites a graph that others made into the form that packages are served in.

A recogniser gets one input `images`, float32 (batch, 3, S, S), and one output `embeddings`,
float32 (batch, D), whose rows have length 1. What the file lacks of that is added in front of its
nodes or behind them, and its own nodes stay as they are:

- another order of axes: a Transpose in front
- half precision: a Cast on both sides
- an output (batch, D, 1, 1): a Flatten
- no unit length: LpNormalization
- a batch that is fixed to 1: a Scan that runs the graph row by row, so that the server's batcher
  can send it any number of rows. ONNX, "Scan": https://onnx.ai/onnx/operators/onnx__Scan.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.errors import InputError
from facemodels.importing.checks import ImportCheck
from facemodels.importing.onnx_file import OnnxFile, Port

IMAGES, EMBEDDINGS = "images", "embeddings"
CHANNELS = 3
_LEAST_IR = 4  # before it, every initializer had to be an input too


@dataclass(frozen=True)
class ImageInput:
    """The input of a graph, read as images.

    Attributes:
        port: the input.
        size: S, side of the image in pixels.
        channels_last: whether the axes are (batch, S, S, 3).
        fixed_batch: whether the batch axis is fixed to 1.
    """

    port: Port
    size: int
    channels_last: bool
    fixed_batch: bool


def image_input(file: OnnxFile, size: int) -> tuple[ImageInput | None, list[ImportCheck]]:
    """Read the one input of a graph as images.

    Args:
        file: the graph.
        size: the side in pixels, where the graph leaves it free.
    """
    if len(file.inputs) != 1:
        names = ", ".join(str(port) for port in file.inputs)
        return None, [
            ImportCheck(
                "input", False, f"{len(file.inputs)} inputs: {names}", "It needs one input."
            )
        ]
    (port,) = file.inputs
    shape = port.shape
    if shape is None or len(shape) != 4 or port.type not in _float_types():
        remedy = "The input must be float32 or float16 images: batch, 3, height, width."
        return None, [ImportCheck("input", False, str(port), remedy)]
    last = shape[3] == CHANNELS and shape[1] != CHANNELS
    height, width = shape[1:3] if last else shape[2:4]
    channels = shape[3] if last else shape[1]
    batch = shape[0]
    sides = {side for side in (height, width) if side is not None}
    checks = [
        ImportCheck(
            "input",
            channels in (CHANNELS, None) and len(sides) <= 1,
            str(port),
            "The images must be square and have three channels.",
        ),
        ImportCheck(
            "batch axis",
            batch in (1, None),
            "free" if batch is None else f"fixed to {batch}",
            "Export it with a free batch axis, or with a batch of 1.",
        ),
    ]
    return ImageInput(port, sides.pop() if sides else size, last, batch == 1), checks


def embedding_output(file: OnnxFile, name: str) -> tuple[Port | None, list[ImportCheck]]:
    """Find the output with the embedding.

    Args:
        file: the graph.
        name: the output's name; "" takes the one output that has the form of an embedding.
    """
    listed = ", ".join(str(port) for port in file.outputs)
    found = [port for port in file.outputs if (port.name == name if name else _is_embedding(port))]
    if len(found) != 1:
        remedy = "Name the embedding's output with --embedding-output."
        return None, [ImportCheck("output", False, f"{len(found)} of {listed}", remedy)]
    return found[0], [ImportCheck("output", True, str(found[0]))]


def recogniser(
    file: OnnxFile, images: ImageInput, output: Port, *, normalise: bool, row_by_row: bool
) -> bytes:
    """Return the bytes of the graph with the input `images` and the output `embeddings`.

    Args:
        file: the graph.
        images: its input.
        output: its output with the embedding.
        normalise: whether rows are divided by their length.
        row_by_row: whether the graph runs once a row.
    """
    from onnx import TensorProto, helper

    model = cleaned(file)
    graph = model.graph
    inner_in, inner_out = "imported.input", "imported.output"
    _rename(graph, {images.port.name: inner_in, output.name: inner_out})
    _rename(graph, {IMAGES: f"{IMAGES}.inside", EMBEDDINGS: f"{EMBEDDINGS}.inside"})
    _keep_output(graph, inner_out)
    before, after = _bridges(images, output, inner_in, inner_out, row_by_row=row_by_row)
    nodes = [*before, *graph.node, *after]
    size = images.size
    tensors = list(graph.initializer)
    if row_by_row:
        nodes, tensors = _scanned(nodes, tensors, size), []
    last = "imported.rows"
    if normalise:
        nodes.append(helper.make_node("LpNormalization", [last], [EMBEDDINGS], axis=1, p=2))
    else:
        nodes.append(helper.make_node("Identity", [last], [EMBEDDINGS]))
    whole = helper.make_graph(
        nodes,
        "imported",
        [helper.make_tensor_value_info(IMAGES, TensorProto.FLOAT, ["batch", CHANNELS, size, size])],
        [helper.make_tensor_value_info(EMBEDDINGS, TensorProto.FLOAT, ["batch", None])],
        tensors,
        sparse_initializer=[] if row_by_row else list(graph.sparse_initializer),
    )
    return finished(model, whole)


def cleaned(file: OnnxFile) -> Any:
    """A copy of the model without texts: exporters write paths of their machine into them."""
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(file.model)
    valued = {one.name for one in model.graph.initializer}
    kept = [one for one in model.graph.input if one.name not in valued]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    for holder in (model.graph, *model.functions):
        _without_texts(holder)
    return model


def finished(model: Any, graph: Any) -> bytes:
    """The bytes of a model around a new graph, with the operators and functions of the old one.

    Raises:
        InputError: the graph is larger than one file can be.
    """
    from onnx import helper

    made = helper.make_model(
        graph,
        opset_imports=list(model.opset_import),
        functions=list(model.functions),
        producer_name="facemodels",
    )
    made.ir_version = max(model.ir_version, _LEAST_IR)
    try:
        data: bytes = made.SerializeToString(deterministic=True)
    except ValueError as error:
        raise InputError(
            f"the graph cannot be written: {error}.", "Import a smaller one."
        ) from error
    return data


def set_shape(data: bytes, width: int) -> bytes:
    """Write the embedding's size, once it is known, into the shape of the output."""
    import onnx

    model = onnx.load_model_from_string(data)
    side = model.graph.output[0].type.tensor_type.shape.dim[1]
    side.Clear()
    side.dim_value = width
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def _float_types() -> tuple[int, int]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.FLOAT16


def _is_embedding(port: Port) -> bool:
    shape = port.shape
    if port.type not in _float_types() or shape is None:
        return False
    return len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1))


def _bridges(
    images: ImageInput, output: Port, inner_in: str, inner_out: str, *, row_by_row: bool
) -> tuple[list[Any], list[Any]]:
    """The nodes in front of the graph and behind it; the chain ends at `imported.rows`."""
    from onnx import TensorProto

    source = "imported.image" if row_by_row else IMAGES
    steps: list[tuple[str, dict[str, Any]]] = []
    if images.channels_last:
        steps.append(("Transpose", {"perm": [0, 2, 3, 1]}))
    if images.port.type == TensorProto.FLOAT16:
        steps.append(("Cast", {"to": TensorProto.FLOAT16}))
    before = _chain(steps or [("Identity", {})], source, inner_in)
    steps = [("Cast", {"to": TensorProto.FLOAT})] if output.type == TensorProto.FLOAT16 else []
    steps.append(("Flatten", {"axis": 1}))
    return before, _chain(steps, inner_out, "imported.row" if row_by_row else "imported.rows")


def _chain(steps: list[tuple[str, dict[str, Any]]], first: str, last: str) -> list[Any]:
    from onnx import helper

    names = [first, *(f"{last}.{number}" for number in range(1, len(steps))), last]
    return [
        helper.make_node(kind, [names[place]], [names[place + 1]], **values)
        for place, (kind, values) in enumerate(steps)
    ]


def _scanned(nodes: list[Any], tensors: list[Any], size: int) -> list[Any]:
    """One Scan whose body runs the nodes on an image at a time."""
    from onnx import TensorProto, helper

    body_tensors = [
        *tensors,
        helper.make_tensor("imported.one", TensorProto.INT64, [4], [1, CHANNELS, size, size]),
        helper.make_tensor("imported.flat", TensorProto.INT64, [1], [-1]),
    ]
    body = helper.make_graph(
        [
            helper.make_node("Reshape", ["imported.pixels", "imported.one"], ["imported.image"]),
            *nodes,
            helper.make_node("Reshape", ["imported.row", "imported.flat"], ["imported.vector"]),
        ],
        "one",
        [
            helper.make_tensor_value_info(
                "imported.pixels", TensorProto.FLOAT, [CHANNELS, size, size]
            )
        ],
        [helper.make_tensor_value_info("imported.vector", TensorProto.FLOAT, [None])],
        body_tensors,
    )
    return [helper.make_node("Scan", [IMAGES], ["imported.rows"], body=body, num_scan_inputs=1)]


def _keep_output(graph: Any, name: str) -> None:
    """Leave out the nodes that only other outputs need."""
    needed, kept = {name}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= _used(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    tensors = [one for one in graph.initializer if one.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def _used(node: Any) -> set[str]:
    """The names that a node reads, those that graphs inside of it take from outside included."""
    names = set(node.input)
    for attribute in node.attribute:
        graphs = [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
        for graph in graphs:
            for inner in graph.node:
                names |= _used(inner)
            names |= {one.name for one in graph.output}
    return names


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Rename tensors, in the graphs inside of nodes too."""
    for node in graph.node:
        for ports in (node.input, node.output):
            for place, name in enumerate(ports):
                ports[place] = names.get(name, name)
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _rename(inner, names)
    for values in (graph.initializer, graph.input, graph.output, graph.value_info):
        for value in values:
            value.name = names.get(value.name, value.name)


def _without_texts(holder: Any) -> None:
    holder.ClearField("doc_string")
    for node in holder.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        for attribute in node.attribute:
            attribute.ClearField("doc_string")
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _without_texts(inner)
