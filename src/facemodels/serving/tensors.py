"""Tensors of the Open Inference Protocol v2: JSON, and the binary extension. Pure.

Source: KServe, "Open Inference Protocol (V2)", docs/predict-api/v2/required_api.md; Triton,
"Binary tensor data extension". A binary tensor is little-endian and in row-major order, and
follows the JSON, whose length `Inference-Header-Content-Length` gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from facemodels.serving.problems import RequestError

DTYPES: Mapping[str, str] = {"FP32": "<f4", "UINT8": "|u1"}
_NAME_LENGTH = 200


@dataclass(frozen=True)
class Spec:
    """What a tensor must be.

    Attributes:
        name: of the tensor.
        datatype: FP32 or UINT8.
        shape: -1 where any length will do.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def as_json(self) -> dict[str, Any]:
        """As the model's metadata has it."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


@dataclass(frozen=True)
class Inference:
    """A request that was read.

    Attributes:
        id: the client's own, given back.
        inputs: by name.
        outputs: names that are asked for; all of the model's if empty.
        binary: names of the outputs that shall be binary.
    """

    id: str | None
    inputs: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...]
    binary: frozenset[str]


def read(
    body: bytes, header_length: int | None, inputs: Sequence[Spec], outputs: Sequence[Spec]
) -> Inference:
    """Read an inference request.

    Args:
        body: the JSON, and the binary tensors behind it.
        header_length: of the JSON; None if there is nothing but JSON.
        inputs: what the model takes.
        outputs: what the model gives.

    Raises:
        RequestError: 400, naming what is wrong.
    """
    head = body if header_length is None else body[:header_length]
    if header_length is not None and not 0 < header_length <= len(body):
        raise _wrong("Inference-Header-Content-Length is not the length of a head of this body")
    try:
        request = orjson.loads(head)
    except orjson.JSONDecodeError as error:
        raise _wrong("the request is no JSON") from error
    if not isinstance(request, dict):
        raise _wrong("the request is no JSON object")
    tensors = _inputs(request, memoryview(body)[len(head) :], inputs)
    names, binary = _outputs(request, outputs)
    identity = request.get("id")
    if identity is not None and not isinstance(identity, str):
        raise _wrong("id is no text")
    return Inference(identity, tensors, names, binary)


def _wrong(text: str) -> RequestError:
    return RequestError(400, "wrong_tensor", f"{text[:1].upper()}{text[1:]}.")


def _inputs(
    request: Mapping[str, Any], rest: memoryview, specs: Sequence[Spec]
) -> dict[str, NDArray[Any]]:
    given = request.get("inputs")
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise _wrong("inputs is no list of tensors")
    known = {spec.name: spec for spec in specs}
    found: dict[str, NDArray[Any]] = {}
    for item in given:
        name = item.get("name")
        if not isinstance(name, str) or name not in known:
            raise _wrong(f"{_shown(name)} is no input; the model takes {', '.join(known)}")
        if name in found:
            raise _wrong(f"{name} is given twice")
        found[name], rest = _tensor(item, known[name], rest)
    missing = known.keys() - found.keys()
    if missing:
        raise _wrong(f"input {', '.join(sorted(missing))} is missing")
    if len(rest):
        raise _wrong(f"{len(rest)} bytes follow that no tensor claims")
    rows = {len(tensor) for tensor in found.values()}
    if len(rows) > 1:
        raise _wrong("the inputs have different numbers of rows")
    return found


def _tensor(
    item: Mapping[str, Any], spec: Spec, rest: memoryview
) -> tuple[NDArray[Any], memoryview]:
    """One input, and the binary data that is left behind it."""
    datatype, shape = item.get("datatype"), item.get("shape")
    if datatype != spec.datatype:
        raise _wrong(f"{spec.name} is {spec.datatype}, not {_shown(datatype)}")
    if not _fits(shape, spec.shape):
        raise _wrong(f"{spec.name} has the shape {list(spec.shape)}, not {_shown(shape)}")
    assert isinstance(shape, list)  # noqa: S101  (it fits)
    parameters = item.get("parameters") or {}
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is None:
        return _from_json(item.get("data"), spec, shape), rest
    wanted = math.prod(shape) * np.dtype(DTYPES[spec.datatype]).itemsize
    if not isinstance(size, int) or isinstance(size, bool) or size != wanted or size > len(rest):
        raise _wrong(f"{spec.name} needs {wanted} bytes of binary data, and {len(rest)} are left")
    return np.frombuffer(rest[:size], DTYPES[spec.datatype]).reshape(shape), rest[size:]


def _fits(shape: Any, wanted: tuple[int, ...]) -> bool:
    if not isinstance(shape, list) or len(shape) != len(wanted):
        return False
    plain = all(isinstance(n, int) and not isinstance(n, bool) and 0 < n < 1 << 20 for n in shape)
    return plain and all(b in (-1, a) for a, b in zip(shape, wanted, strict=True))


def _from_json(data: Any, spec: Spec, shape: list[int]) -> NDArray[Any]:
    if not isinstance(data, list):
        raise _wrong(f"{spec.name} has no data")
    try:
        if spec.datatype == "UINT8":
            return _bytes(np.array(data), spec).reshape(shape)
        values = np.array(data, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise _wrong(f"the data of {spec.name} are no numbers of its shape") from error
    if values.size != math.prod(shape) or not (values.ndim == 1 or values.shape == tuple(shape)):
        raise _wrong(f"{spec.name} has {values.size} values, not those of its shape")
    return values.reshape(shape)


def _bytes(values: NDArray[Any], spec: Spec) -> NDArray[np.uint8]:
    whole = values.dtype.kind in "iu" and values.size > 0
    if not whole or values.min() < 0 or values.max() > 255:
        raise _wrong(f"the data of {spec.name} are no whole numbers from 0 to 255")
    return values.astype(np.uint8)


def _outputs(
    request: Mapping[str, Any], specs: Sequence[Spec]
) -> tuple[tuple[str, ...], frozenset[str]]:
    every = tuple(spec.name for spec in specs)
    parameters = request.get("parameters") or {}
    all_binary = isinstance(parameters, dict) and parameters.get("binary_data_output") is True
    asked = request.get("outputs")
    if asked is None:
        return every, frozenset(every if all_binary else ())
    if not isinstance(asked, list) or not all(isinstance(item, dict) for item in asked):
        raise _wrong("outputs is no list of tensors")
    binary = set()
    for item in asked:
        name = item.get("name")
        if name not in every:
            raise _wrong(f"{_shown(name)} is no output; the model gives {', '.join(every)}")
        own = item.get("parameters") or {}
        if isinstance(own, dict) and own.get("binary_data", all_binary) is True:
            binary.add(name)
    return tuple(dict.fromkeys(item["name"] for item in asked)) or every, frozenset(binary)


def _shown(value: Any) -> str:
    return str(value)[:_NAME_LENGTH].encode("ascii", "replace").decode()


def write(
    head: Mapping[str, Any], outputs: Mapping[str, tuple[Spec, NDArray[Any]]], request: Inference
) -> tuple[bytes, int | None]:
    """An inference response.

    Args:
        head: model_name, model_version.
        outputs: of the model, by name.
        request: what was asked for.

    Returns:
        The body, and the length of its JSON where binary tensors follow it.
    """
    described, tail = [], []
    for name in request.outputs:
        spec, values = outputs[name]
        item: dict[str, Any] = {**spec.as_json(), "shape": list(values.shape)}
        if name in request.binary:
            data = np.ascontiguousarray(values, DTYPES[spec.datatype]).tobytes()
            item["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            item["data"] = np.ascontiguousarray(values).reshape(-1)
        described.append(item)
    answer = {**head, **({"id": request.id} if request.id is not None else {})}
    text = orjson.dumps({**answer, "outputs": described}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([text, *tail]), len(text) if tail else None
