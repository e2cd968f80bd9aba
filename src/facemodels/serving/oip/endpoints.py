"""The endpoints of `/v2`: the Open Inference Protocol, version 2, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray

from facemodels import __version__
from facemodels.routes import (
    LIVE,
    MODEL,
    MODEL_INFER,
    MODEL_READY,
    READY,
    SERVER,
    VERSION,
    VERSION_INFER,
    VERSION_READY,
)
from facemodels.serving.engine.inference import Engine
from facemodels.serving.http.bodies import json_response, media_type, read_body
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.openapi import add_endpoint
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.metrics import Metrics
from facemodels.serving.oip import predictors, tensors
from facemodels.serving.oip.documents import OipDocuments
from facemodels.serving.oip.long_json import LONG
from facemodels.serving.oip.tensors import TensorSpec
from facemodels.serving.oip.triton import EXTENSIONS, add_triton

_HEADER = "inference-header-content-length"
_LENGTH = re.compile(r"[0-9]{1,12}")
_DIGITS = 10  # of a number in JSON
_JSON, _BINARY = "application/json", "application/octet-stream"
# The protocol calls a platform <project>_<format>. It has no name for dlib's, nor for several
# graphs or models with steps between them, so we gave them one.
_PLATFORMS = {
    "onnx": "onnx_onnxv1",
    "graphs": "onnx_graphs",
    "native": "dlib_dat",
    "members": "onnx_members",
}


Result = TypeVar("Result")


class OipModel:
    """One model as the protocol describes it.

    Args:
        engine: the engine that predicts.

    Attributes:
        name: the name of the model.
        version: the version of the model.
        inputs: what the input tensors must be.
        outputs: what the output tensors are.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = str(engine.package.id.name)
        self.version = str(engine.package.id.version)
        self.inputs, self.outputs = _specs(engine)

    def check(self, name: str, version: str | None = None) -> None:
        """Raise unless an address names this model, and this version or none.

        Raises:
            RequestError: 404.
        """
        if name != self.name or version not in (None, self.version):
            raise RequestError(404, "no_such_model", f"This server has {self.name} {self.version}.")

    def metadata(self) -> dict[str, Any]:
        """The model's metadata, as the protocol gives it."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": _PLATFORMS[self._engine.package.runtimes[0]],
            "inputs": [spec.as_json() for spec in self.inputs],
            "outputs": [spec.as_json() for spec in self.outputs],
        }

    async def infer(self, body: bytes, header_length: int | None) -> tuple[bytes, int | None]:
        """Answer an inference request.

        Args:
            body: the JSON, and the binary tensors behind it.
            header_length: the length of the JSON in bytes; None if there are no binary tensors.

        Returns:
            The body of the answer, and the length of its JSON if binary tensors follow it.

        Raises:
            RequestError: 400 for a wrong request, 413 for too many rows.
        """
        text = len(body) if header_length is None else header_length
        request = await self._parsed(
            text > LONG, tensors.read, body, header_length, self.inputs, self.outputs
        )
        rows = len(next(iter(request.inputs.values())))
        most = self._engine.settings.limits.rows
        if rows > most:
            raise RequestError(413, "too_many_rows", f"At most {most} rows a request.")
        if self._engine.graph is not None:
            output = await self._engine.run(request.inputs[self._engine.graph.input_name])
        else:
            output = await self._engine.work(self._predict, request.inputs)
        head = {"model_name": self.name, "model_version": self.version}
        given = {self.outputs[0].name: (self.outputs[0], output)}
        text = 0 if request.binary else output.size * _DIGITS
        return await self._parsed(text > LONG, tensors.write, head, given, request)

    async def _parsed(self, long: bool, function: Callable[..., Result], *arguments: Any) -> Result:
        """Read or write tensors, in a thread where that takes long."""
        if long:
            return await self._engine.work_alone(function, *arguments)
        return function(*arguments)

    def _predict(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return predictors.run(self._engine.package.task, self._engine.predictor, inputs)


def _specs(engine: Engine) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """The inputs and outputs of the graph; without one graph, those of the predictor."""
    graph = engine.graph
    if graph is None:
        inputs, output = predictors.specs(engine.package)
        return inputs, [output]
    return (
        [TensorSpec(graph.input_name, "FP32", (-1, *_lengths(graph.input_shape)))],
        [TensorSpec(graph.output_name, "FP32", (-1, *_lengths(graph.output_shape)))],
    )


def _lengths(shape: tuple[Any, ...]) -> list[int]:
    """The lengths of the axes, -1 for a free one, to which ONNX gives a name or None."""
    return [length if isinstance(length, int) else -1 for length in shape]


def add_oip(
    app: FastAPI, engine: Engine, readiness: Readiness, metrics: Metrics, *, secured: bool
) -> None:
    """Add the endpoints of the protocol to an application.

    Args:
        app: the application.
        engine: the engine that predicts.
        readiness: whether the server is ready.
        metrics: where the sizes of requests are counted.
        secured: whether the server asks for tokens.
    """
    model = OipModel(engine)
    documents = OipDocuments(model.metadata(), secured=secured)
    about = {"name": "facemodels", "version": __version__, "extensions": list(EXTENSIONS)}

    async def server() -> Response:
        return json_response(about)

    async def live() -> Response:
        return json_response({"live": True})

    async def ready() -> Response:
        return json_response({"ready": readiness.ready}, 200 if readiness.ready else 503)

    async def metadata(request: Request) -> Response:
        model.check(**request.path_params)
        return json_response(model.metadata())

    async def model_ready(request: Request) -> Response:
        model.check(**request.path_params)
        value = {"name": model.name, "ready": readiness.ready}
        return json_response(value, 200 if readiness.ready else 503)

    async def infer(request: Request) -> Response:
        model.check(**request.path_params)
        _check_type(request)
        length = _header_length(request)
        body = await read_body(request)
        metrics.request_size.observe(len(body))
        data, head = await model.infer(body, length)
        if head is None:
            return Response(data, media_type=_JSON)
        return Response(data, media_type=_BINARY, headers={_HEADER: str(head)})

    add_endpoint(app, SERVER, server, documents.server(about))
    add_endpoint(app, LIVE, live, documents.live())
    add_endpoint(app, READY, ready, documents.ready())
    rows = engine.settings.limits.rows
    # Before the models' own addresses: `stats` is no name of a model.
    add_triton(app, model, readiness, metrics, rows=rows, secured=secured)
    for endpoint in (MODEL, VERSION):
        add_endpoint(app, endpoint, metadata, documents.metadata(endpoint))
    for endpoint in (MODEL_READY, VERSION_READY):
        add_endpoint(app, endpoint, model_ready, documents.model_ready(endpoint))
    for endpoint in (MODEL_INFER, VERSION_INFER):
        add_endpoint(app, endpoint, infer, documents.infer(endpoint))


def _check_type(request: Request) -> None:
    """Raise unless the content type is JSON or binary, or absent as from Triton's client.

    Raises:
        RequestError: 415.
    """
    if media_type(request.headers.get("content-type", "")) not in ("", _JSON, _BINARY):
        raise RequestError(415, "unsupported_media_type", f"Send {_JSON}, or {_BINARY}.")


def _header_length(request: Request) -> int | None:
    """The length of the JSON in bytes; None if the request does not give it.

    Raises:
        RequestError: 400.
    """
    text = request.headers.get(_HEADER)
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise RequestError(400, "wrong_header", "Inference-Header-Content-Length is no number.")
    return int(text)
