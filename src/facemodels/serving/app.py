"""The application: endpoints, their documentation, and the gate before them all."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from facemodels.serving import documents
from facemodels.serving.api import Api, Asked
from facemodels.serving.bodies import json_response, read_body
from facemodels.serving.engine import Engine
from facemodels.serving.gate import Gate
from facemodels.serving.metrics import Metrics
from facemodels.serving.oip import add_routes
from facemodels.serving.problems import RequestError
from facemodels.serving.readiness import Readiness
from facemodels.serving.settings import Limits
from facemodels.serving.tokens import Tokens


def create(
    engine: Engine,
    metrics: Metrics,
    *,
    tokens: Tokens | None,
    entry: Mapping[str, Any] | None,
    readiness: Readiness,
) -> Gate:
    """The application around a warm engine."""
    limits = engine.settings.limits
    api = Api(engine, entry)
    app = FastAPI(
        title=f"{engine.package.id.name} {engine.package.id.version}",
        version=str(engine.package.id.version),
        description=documents.DESCRIPTION,
        docs_url=None,  # both pages load their scripts from elsewhere
        redoc_url=None,
    )

    @app.get("/api/model/info", **documents.INFO)
    async def info() -> Response:
        return json_response(api.info())

    for ability in api.abilities:
        app.add_api_route(
            f"/api/{ability}",
            _endpoint(api, ability, limits, metrics),
            methods=["POST"],
            **documents.ability(ability),
        )

    @app.get("/metrics", **documents.METRICS)
    async def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> HTMLResponse:
        text = resources.files("facemodels.serving").joinpath("page.html").read_text("utf-8")
        return HTMLResponse(text, headers={"content-security-policy": documents.PAGE_POLICY})

    add_routes(app, engine, readiness, metrics)
    app.add_exception_handler(RequestError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    return Gate(app, limits=limits, tokens=tokens, metrics=metrics)


def _endpoint(api: Api, ability: str, limits: Limits, metrics: Metrics) -> Any:
    async def predict(request: Request) -> Response:
        body = await read_body(request, limits)
        metrics.request_size.observe(len(body))
        asked = Asked(request.headers.get("content-type", ""), body, dict(request.query_params))
        return json_response(await api.predict(ability, asked))

    predict.__name__ = ability
    return predict


async def _on_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, RequestError)  # noqa: S101  (the handler is registered for it)
    response = json_response(problem.body(request.state.request_id), problem.status)
    response.headers.update(problem.headers)
    return response


async def _on_http(request: Request, error: Exception) -> Response:
    """No such address, or not with this method."""
    assert isinstance(error, HTTPException)  # noqa: S101  (likewise)
    words = {404: ("not_found", "No such address."), 405: ("method", "Not with this method.")}
    code, text = words.get(error.status_code, ("refused", "The request was refused."))
    problem = RequestError(error.status_code, code, text, dict(error.headers or {}))
    return await _on_problem(request, problem)
