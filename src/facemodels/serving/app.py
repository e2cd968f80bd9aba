"""The ASGI application: the endpoints, their documentation, and the middleware before them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from facemodels.gallery.opened import GallerySystem
from facemodels.routes import INFO, METRICS, OPENABLE, OPENAPI, PAGE
from facemodels.serving.api import documents
from facemodels.serving.api.endpoints import Api, add_api
from facemodels.serving.api.feedback_endpoint import add_feedback
from facemodels.serving.engine.inference import Engine
from facemodels.serving.galleries import ServedGalleries
from facemodels.serving.http.admission import Admission
from facemodels.serving.http.bodies import json_response
from facemodels.serving.http.components import name_schemas
from facemodels.serving.http.errors import RequestError
from facemodels.serving.http.middleware import RequestMiddleware
from facemodels.serving.http.openapi import add_endpoint
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.http.tokens import Tokens
from facemodels.serving.memory import return_freed_memory, return_large_blocks
from facemodels.serving.metrics import Metrics
from facemodels.serving.oip.endpoints import add_oip
from facemodels.serving.page import page
from facemodels.serving.reference import add_reference
from facemodels.serving.settings import Serving

_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'"
)


def create(
    engine: Engine,
    metrics: Metrics,
    *,
    tokens: Tokens | None,
    about: Callable[[], Mapping[str, Any]],
    readiness: Readiness,
    galleries: Mapping[str, Path] | None = None,
) -> RequestMiddleware:
    """Make the application of one server.

    Args:
        engine: the engine that predicts, warm.
        metrics: where predictions are counted.
        tokens: the tokens that are accepted; None lets everyone do everything.
        about: gives the fields that the registry has for the version now.
        readiness: whether the server is ready.
        galleries: the folders of a system's galleries, by name.
    """
    return_large_blocks()
    return_freed_memory()
    secured = tokens is not None
    app = build(
        engine, metrics, secured=secured, about=about, readiness=readiness, galleries=galleries
    )
    limits = engine.settings.limits
    return RequestMiddleware(
        app, limits=limits, tokens=tokens, metrics=metrics, opened=opened_paths(engine.settings),
        prefix=engine.settings.root_path,
        admission=Admission(limits, metrics, aside=lambda: engine.large_requests),
    )  # fmt: skip


def opened_paths(settings: Serving) -> frozenset[str]:
    """The paths that need no token, by the settings."""
    return frozenset(endpoint.path for name in settings.open for endpoint in OPENABLE[name])


def build(
    engine: Engine,
    metrics: Metrics,
    *,
    secured: bool,
    about: Callable[[], Mapping[str, Any]],
    readiness: Readiness,
    galleries: Mapping[str, Path] | None = None,
) -> FastAPI:
    """Make the application without the middleware: every endpoint and its documentation."""
    model, version = str(engine.package.id.name), str(engine.package.id.version)
    app = FastAPI(
        title=f"{model} {version}",
        version=version,
        description=documents.DESCRIPTION,
        openapi_url=OPENAPI.path,
        docs_url=None,  # the pages of FastAPI load their scripts from other servers
        redoc_url=None,
        servers=[{"url": engine.settings.root_path}] if engine.settings.root_path else None,
        redirect_slashes=False,  # a redirect is no JSON and repeats an address of the client's
    )

    async def expose() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    add_endpoint(app, PAGE, _page, {"include_in_schema": False})
    add_reference(app)
    served = _galleries(engine, galleries or {})
    api = add_api(app, engine, about, metrics, secured=secured, galleries=served)
    closed = secured and METRICS.path not in opened_paths(engine.settings)
    add_endpoint(app, METRICS, expose, documents.metrics(secured=closed))
    add_feedback(app, metrics.feedback, engine.settings, secured=secured)
    add_oip(app, engine, readiness, metrics, secured=secured)
    app.add_exception_handler(RequestError, _on_request_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(Exception, _on_failure)
    _complete_document(app, api, secured=secured)
    return app


def _galleries(engine: Engine, folders: Mapping[str, Path]) -> ServedGalleries | None:
    """The galleries of a system, which may be none; None for any other model."""
    if engine.package.task != "system":
        return None
    return ServedGalleries(folders, GallerySystem.around(engine.package, engine.predictor))


async def _page() -> HTMLResponse:
    return HTMLResponse(page(), headers={"content-security-policy": _PAGE_POLICY})


def _complete_document(app: FastAPI, api: Api, *, secured: bool) -> None:
    """Add to the OpenAPI document what FastAPI has no argument for.

    It is made when somebody first asks for it: a start can do without those 60 ms. FastAPI drops
    the nulls of an example, so the example of the model's info is set here.
    """
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = plain()
            answer = made["paths"][INFO.path]["get"]["responses"]["200"]
            answer["content"]["application/json"]["example"] = api.info()
            name_schemas(made)
            if secured:
                scheme = {"bearer": {"type": "http", "scheme": "bearer"}}
                made.setdefault("components", {})["securitySchemes"] = scheme
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


async def _on_request_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)  # noqa: S101  (the handler is registered for it)
    response = json_response(error.body(request.state.request_id), error.status)
    response.headers.update(error.headers)
    return response


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette found no endpoint at the address, or none for the method."""
    assert isinstance(error, HTTPException)  # noqa: S101  (likewise)
    words = {404: ("not_found", "No such address."), 405: ("method", "Not with this method.")}
    code, text = words.get(error.status_code, ("refused", "The request was refused."))
    problem = RequestError(error.status_code, code, text, dict(error.headers or {}))
    return await _on_request_error(request, problem)


async def _on_failure(request: Request, error: Exception) -> Response:
    """An error that nothing else handles. The middleware gets it too, and logs it."""
    return await _on_request_error(
        request, RequestError(500, "internal", "The server failed; it has the details.")
    )
