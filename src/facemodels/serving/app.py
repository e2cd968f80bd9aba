"""The application: endpoints, their documentation, and the gate before them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from facemodels.serving.api import documents
from facemodels.serving.api.endpoints import Api, ApiRequest
from facemodels.serving.engine.engine import Engine
from facemodels.serving.http.bodies import json_response, read_body
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.middleware import RequestMiddleware
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.memory import return_large_blocks
from facemodels.serving.metrics import Metrics
from facemodels.serving.oip.endpoints import add_routes


def create(
    engine: Engine,
    metrics: Metrics,
    *,
    tokens: Tokens | None,
    about: Callable[[], Mapping[str, Any]],
    readiness: Readiness,
) -> RequestMiddleware:
    """The application around a warm engine."""
    return_large_blocks()
    limits = engine.settings.limits
    api = Api(engine, about)
    model, version = str(engine.package.id.name), str(engine.package.id.version)
    secured = tokens is not None
    app = FastAPI(
        title=f"{model} {version}",
        version=version,
        description=documents.DESCRIPTION,
        docs_url=None,  # both pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # an answer that is no JSON, to an address the client names
    )

    async def info() -> Response:
        return json_response(api.info())

    async def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    app.add_api_route("/", _page, include_in_schema=False)
    app.add_api_route("/api/model/info", info, **documents.info(secured=secured))
    app.add_api_route("/metrics", expose, **documents.metrics(secured=secured))
    for ability in api.abilities:
        app.add_api_route(
            f"/api/{ability}",
            _endpoint(api, ability, metrics),
            methods=["POST"],
            **documents.ability(ability, model=model, version=version, secured=secured),
        )
    add_routes(app, engine, readiness, metrics, secured=secured)
    app.add_exception_handler(RequestError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_failure)
    _complete(app, api, secured=secured)
    return RequestMiddleware(app, limits=limits, tokens=tokens, metrics=metrics)


async def _page() -> HTMLResponse:
    text = resources.files("facemodels.serving").joinpath("page.html").read_text("utf-8")
    return HTMLResponse(text, headers={"content-security-policy": documents.PAGE_POLICY})


def _complete(app: FastAPI, api: Api, *, secured: bool) -> None:
    """Give the document what FastAPI takes no argument for, or drops: an example's nulls."""
    document = app.openapi()
    answer = document["paths"]["/api/model/info"]["get"]["responses"]["200"]
    answer["content"]["application/json"]["example"] = api.info()
    if secured:
        scheme = {"bearer": {"type": "http", "scheme": "bearer"}}
        document.setdefault("components", {})["securitySchemes"] = scheme


def _endpoint(api: Api, ability: str, metrics: Metrics) -> Any:
    async def predict(request: Request) -> Response:
        body = await read_body(request)
        metrics.request_size.observe(len(body))
        asked = ApiRequest(
            request.headers.get("content-type", ""), body, dict(request.query_params)
        )
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


async def _on_failure(request: Request, error: Exception) -> Response:
    """Nobody foresaw it. The gate gets it too, and logs it."""
    return await _on_problem(
        request, RequestError(500, "internal", "The server failed; it has the details.")
    )
