"""`/v2`: the Open Inference Protocol, version 2, over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray

from facemodels import __version__
from facemodels.landmarks.task import POINTS
from facemodels.serving.api import boxes
from facemodels.serving.engine.engine import Engine
from facemodels.serving.http.bodies import json_response, media_type, read_body
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.metrics import Metrics
from facemodels.serving.oip import tensors
from facemodels.serving.oip.documents import OipDocuments
from facemodels.serving.oip.tensors import TensorSpec

_HEADER = "inference-header-content-length"
_LENGTH = re.compile(r"[0-9]{1,12}")
_JSON, _BINARY = "application/json", "application/octet-stream"
# The protocol names platforms <project>_<format>, and knows none of dlib's.
_PLATFORMS = {"onnx": "onnx_onnxv1", "native": "dlib_dat"}


class OipModel:
    """One model in the protocol's words.

    Args:
        engine: what predicts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = str(engine.package.id.name)
        self.version = str(engine.package.id.version)
        self.inputs, self.outputs = _specs(engine)

    def check(self, name: str, version: str | None = None) -> None:
        """Raise unless this is the model that is meant.

        Raises:
            RequestError: 404.
        """
        if name != self.name or version not in (None, self.version):
            raise RequestError(404, "no_such_model", f"This server has {self.name} {self.version}.")

    def metadata(self) -> dict[str, Any]:
        """Of the model."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": _PLATFORMS[self._engine.package.runtimes[0]],
            "inputs": [spec.as_json() for spec in self.inputs],
            "outputs": [spec.as_json() for spec in self.outputs],
        }

    async def infer(self, body: bytes, header_length: int | None) -> tuple[bytes, int | None]:
        """Answer an inference request; see `tensors.write`.

        Raises:
            RequestError: 400 for a wrong request, 413 for too many rows.
        """
        request = tensors.read(body, header_length, self.inputs, self.outputs)
        rows = len(next(iter(request.inputs.values())))
        most = self._engine.settings.limits.rows
        if rows > most:
            raise RequestError(413, "too_many_rows", f"At most {most} rows a request.")
        if self._engine.graph is not None:
            output = await self._engine.run(request.inputs[self._engine.graph.input_name])
        else:
            output = await self._engine.work(self._fit, request.inputs)
        head = {"model_name": self.name, "model_version": self.version}
        given = {self.outputs[0].name: (self.outputs[0], output)}
        return tensors.write(head, given, request)

    def _fit(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        images, faces = inputs["images"], inputs["boxes"]
        boxes.check(faces, np.array([[images.shape[2], images.shape[1]]]))
        points: NDArray[np.float32] = self._engine.predictor.fit(list(images), faces)
        return points


def _specs(engine: Engine) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Inputs and outputs: of the graph, or of dlib's predictor."""
    graph = engine.graph
    if graph is None:
        boxes = TensorSpec("boxes", "FP32", (-1, 4))
        images = TensorSpec("images", "UINT8", (-1, -1, -1, 3))
        return [images, boxes], [TensorSpec("points", "FP32", (-1, POINTS, 2))]
    return (
        [TensorSpec(graph.input_name, "FP32", (-1, *_lengths(graph.input_shape)))],
        [TensorSpec(graph.output_name, "FP32", (-1, *_lengths(graph.output_shape)))],
    )


def _lengths(shape: tuple[Any, ...]) -> list[int]:
    """Of the axes; ONNX gives a free one a name, or nothing."""
    return [length if isinstance(length, int) else -1 for length in shape]


def add_routes(
    app: FastAPI, engine: Engine, readiness: Readiness, metrics: Metrics, *, secured: bool
) -> None:
    """Add the protocol's addresses, with and without a version.

    Args:
        app: to add them to.
        engine: what predicts.
        readiness: whether the server wants requests.
        metrics: told of the sizes of requests.
        secured: whether requests need a token.
    """
    protocol = OipModel(engine)
    documents = OipDocuments(protocol.metadata(), secured=secured)
    about = {"name": "facemodels", "version": __version__, "extensions": ["binary_tensor_data"]}

    async def server() -> Response:
        return json_response(about)

    async def live() -> Response:
        return json_response({"live": True})

    async def ready() -> Response:
        return json_response({"ready": readiness.ready}, 200 if readiness.ready else 503)

    async def metadata(request: Request) -> Response:
        protocol.check(**request.path_params)
        return json_response(protocol.metadata())

    async def model_ready(request: Request) -> Response:
        protocol.check(**request.path_params)
        value = {"name": protocol.name, "ready": readiness.ready}
        return json_response(value, 200 if readiness.ready else 503)

    async def infer(request: Request) -> Response:
        protocol.check(**request.path_params)
        _check_type(request)
        length = _header_length(request)
        body = await read_body(request)
        metrics.request_size.observe(len(body))
        data, head = await protocol.infer(body, length)
        if head is None:
            return Response(data, media_type=_JSON)
        return Response(data, media_type=_BINARY, headers={_HEADER: str(head)})

    app.add_api_route("/v2", server, **documents.server(about))
    app.add_api_route("/v2/health/live", live, **documents.live())
    app.add_api_route("/v2/health/ready", ready, **documents.ready())
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        versioned = base.endswith("{version}")
        app.add_api_route(base, metadata, **documents.metadata(versioned=versioned))
        app.add_api_route(
            f"{base}/ready", model_ready, **documents.model_ready(versioned=versioned)
        )
        app.add_api_route(
            f"{base}/infer", infer, methods=["POST"], **documents.infer(versioned=versioned)
        )


def _check_type(request: Request) -> None:
    """JSON, binary, or nothing said: Triton's client says nothing.

    Raises:
        RequestError: 415.
    """
    if media_type(request) not in ("", _JSON, _BINARY):
        raise RequestError(415, "unsupported_media_type", f"Send {_JSON}, or {_BINARY}.")


def _header_length(request: Request) -> int | None:
    text = request.headers.get(_HEADER)
    if text is None:
        return None
    if not _LENGTH.fullmatch(text):
        raise RequestError(400, "wrong_header", "Inference-Header-Content-Length is no number.")
    return int(text)
