"""What /openapi.json says of the endpoints of `/v2`, with examples of the model that answers."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import orjson

from facemodels.routes import LIVE, READY, SERVER, Endpoint
from facemodels.serving.http.openapi import (
    BINARY,
    FLAG,
    INTEGER,
    NUMBER,
    TEXT,
    Operation,
    Schema,
    content,
    listing,
    operation,
    record,
)

_MOST_VALUES = 1000  # of an example; larger tensors have an example in binary only
_FREE = 4  # the length of a free axis in examples; a box has four numbers
_SHAPE = listing(INTEGER)
_TENSOR = record(name=TEXT, datatype=TEXT, shape=_SHAPE)
FACES = "faces"  # the output of a detector that gives a row a face
_SIZES = {"FP32": 4, "UINT8": 1}


class OipDocuments:
    """Documents the endpoints of the protocol for one model.

    Args:
        metadata: the model's metadata, as the protocol gives it.
        secured: whether the server asks for tokens.
    """

    def __init__(self, metadata: Mapping[str, Any], *, secured: bool) -> None:
        self._metadata = metadata
        self._name: str = metadata["name"]
        (self._version,) = metadata["versions"]
        self._secured = secured

    def server(self, example: Mapping[str, Any]) -> Operation:
        """Document the server's metadata."""
        schema = record(name=TEXT, version=TEXT, extensions=listing(TEXT))
        return self._operation(SERVER, "What server this is", schema, dict(example))

    def live(self) -> Operation:
        """Document whether the process answers."""
        schema = record(live=FLAG)
        return self._operation(LIVE, "Whether the process answers", schema, {"live": True})

    def ready(self) -> Operation:
        """Document whether the server is ready."""
        schema = record(ready=FLAG)
        made = self._operation(READY, "Whether the server wants requests", schema, {"ready": True})
        return _with_unready(made, schema, {"ready": False})

    def metadata(self, endpoint: Endpoint) -> Operation:
        """Document the model's metadata, at its address with or without a version."""
        tensors = listing(_TENSOR)
        schema = record(
            name=TEXT, versions=listing(TEXT), platform=TEXT, inputs=tensors, outputs=tensors
        )
        return self._operation(
            endpoint, "Inputs and outputs of the model", schema,
            dict(self._metadata), 404, extra=self._path("metadata", endpoint),
        )  # fmt: skip

    def model_ready(self, endpoint: Endpoint) -> Operation:
        """Document whether the model is ready, at its address with or without a version."""
        schema = record(name=TEXT, ready=FLAG)
        made = self._operation(
            endpoint, "Whether the model wants requests", schema,
            {"name": self._name, "ready": True}, 404, extra=self._path("ready", endpoint),
        )  # fmt: skip
        return _with_unready(made, schema, {"name": self._name, "ready": False})

    def infer(self, endpoint: Endpoint) -> Operation:
        """Document inference, at its address with or without a version."""
        answer = record(
            model_name=TEXT, model_version=TEXT, id=TEXT,
            outputs=listing(self._output(), least=1), optional=("id",),
        )  # fmt: skip
        example = {
            "model_name": self._name, "model_version": self._version,
            "outputs": [_answered(tensor) for tensor in self._metadata["outputs"]],
        }  # fmt: skip
        extra = self._path("infer", endpoint)
        extra["requestBody"] = {"required": True, "content": self._requests()}
        extra["parameters"] = [*extra["parameters"], _HEADER]
        extra["x-codeSamples"] = [{"lang": "Shell", "source": self._curl(endpoint)}]
        made = self._operation(
            endpoint, "Run the model on tensors", answer,
            example, 400, 404, 408, 413, 415, 503, 504, extra=extra,
        )  # fmt: skip
        made["responses"][200]["content"]["application/octet-stream"] = {"schema": BINARY}
        return made

    def _operation(
        self, endpoint: Endpoint, summary: str, schema: Schema, example: Any, *errors: int,
        extra: Any = None,
    ) -> Operation:  # fmt: skip
        return operation(
            endpoint, summary, schema, example, *errors, secured=self._secured, extra=extra
        )

    def _path(self, name: str, endpoint: Endpoint) -> dict[str, Any]:
        kind = "version" if endpoint.versioned else "model"
        named = [
            ("name", self._name),
            *([("version", self._version)] if endpoint.versioned else []),
        ]
        parameters = [
            {"name": key, "in": "path", "required": True, "schema": TEXT, "example": value}
            for key, value in named
        ]
        return {"operationId": f"{kind}_{name}", "parameters": parameters}

    def _output(self) -> dict[str, Any]:
        names = [tensor["name"] for tensor in self._metadata["outputs"]]
        return record(
            name={**TEXT, "enum": names}, datatype=TEXT, shape=_SHAPE,
            parameters=record(binary_data_size=INTEGER), data=listing(NUMBER),
            optional=("parameters", "data"),
        )  # fmt: skip

    def _requests(self) -> dict[str, Any]:
        inputs = self._metadata["inputs"]
        # Each input has a schema of its own, since it has one type and one shape.
        tensors = [_input(tensor) for tensor in inputs]
        outputs = [tensor["name"] for tensor in self._metadata["outputs"]]
        wanted = record(
            name={**TEXT, "enum": outputs},
            parameters={"type": "object", "properties": {"binary_data": FLAG}},
            optional=("parameters",),
        )
        schema = record(
            id=TEXT,
            parameters={"type": "object", "properties": {"binary_data_output": FLAG}},
            inputs={
                "type": "array", "items": {"anyOf": tensors},
                "minItems": len(inputs), "maxItems": len(inputs),
            },
            outputs=listing(wanted, least=1, most=len(outputs)),
            optional=("id", "parameters", "outputs"),
        )  # fmt: skip
        values = sum(math.prod(_shape(tensor)) for tensor in inputs)
        example = {"inputs": [_filled(tensor) for tensor in inputs]}
        return {
            **content(schema, example if values <= _MOST_VALUES else None),
            "application/octet-stream": {"schema": BINARY},
        }

    def _curl(self, endpoint: Endpoint) -> str:
        """A command that sends a request with binary tensors, every byte of it."""
        inputs = []
        data = b""
        for tensor in self._metadata["inputs"]:
            filled = _filled(tensor)
            values = filled.pop("data")
            size = len(values) * _SIZES[tensor["datatype"]]
            filled["parameters"] = {"binary_data_size": size}
            inputs.append(filled)
            data += _bytes(tensor, values)
        head = orjson.dumps({"inputs": inputs}).decode()
        path = endpoint.path.format(name=self._name, version=self._version)
        tail = "".join(f"\\{byte:03o}" for byte in data.rstrip(b"\0"))
        zeros = len(data) - len(data.rstrip(b"\0"))
        return (
            f"(printf '%s' '{head}'; printf '{tail}'; head -c {zeros} /dev/zero) |\n"
            f"curl -H 'content-type: application/octet-stream' "
            f"-H 'inference-header-content-length: {len(head)}' "
            f"--data-binary @- $SERVER{path}"
        )


_HEADER: Schema = {
    "name": "Inference-Header-Content-Length", "in": "header", "required": False,
    "description": "Bytes of the JSON, where binary tensors follow it",
    "schema": {"type": "integer", "minimum": 0, "maximum": 999_999_999_999},
}  # fmt: skip


def _with_unready(made: Operation, schema: Schema, example: Any) -> Operation:
    """Add the 503 of an endpoint of health, which is an answer and no error."""
    made["responses"][503] = {
        "description": "Not yet, or no more", "content": content(schema, example)
    }  # fmt: skip
    return made


def _input(tensor: Mapping[str, Any]) -> dict[str, Any]:
    # No `const`: openapi-python-client would ask for it at every axis.
    bounds = [(1, 1 << 20) if n == -1 else (n, n) for n in tensor["shape"]]
    lengths = [{"type": "integer", "minimum": least, "maximum": most} for least, most in bounds]
    count = len(lengths)
    return record(
        name={"const": tensor["name"]}, datatype={"const": tensor["datatype"]},
        shape={"type": "array", "prefixItems": lengths, "minItems": count, "maxItems": count},
        parameters={"type": "object"},
        data={"type": "array", "items": {}, "description": "Flat, or nested as the shape"},
        optional=("parameters", "data"),
    )  # fmt: skip


def _shape(tensor: Mapping[str, Any]) -> list[int]:
    """The shape of a tensor with one row, for an example."""
    first, *rest = tensor["shape"]
    return [1 if first == -1 else first, *(_FREE if n == -1 else n for n in rest)]


def _filled(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """A tensor of zeros with its data as JSON; of boxes, one around the whole image."""
    shape = _shape(tensor)
    boxes = tensor["shape"] == [-1, 4]
    data = [0, 0, _FREE, _FREE] if boxes else [0] * math.prod(shape)
    return {**tensor, "shape": shape, "data": data}


def _answered(tensor: Mapping[str, Any]) -> dict[str, Any]:
    """An output for `_filled` inputs, abridged; in an image of zeros no face is found."""
    shape = _shape(tensor)
    if tensor["name"] == FACES:
        return {**tensor, "shape": [0, *shape[1:]], "data": []}
    return {**tensor, "shape": shape, "data": [0.0]}


def _bytes(tensor: Mapping[str, Any], values: list[int]) -> bytes:
    """The values of a tensor in its binary form."""
    return b"".join(
        struct.pack("<f" if tensor["datatype"] == "FP32" else "B", value) for value in values
    )
