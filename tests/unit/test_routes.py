"""The list of addresses: what the application serves, what a token needs, what is logged."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route

from facemodels import routes
from facemodels.names import TASKS, ModelId
from facemodels.routes import (
    ABILITIES,
    ABILITY,
    ENDPOINTS,
    OF_SYSTEMS,
    ability_path,
    ability_paths,
    is_ours,
    is_prediction,
    needed_scope,
    without_person,
)
from facemodels.serving.app import build
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.metrics import Metrics

SOURCES = Path(routes.__file__).parent
IDS = {
    "detection": "det-yolov8-v1.0.0",
    "recognition": "rec-facenet-v1.2.3",
    "system": "sys-faces-v1.0.0",
}
SYSTEM = {
    "min_score": 0.7, "threshold": 0.5, "quality": {},
    "calibration": {"rates": [0.1], "thresholds": [0.5], "impostor_pairs": 100},
}  # fmt: skip


def engine(task: str) -> Any:
    """What the application asks of an engine before any request."""
    metadata = {
        "created_at": "", "accuracy_metrics": {}, "parent_version": None, "changelog": "",
        "architecture": "", "embedding_space": None, "output_shape": [68, 2],
    }  # fmt: skip
    metadata["known_issues"] = ""
    identity = ModelId.parse(IDS.get(task, "lmk-dlib-v1.0.0"))
    package = SimpleNamespace(
        id=identity, task=task, metadata=metadata, config=SYSTEM if task == "system" else {},
        digest="0" * 64, runtimes=("onnx",),
    )  # fmt: skip
    # A system's; it is not called.
    predictor = SimpleNamespace(find=None, embedder=SimpleNamespace(embedding_size=2))
    settings = SimpleNamespace(limits=SimpleNamespace(rows=4), open=(), root_path="")
    return SimpleNamespace(package=package, graph=None, predictor=predictor, settings=settings)


@pytest.fixture(params=ABILITIES)
def app(request: pytest.FixtureRequest) -> Any:
    metrics = Metrics("name", "1.0.0", "0" * 64)
    return build(
        engine(request.param), metrics, secured=True, about=dict, readiness=Readiness()
    ), request.param  # fmt: skip


def test_the_application_serves_the_list_and_nothing_else(app: Any) -> None:
    built, task = app
    served = {
        (method, route.path)
        for route in built.routes
        if isinstance(route, Route | APIRoute)
        for method in (route.methods or ()) if method != "HEAD"
    }  # fmt: skip
    absent = {ABILITY, *(OF_SYSTEMS if task != "system" else ())}
    listed = {(one.method, one.path) for one in ENDPOINTS if one not in absent}
    assert served == listed | {(ABILITY.method, path) for path in ability_paths(task)}


def test_the_document_asks_for_a_token_where_the_list_does(app: Any) -> None:
    built, _ = app
    for path, operations in built.openapi()["paths"].items():
        for method, operation in operations.items():
            needed = needed_scope(method.upper(), path)
            assert ("security" in operation) is (needed is not None)
            assert ("401" in operation["responses"]) is (needed is not None)


@pytest.mark.parametrize(
    ("method", "path", "predicts"),
    [
        ("POST", "/api/embed", True),
        ("POST", "/v2/models/m/infer", True),
        ("POST", "/v2/models/m/versions/1.0.0/infer", True),
        ("GET", "/api/embed", False),
        ("POST", "/", False),
        ("POST", "/v2/models/m/ready", False),
        ("POST", "/v2/models/a/b/infer", False),
        ("POST", "/api/embed/x", False),
        ("POST", "/api/identify", True),
        ("POST", "/api/galleries/staff/faces", True),
        ("DELETE", "/api/galleries/staff/people/Ada", False),
    ],
)
def test_predictions_are_told_by_method_and_path(method: str, path: str, predicts: bool) -> None:
    assert is_prediction(method, path) is predicts


def test_every_ability_is_a_prediction_under_its_own_address() -> None:
    assert set(ABILITIES) == set(TASKS)
    for task, abilities in ABILITIES.items():
        assert ability_paths(task) == tuple(ability_path(ability) for ability in abilities)
        for path in ability_paths(task):
            assert path.startswith("/api/")
            assert is_prediction("POST", path)
            assert is_ours(path)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/", "info"), ("POST", "/", "info"), ("GET", "/v2/health/ready", None),
        ("GET", "/openapi.json", "info"), ("GET", "/metrics", "metrics"), ("GET", "/v2", "info"),
        ("GET", "/api/model/info", "info"), ("POST", "/api/embed", "predict"),
        ("GET", "/api/embed", "info"), ("POST", "/v2/models/m/infer", "predict"),
        ("GET", "/v2/models/m/ready", "info"), ("GET", "/nowhere", "info"), ("GET", "//", "info"),
        ("POST", "/api/nothing", "predict"), ("GET", "/metrics/", "info"),
        ("POST", "/api/identify", "gallery:read"), ("GET", "/api/galleries", "gallery:read"),
        ("POST", "/api/galleries/staff/faces", "gallery:write"),
        ("DELETE", "/api/galleries/staff/people/Ada", "gallery:write"),
        ("GET", "/api/galleries/staff/people/Ada", "gallery:write"),
        ("DELETE", "/api/galleries/staff", "info"),
    ],
)  # fmt: skip
def test_every_address_needs_its_scope(method: str, path: str, scope: str | None) -> None:
    assert needed_scope(method, path) == scope


def test_a_path_that_names_a_person_is_logged_without_the_name() -> None:
    path = "/api/galleries/staff/people/Ada Lovelace"
    assert is_ours(path)
    assert without_person(path) == "/api/galleries/staff/people/{person}"
    assert without_person("/api/galleries/staff/faces") == "/api/galleries/staff/faces"


def test_clients_write_no_address_by_hand() -> None:
    """Controllers and routers have addresses of their own; what asks a server reads the list."""
    sources = [*(SOURCES / "monitoring").rglob("*.py"), *(SOURCES / "cli").rglob("*.py")]
    paths = {ability_path(name) for names in ABILITIES.values() for name in names}
    paths |= {endpoint.path for endpoint in ENDPOINTS if len(endpoint.path) > len("/v2")}
    by_hand = [
        f"{source.relative_to(SOURCES)}: {path}"
        for source in sources
        for path in paths
        if f'"{path}"' in source.read_text() or f'{path}"' in source.read_text()
    ]
    assert by_hand == []
