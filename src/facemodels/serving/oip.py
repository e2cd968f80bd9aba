"""`/v2`: the Open Inference Protocol, version 2, over HTTP."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import FastAPI, Request, Response
from numpy.typing import NDArray

from facemodels import __version__
from facemodels.landmarks.task import POINTS
from facemodels.serving import documents, tensors
from facemodels.serving.bodies import json_response, read_body
from facemodels.serving.engine import Engine
from facemodels.serving.metrics import Metrics
from facemodels.serving.problems import RequestError
from facemodels.serving.readiness import Readiness
from facemodels.serving.tensors import Spec

_HEADER = "inference-header-content-length"


class Protocol:
    """One model in the protocol's words.

    Args:
        engine: what predicts.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name = str(engine.package.id.name)
        self.version = str(engine.package.id.version)
        self.inputs, self.outputs = _specs(engine)

    def check(self, name: str, version: str | None) -> None:
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
            "platform": f"{self._engine.package.runtimes[0]}_facemodels",
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

    def _fit(self, inputs: Any) -> NDArray[np.float32]:
        points: NDArray[np.float32] = self._engine.predictor.fit(
            list(inputs["images"]), inputs["boxes"]
        )
        return points


def _specs(engine: Engine) -> tuple[list[Spec], list[Spec]]:
    """Inputs and outputs: of the graph, or of dlib's predictor."""
    graph = engine.graph
    if graph is None:
        boxes = Spec("boxes", "FP32", (-1, 4))
        images = Spec("images", "UINT8", (-1, -1, -1, 3))
        return [images, boxes], [Spec("points", "FP32", (-1, POINTS, 2))]
    return (
        [Spec(graph.input_name, "FP32", (-1, *graph.input_shape))],
        [Spec(graph.output_name, "FP32", (-1, *graph.output_shape))],
    )


def add_routes(app: FastAPI, engine: Engine, readiness: Readiness, metrics: Metrics) -> None:
    """Add the protocol's addresses, with and without a version."""
    protocol = Protocol(engine)

    @app.get("/v2", **documents.OIP_SERVER)
    async def server() -> Response:
        extensions = ["binary_tensor_data"]
        value = {"name": "facemodels", "version": __version__, "extensions": extensions}
        return json_response(value)

    @app.get("/v2/health/live", **documents.OIP_LIVE)
    async def live() -> Response:
        return json_response({"live": True})

    @app.get("/v2/health/ready", **documents.OIP_READY)
    async def ready() -> Response:
        return json_response({"ready": readiness.ready}, 200 if readiness.ready else 503)

    async def metadata(name: str, version: str | None = None) -> Response:
        protocol.check(name, version)
        return json_response(protocol.metadata())

    async def model_ready(name: str, version: str | None = None) -> Response:
        protocol.check(name, version)
        value = {"name": protocol.name, "ready": readiness.ready}
        return json_response(value, 200 if readiness.ready else 503)

    async def infer(request: Request, name: str, version: str | None = None) -> Response:
        protocol.check(name, version)
        body = await read_body(request, engine.settings.limits)
        metrics.request_size.observe(len(body))
        data, length = await protocol.infer(body, _header_length(request))
        if length is None:
            return Response(data, media_type="application/json")
        headers = {_HEADER: str(length)}
        return Response(data, media_type="application/octet-stream", headers=headers)

    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        kind = "version" if base.endswith("{version}") else "model"
        app.add_api_route(base, metadata, **documents.oip_metadata(kind))
        app.add_api_route(f"{base}/ready", model_ready, **documents.oip_ready(kind))
        route = documents.oip_infer(kind, protocol.inputs)
        app.add_api_route(f"{base}/infer", infer, methods=["POST"], **route)


def _header_length(request: Request) -> int | None:
    text = request.headers.get(_HEADER)
    if text is None:
        return None
    if not text.isdigit() or len(text) > 12:
        raise RequestError(400, "wrong_header", "Inference-Header-Content-Length is no number.")
    return int(text)
