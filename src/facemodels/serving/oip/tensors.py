"""Reads and writes tensors of the Open Inference Protocol v2: JSON and the binary extension. Pure.

Source: KServe, "Open Inference Protocol (V2)", docs/predict-api/v2/required_api.md; Triton,
"Binary tensor data extension". A binary tensor is little-endian and in row-major order. It follows
the JSON, whose length is in the header `Inference-Header-Content-Length`.

Where the protocol leaves a choice: booleans and text are refused and not converted to numbers.
Values that are not finite are refused, since JSON cannot carry them in the answer. Unknown
parameters are ignored, as clients send Triton's parameters to any server.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from facemodels.serving.http.errors import RequestError
from facemodels.serving.oip.long_json import LONG, LongNumbers, cut_numbers

DTYPES: Mapping[str, str] = {"FP32": "<f4", "UINT8": "|u1"}
_LONGEST = 1 << 20  # rows, columns or channels of one axis
_NAME_LENGTH = 100
_AT_ONCE = 1 << 15  # numbers that are written in one call


@dataclass(frozen=True)
class TensorSpec:
    """What a tensor must be.

    Attributes:
        name: the name of the tensor.
        datatype: FP32 or UINT8.
        shape: the length of each axis; -1 for an axis of any length.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """The entry of the tensor in the model's metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True)
class InferenceRequest:
    """An inference request after reading.

    Attributes:
        id: the id that the client gave; the answer repeats it.
        inputs: the tensors by name. All are finite and aligned, with the same number of rows.
        outputs: the names of the outputs that the client asks for.
        binary: the names of the outputs that the client wants in binary.
    """

    id: str | None
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...]
    binary: frozenset[str]


def read(
    body: bytes,
    header_length: int | None,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
) -> InferenceRequest:
    """Read an inference request.

    Args:
        body: the JSON, and the binary tensors behind it.
        header_length: the length of the JSON in bytes; None if there are no binary tensors.
        inputs: what the input tensors must be.
        outputs: what the output tensors are.

    Raises:
        RequestError: 400; the sentence names what is wrong.
    """
    length = len(body) if header_length is None else header_length
    if not 0 <= length <= len(body):
        raise _wrong("Inference-Header-Content-Length is more than the body")
    whole = memoryview(body)
    text: bytes | memoryview = whole[:length]
    long: Mapping[str, LongNumbers] = {}
    if length > LONG:
        text, long = cut_numbers(body[:length])
        if len(text) > LONG:
            raise _wrong("data is no list of numbers, or the rest of the JSON is too long")
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise _wrong("the request is no JSON, or has numbers that are not finite") from error
    if not isinstance(request, dict):
        raise _wrong("the request is no JSON object")
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise _wrong("id is no text")
    names, binary = _outputs(request, outputs)
    found = _inputs(request, whole[length:], inputs, long)
    return InferenceRequest(identity, found, names, binary)


def write(
    head: Mapping[str, Any],
    outputs: Mapping[str, tuple[TensorSpec, NDArray[Any]]],
    request: InferenceRequest,
) -> tuple[bytes, int | None]:
    """Write an inference response.

    Args:
        head: model_name and model_version.
        outputs: the outputs of the model, by name.
        request: the request to answer.

    Returns:
        The body, and the length of its JSON in bytes if binary tensors follow it.

    Raises:
        RequestError: 400 if an output for these inputs is not finite.
    """
    described, tail = [], []
    for name in request.outputs:
        spec, values = outputs[name]
        if not np.isfinite(values).all():
            raise _wrong(f"for these inputs {name} is not finite")
        item: dict[str, Any] = {**spec.as_json(), "shape": list(values.shape)}
        if name in request.binary:
            data = np.ascontiguousarray(values, DTYPES[spec.datatype]).tobytes()
            item["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            item["data"] = _as_text(np.ascontiguousarray(values).reshape(-1))
        described.append(item)
    answer = {**head, **({"id": request.id} if request.id is not None else {})}
    text = orjson.dumps({**answer, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *tail]), len(text) if tail else None


def _as_text(values: NDArray[Any]) -> orjson.Fragment:
    """The JSON of a flat tensor, some numbers at a time: each call holds the interpreter's lock."""
    parts = (values[at : at + _AT_ONCE] for at in range(0, len(values), _AT_ONCE))
    texts = [orjson.dumps(part, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1] for part in parts]
    return orjson.Fragment(b"[" + b",".join(texts) + b"]")


def _wrong(text: str) -> RequestError:
    return RequestError(400, "wrong_tensor", f"{text[:1].upper()}{text[1:]}.")


def _inputs(
    request: Mapping[str, Any],
    rest: memoryview,
    specs: Sequence[TensorSpec],
    long: Mapping[str, LongNumbers],
) -> dict[str, NDArray[Any]]:
    known = {spec.name: spec for spec in specs}
    found: dict[str, NDArray[Any]] = {}
    for name, item in _named(request.get("inputs"), "input", known):
        found[name], rest = _tensor(item, known[name], rest, long)
    missing = known.keys() - found.keys()
    if missing:
        raise _wrong(f"input {', '.join(sorted(missing))} is missing")
    if len(rest):
        raise _wrong(f"{len(rest)} bytes follow that no tensor claims")
    if len({len(tensor) for tensor in found.values()}) > 1:
        raise _wrong("the inputs have different numbers of rows")
    return found


def _outputs(
    request: Mapping[str, Any], specs: Sequence[TensorSpec]
) -> tuple[tuple[str, ...], frozenset[str]]:
    """The names of the outputs that the client asks for, and of those it wants in binary."""
    known = {spec.name: spec for spec in specs}
    default = _flag(_parameters(request), "binary_data_output", default=False)
    asked = request.get("outputs") or [{"name": name} for name in known]
    binary = {
        name: _flag(_parameters(item), "binary_data", default=default)
        for name, item in _named(asked, "output", known)
    }
    return tuple(binary), frozenset(name for name, wanted in binary.items() if wanted)


def _named(
    given: Any, kind: str, known: Mapping[str, TensorSpec]
) -> list[tuple[str, Mapping[str, Any]]]:
    """The tensors of a list with their names. Each name must be known and occur once."""
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise _wrong(f"{kind}s is no list of tensors")
    found: dict[str, Mapping[str, Any]] = {}
    for item in given:
        name = item.get("name")
        if not isinstance(name, str) or name not in known:
            raise _wrong(f"{_shown(name)} is no {kind}; the model has {', '.join(known)}")
        if name in found:
            raise _wrong(f"{kind} {name} is there twice")
        found[name] = item
    return list(found.items())


def _parameters(item: Mapping[str, Any]) -> Mapping[str, Any]:
    given = item.get("parameters")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _wrong("parameters is no object")
    return given


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(f"{name} is neither true nor false")
    return value


def _tensor(
    item: Mapping[str, Any],
    spec: TensorSpec,
    rest: memoryview,
    long: Mapping[str, LongNumbers],
) -> tuple[NDArray[Any], memoryview]:
    """One input tensor, and the binary data that is left after it."""
    if item.get("datatype") != spec.datatype:
        raise _wrong(f"{spec.name} is {spec.datatype}, not {_shown(item.get('datatype'))}")
    shape = _shape(item.get("shape"), spec)
    size = _parameters(item).get("binary_data_size")
    if size is None:
        data = item.get("data")
        cut = long.get(data) if isinstance(data, str) else None
        values = _from_json(data, spec, shape) if cut is None else _from_long(cut, spec, shape)
    elif "data" in item:
        raise _wrong(f"{spec.name} has data both as JSON and as binary")
    else:
        values, rest = _from_binary(size, spec, shape, rest)
    if not np.isfinite(values).all():
        raise _wrong(f"{spec.name} has values that are not finite")
    return values, rest


def _shape(given: Any, spec: TensorSpec) -> tuple[int, ...]:
    wanted = ", ".join("any" if n == -1 else str(n) for n in spec.shape)
    problem = _wrong(f"{spec.name} has the shape [{wanted}], every length at least 1")
    if not isinstance(given, list) or len(given) != len(spec.shape):
        raise problem
    for length, allowed in zip(given, spec.shape, strict=True):
        if type(length) is not int or not 0 < length <= _LONGEST:
            raise problem
        if allowed not in (-1, length):
            raise problem
    return tuple(given)


def _from_binary(
    size: Any, spec: TensorSpec, shape: tuple[int, ...], rest: memoryview
) -> tuple[NDArray[Any], memoryview]:
    dtype = np.dtype(DTYPES[spec.datatype])
    wanted = math.prod(shape) * dtype.itemsize
    if type(size) is not int or size != wanted or size > len(rest):
        raise _wrong(f"{spec.name} needs {wanted} bytes of binary data, and {len(rest)} are left")
    values = np.frombuffer(rest[:size], dtype).reshape(shape)
    # The JSON may end at any byte, but kernels need numbers at addresses aligned to their size.
    return np.require(values, requirements="A"), rest[size:]


def _from_json(data: Any, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[Any]:
    return _numbers(_flat(data, spec, shape), spec).reshape(shape)


def _from_long(data: LongNumbers, spec: TensorSpec, shape: tuple[int, ...]) -> NDArray[Any]:
    try:
        parts = [_numbers(orjson.loads(piece), spec) for piece in data.pieces(shape)]
    except ValueError as error:  # that of the parser too
        raise _misshapen(spec) from error
    values = np.concatenate(parts)
    if len(values) != math.prod(shape):
        raise _misshapen(spec)
    return values.reshape(shape)


def _numbers(flat: list[Any], spec: TensorSpec) -> NDArray[Any]:
    kinds = set(map(type, flat))
    if spec.datatype == "UINT8":
        if kinds != {int} or min(flat) < 0 or max(flat) > 255:
            raise _wrong(f"the data of {spec.name} are no whole numbers from 0 to 255")
        return np.array(flat, np.uint8)
    if not kinds <= {int, float}:
        raise _wrong(f"the data of {spec.name} are no numbers")
    with np.errstate(over="ignore"):  # a number that is too large becomes infinite: refused
        return np.array(flat, np.float64).astype(np.float32)


def _flat(data: Any, spec: TensorSpec, shape: tuple[int, ...]) -> list[Any]:
    """The data in one flat list, from a flat list or from lists nested as the shape says."""
    problem = _misshapen(spec)
    if not isinstance(data, list):
        raise problem
    flat = data
    if data and isinstance(data[0], list):
        for inner in shape[1:]:
            if not all(isinstance(item, list) and len(item) == inner for item in flat):
                raise problem
            flat = list(chain.from_iterable(flat))
    if len(flat) != math.prod(shape):
        raise problem
    return flat


def _misshapen(spec: TensorSpec) -> RequestError:
    return _wrong(f"the data of {spec.name} are no list of its shape, neither flat nor nested")


def _shown(value: Any) -> str:
    """A text of the client in quotes, short and in ASCII; other values are not shown."""
    if not isinstance(value, str):
        return "what is no text"
    plain = value[:_NAME_LENGTH].encode("ascii", "replace").decode()
    return f'"{"".join(c if c.isprintable() else "?" for c in plain)}"'
