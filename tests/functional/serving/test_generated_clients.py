"""Clients that others generate from /openapi.json work, also with the next version.

openapi-python-client writes a whole client, datamodel-code-generator the classes of all bodies.
OpenAPI Generator would need Java, which is not installed here.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from facemodels.files import sha256
from facemodels.package.load import open_package
from facemodels.serving.app import create
from facemodels.serving.engine.inference import Engine
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.metrics import Metrics
from facemodels.serving.settings import Serving

from .conftest import GOLDEN
from .wire import picture

BIN = Path(sys.executable).parent
VERSIONS = ("1.0.0", "1.1.0")
# What a client sends besides the parameters of the path; the rest is taken from examples.
IMAGES = {"images": [base64.b64encode(picture()).decode()]}


@dataclass(frozen=True)
class Served:
    """One version, reached without a network."""

    app: Any
    version: str

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://server")

    def document(self) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            async with self.client() as client:
                return (await client.get("/openapi.json")).json()

        return asyncio.run(ask())


def released(version: str, folder: Path) -> Path:
    """The package of the golden files under another version."""
    package = folder / f"dlib-v{version}"
    shutil.copytree(GOLDEN, package)
    metadata = json.loads((package / "metadata.json").read_text())
    (package / "metadata.json").write_text(json.dumps({**metadata, "version": version}))
    names = sorted(file.name for file in package.iterdir() if file.name != "checksums.sha256")
    lines = [f"{sha256(package / name)}  {name}\n" for name in names]
    (package / "checksums.sha256").write_text("".join(lines))
    return package


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Served]]:
    found, engines = [], []
    for version in VERSIONS:
        package = open_package(released(version, tmp_path_factory.mktemp("released")))
        metrics, readiness = Metrics(str(package.id.name), version, package.digest), Readiness()
        readiness.ready = True
        engines.append(Engine(package, Serving(), threads=1, metrics=metrics))
        app = create(engines[-1], metrics, tokens=None, about=dict, readiness=readiness)
        found.append(Served(app, version))
    yield found
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def generated(versions: Sequence[Served], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both generators write for the first version."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_text(json.dumps(versions[0].document()))
    commands = [
        ["openapi-python-client", "generate", "--path", document, "--meta", "none",
         "--output-path", folder / "faces_client"],
        ["datamodel-codegen", "--input", document, "--input-file-type", "openapi", "--formatters",
         "builtin", "--output-model-type", "pydantic_v2.BaseModel", "--output",
         folder / "faces_models.py"],
    ]  # fmt: skip
    for tool, *options in commands:
        if not (BIN / tool).is_file():
            pytest.skip(f"{tool} is not installed: make setup")
        subprocess.run(
            [BIN / tool, *map(str, options)], check=True, capture_output=True, cwd=folder
        )
    return folder


def imported(folder: Path, name: str) -> ModuleType:
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def bodies(models: ModuleType, document: dict[str, Any], request_id: str) -> dict[str, Any]:
    """What to send, by the start of an operation's name."""
    infer = document["paths"]["/v2/models/{name}/infer"]["post"]["requestBody"]["content"]
    return {
        "landmarks": models.LandmarksRequest.from_dict(IMAGES),
        "model_infer": models.ModelInferRequest.from_dict(infer["application/json"]["example"]),
        "version_infer": models.VersionInferRequest.from_dict(infer["application/json"]["example"]),
        "feedback": models.FeedbackRequest.from_dict({"request_id": request_id, "score": 1}),
    }


def test_a_client_of_one_version_calls_every_route_of_it_and_of_the_next(
    versions: Sequence[Served], generated: Path
) -> None:
    api = imported(generated, "faces_client.api.default")
    models = imported(generated, "faces_client.models")
    client_of = imported(generated, "faces_client.client").Client
    names = sorted(file.stem for file in Path(str(api.__file__)).parent.glob("[a-z]*.py"))
    assert len(names) >= 19

    document = versions[0].document()

    async def call(served: Served) -> None:
        async with served.client() as http:
            client = client_of(base_url="http://server", raise_on_unexpected_status=True)
            client.set_async_httpx_client(http)
            known = {"name": "landmark-dlib", "version": served.version}
            given: dict[str, Any] = {}
            for name in sorted(names, key=lambda one: one.startswith("feedback")):
                function = importlib.import_module(f"{api.__name__}.{name}").asyncio_detailed
                taken = inspect.signature(function).parameters
                options = {key: value for key, value in known.items() if key in taken}
                if "body" in taken:
                    sent = bodies(models, document, given.get("id", ""))
                    options["body"] = next(v for k, v in sent.items() if name.startswith(k))
                answer = await function(client=client, **options)
                assert answer.status_code == 200, (served.version, name, answer.content)
                if name.startswith("landmarks"):
                    given["id"] = answer.headers["x-request-id"]
                    assert len(answer.parsed.results[0].points) == 68

    for served in versions:
        asyncio.run(call(served))


def test_classes_of_one_version_read_the_answers_of_it_and_of_the_next(
    versions: Sequence[Served], generated: Path
) -> None:
    models = imported(generated, "faces_models")

    async def ask(served: Served) -> None:
        async with served.client() as client:
            sent = models.LandmarksRequest(**IMAGES).model_dump(mode="json")
            answer = await client.post("/api/landmarks", json=sent)
            found = models.LandmarksAnswer.model_validate_json(answer.content)
            assert found.model_version == served.version
            for path, name in (
                ("/api/model/info", "InfoAnswer"),
                ("/v2/models/landmark-dlib", "ModelMetadataAnswer"),
            ):
                getattr(models, name).model_validate_json((await client.get(path)).content)
            refused = await client.post("/api/landmarks", json={})
            assert models.Error.model_validate_json(refused.content).code == "broken_json"

    for served in versions:
        asyncio.run(ask(served))
