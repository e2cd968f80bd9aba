"""Reads an ONNX file that others made, and checks what can be seen without running it.

Source of the format: https://onnx.ai/onnx/repo-docs/IR.html.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from facemodels.errors import InputError
from facemodels.importing.checks import ImportCheck

LEAST_OPSET = 9  # older graphs cannot be run row by row (Scan), nor checked for their shapes
# Operators that ONNX Runtime has of itself, on every machine.
_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})

Dimension = int | None  # None where it is free


@dataclass(frozen=True)
class Port:
    """An input or an output of a graph.

    Attributes:
        name: its name in the graph.
        shape: its dimensions, None where one is free; None if the file does not say the rank.
        type: the number of its element type, of `onnx.TensorProto`.
    """

    name: str
    shape: tuple[Dimension, ...] | None
    type: int

    def __str__(self) -> str:
        import onnx

        sides = (
            "?"
            if self.shape is None
            else "x".join("?" if n is None else str(n) for n in self.shape)
        )
        return f"{self.name} {onnx.TensorProto.DataType.Name(self.type).lower()} {sides}"


@dataclass(frozen=True)
class OnnxFile:
    """A file that was parsed.

    Attributes:
        model: the `onnx.ModelProto`.
        inputs: what must be fed: the inputs that have no value in the file.
        outputs: what it gives.
        opset: the version of ONNX's own operators.
        checks: what was looked at.
    """

    model: Any
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    opset: int
    checks: tuple[ImportCheck, ...]


def read(data: bytes, name: str) -> OnnxFile:
    """Parse the bytes of an ONNX file and check them; nothing is run and no other file read.

    Args:
        data: the bytes.
        name: the file's name, for messages.

    Raises:
        InputError: the bytes are no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError, TypeError) as error:
        raise InputError(
            f"{name} is no ONNX file: {error}.", "Export the network as ONNX."
        ) from error
    if not model.ir_version or not model.graph.node:
        raise InputError(f"{name} is no ONNX file: it holds no graph.", "Export it as ONNX.")
    valued = {one.name for one in model.graph.initializer}
    valued |= {one.values.name for one in model.graph.sparse_initializer}
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    return OnnxFile(
        model,
        tuple(_port(one) for one in model.graph.input if one.name not in valued),
        tuple(_port(one) for one in model.graph.output),
        opset,
        (
            _ir_version(model.ir_version),
            _opset(opset),
            _external_data(model),
            _operators(model),
            _well_formed(model),
        ),
    )


def _ir_version(found: int) -> ImportCheck:
    import onnx

    return ImportCheck(
        "IR version",
        found <= onnx.IR_VERSION,
        f"{found}",
        f"This facemodels knows IR version {onnx.IR_VERSION} at most: export with an older one.",
    )


def _opset(found: int) -> ImportCheck:
    import onnx

    most = onnx.defs.onnx_opset_version()
    return ImportCheck(
        "opset",
        LEAST_OPSET <= found <= most,
        f"{found}",
        f"Export with an opset of {LEAST_OPSET} to {most}, or convert it with "
        "`onnx.version_converter.convert_version`.",
    )


def _external_data(model: Any) -> ImportCheck:
    import onnx

    outside = sum(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model))
    return ImportCheck(
        "external data",
        not outside,
        f"{outside} tensors lie in other files" if outside else "none",
        "A package has one file: save it whole with "
        "`onnx.save_model(onnx.load(FILE), NEW, save_as_external_data=False)`.",
    )


def _operators(model: Any) -> ImportCheck:
    """Operators that need a library of their own, which nobody else would have."""
    local = {(one.domain, one.name) for one in model.functions}
    found = sorted(
        {
            f"{node.domain}::{node.op_type}"
            for node in _nodes(model)
            if node.domain not in _DOMAINS and (node.domain, node.op_type) not in local
        }
    )
    kinds = len({node.op_type for node in _nodes(model)})
    return ImportCheck(
        "operators",
        not found,
        f"custom ones: {', '.join(found[:5])}" if found else f"{kinds} kinds, all of ONNX Runtime",
        "Export it with operators of ONNX alone: no other machine has the library of these.",
    )


def _well_formed(model: Any) -> ImportCheck:
    import onnx

    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        return ImportCheck("form", False, reason, "Export it again: ONNX's checker refuses it.")
    return ImportCheck("form", True, "as ONNX's checker wants it")


def _port(value: Any) -> Port:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return Port(value.name, None, tensor.elem_type)
    sides = tuple(
        one.dim_value if one.HasField("dim_value") and one.dim_value > 0 else None
        for one in tensor.shape.dim
    )
    return Port(value.name, sides, tensor.elem_type)


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and all graphs inside of its nodes."""
    yield graph
    for node in graph.node:
        yield from _graphs_of(node)


def _graphs_of(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from _graphs(inner)


def _nodes(model: Any) -> Iterator[Any]:
    for graph in _graphs(model.graph):
        yield from graph.node
    for function in model.functions:
        for node in function.node:
            yield node
            for graph in _graphs_of(node):
                yield from graph.node


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model.graph):
        yield from graph.initializer
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
