"""What Triton's clients ask beyond the protocol: the model's configuration, statistics, the index.

The forms are those of Triton's extensions `model_configuration`, `statistics` and
`model_repository`; loading and unloading are not offered, as one process serves one version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from facemodels.routes import (
    ALL_STATISTICS,
    INDEX,
    MODEL_CONFIG,
    MODEL_STATISTICS,
    VERSION_CONFIG,
    VERSION_STATISTICS,
    Endpoint,
)
from facemodels.serving.http.bodies import json_response
from facemodels.serving.http.openapi import (
    INTEGER,
    TEXT,
    Operation,
    add_endpoint,
    listing,
    operation,
    record,
)
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.metrics import Metrics

EXTENSIONS = ("binary_tensor_data", "model_configuration", "statistics", "model_repository(index)")
_ANY: Mapping[str, Any] = {"type": "object"}
_NS = 1_000_000_000


def configuration(metadata: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """The model's configuration in Triton's form.

    Args:
        metadata: the model's metadata, as the protocol gives it.
        rows: the most rows of a request; the first axis of every tensor is a row's.
    """
    return {
        "name": metadata["name"],
        "platform": metadata["platform"],
        "max_batch_size": rows,
        "input": [_tensor(one) for one in metadata["inputs"]],
        "output": [_tensor(one) for one in metadata["outputs"]],
    }


def _tensor(one: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": one["name"], "data_type": f"TYPE_{one['datatype']}", "dims": one["shape"][1:]}


def statistics(metrics: Metrics, name: str, version: str) -> dict[str, Any]:
    """The counts since the start in Triton's form; durations in nanoseconds."""

    def value(series: str, **labels: str) -> float:
        own = {"model_name": name, "model_version": version, **labels}
        return metrics.registry.get_sample_value(series, own) or 0.0

    def duration(series: str) -> dict[str, int]:
        seconds = value(f"{series}_sum")
        return {"count": int(value(f"{series}_count")), "ns": int(seconds * _NS)}

    ended = "model_predictions_total"
    success = int(value(ended, status="success"))
    failed = sum(int(value(ended, status=one)) for one in ("invalid", "timeout", "error"))
    taken = duration("model_request_duration_seconds")
    infer = duration("model_inference_duration_seconds")
    return {
        "name": name,
        "version": version,
        "last_inference": 0,
        "inference_count": int(value("model_batch_size_sum")),
        "execution_count": infer["count"],
        "inference_stats": {
            "success": {"count": success, "ns": taken["ns"]},
            "fail": {"count": failed, "ns": 0},
            "queue": duration("model_queue_duration_seconds"),
            "compute_infer": infer,
        },
        "batch_stats": [],
    }


def add_triton(
    app: FastAPI, model: Any, readiness: Readiness, metrics: Metrics, *, rows: int, secured: bool
) -> None:
    """Add the endpoints to an application.

    Args:
        app: the application.
        model: an `OipModel`.
        readiness: whether the server is ready.
        metrics: what was counted.
        rows: the most rows of a request.
        secured: whether the server asks for tokens.
    """

    async def config(request: Request) -> Response:
        model.check(**request.path_params)
        return json_response(configuration(model.metadata(), rows))

    async def stats(request: Request) -> Response:
        if request.path_params:
            model.check(**request.path_params)
        return json_response({"model_stats": [statistics(metrics, model.name, model.version)]})

    async def index() -> Response:
        state = "READY" if readiness.ready else "UNAVAILABLE"
        return json_response(
            [{"name": model.name, "version": model.version, "state": state, "reason": ""}]
        )

    told = configuration(model.metadata(), rows)
    tensors = listing(record(name=TEXT, data_type=TEXT, dims=listing(INTEGER)))
    schema = record(
        name=TEXT, platform=TEXT, max_batch_size=INTEGER, input=tensors, output=tensors
    )  # fmt: skip
    counted = record(model_stats=listing(_ANY))
    some = {"model_stats": [statistics(metrics, model.name, model.version)]}
    for endpoint in (MODEL_CONFIG, VERSION_CONFIG):
        document = _document(endpoint, "config", model, schema, told, secured=secured)
        add_endpoint(app, endpoint, config, document)
    for endpoint in (ALL_STATISTICS, MODEL_STATISTICS, VERSION_STATISTICS):
        document = _document(endpoint, "statistics", model, counted, some, secured=secured)
        add_endpoint(app, endpoint, stats, document)
    entry = record(name=TEXT, version=TEXT, state=TEXT, reason=TEXT)
    example = [{"name": model.name, "version": model.version, "state": "READY", "reason": ""}]
    document = _document(INDEX, "index", model, listing(entry), example, secured=secured)
    add_endpoint(app, INDEX, index, document)


def _document(
    endpoint: Endpoint, what: str, model: Any, schema: Any, example: Any, *, secured: bool
) -> Operation:
    named: Sequence[tuple[str, str]] = [
        (key, value)
        for key, value in (("name", model.name), ("version", model.version))
        if f"{{{key}}}" in endpoint.path
    ]
    kind = ("version" if endpoint.versioned else "model") if named else "server"
    parameters = [
        {"name": key, "in": "path", "required": True, "schema": TEXT, "example": value}
        for key, value in named
    ]
    sample = f"curl -X {endpoint.method} $SERVER{endpoint.path}".format(
        name=model.name, version=model.version
    )
    missing = (404,) if named else ()
    return operation(
        endpoint, f"Triton's {what}", schema, example, *missing, secured=secured,
        extra={"operationId": f"{kind}_{what}", "parameters": parameters,
               "x-codeSamples": [{"lang": "Shell", "source": sample}]},
    )  # fmt: skip
