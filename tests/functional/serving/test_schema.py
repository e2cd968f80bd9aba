"""/openapi.json tells the truth: its examples work, and what is generated from it fits."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest
from PIL import Image

from facemodels.data.sample.generate import detection_split
from tests.bounded import bounded

from .answers import check
from .conftest import COMMAND, GOLDEN, Server, Start

HERE = Path(__file__).parent
SERVERS = ("landmark_server", "face_server", "detection_server", "points_server", "system_server")
# positive_data_acceptance: that a body fits its schema does not make it a picture, nor the
# numbers of a tensor as many as its shape says; 422 and 400 are documented for that.
# missing_required_header: no header is required.
_LEFT_OUT = "positive_data_acceptance"


@cache
def photo(form: str = "PNG") -> bytes:
    """A generated scene with one face or more."""
    split = detection_split("test", seed=1, scenes=1, image_size=320, workers=1)
    stream = io.BytesIO()
    Image.fromarray(np.array(split.images[0])).save(stream, form)
    return stream.getvalue()


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    return request.getfixturevalue(request.param)


def document(server: Server) -> dict[str, Any]:
    """The document, with every reference replaced by what it stands for."""
    found = server.get("/openapi.json").json()
    return resolved(found, found["components"]["schemas"])


def resolved(value: Any, schemas: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [resolved(one, schemas) for one in value]
    if not isinstance(value, dict):
        return value
    if "$ref" in value:
        return resolved(schemas[value["$ref"].rpartition("/")[2]], schemas)
    return {key: resolved(one, schemas) for key, one in value.items()}


def operations(found: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    ]


def address(path: str, operation: dict[str, Any]) -> str:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", parameter["example"])
    return path


def query(operation: dict[str, Any]) -> dict[str, Any]:
    return {
        parameter["name"]: parameter["example"]
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query" and "example" in parameter
    }


def outline(value: Any) -> Any:
    """Names and kinds of a value; of a list, those of its first item; null is any kind."""
    if isinstance(value, dict):
        return {key: outline(item) for key, item in value.items()}
    if isinstance(value, list):
        return [outline(item) for item in value[:1]]
    return "number" if type(value) in (int, float) else type(value).__name__


def test_the_document_names_every_address_and_is_valid(server: Server) -> None:
    found = document(server)
    assert found["openapi"].startswith("3.1")
    every = {"/api/model/info", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready"}
    for base in ("/v2/models/{name}", "/v2/models/{name}/versions/{version}"):
        every |= {base, f"{base}/ready", f"{base}/infer"}
    assert every < found["paths"].keys()
    identities = [operation["operationId"] for *_, operation in operations(found)]
    assert len(set(identities)) == len(identities)
    for *_, operation in operations(found):
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                jsonschema_rs.meta.validate(content["schema"])


def test_every_answer_that_is_json_has_an_example_that_fits_its_schema(server: Server) -> None:
    for path, _, operation in operations(document(server)):
        for status, answer in operation["responses"].items():
            for kind, content in answer["content"].items():
                if kind == "application/json":
                    assert "example" in content, (path, status)
                    jsonschema_rs.validate(content["schema"], content["example"])


def test_no_status_is_documented_that_cannot_happen(server: Server) -> None:
    for path, method, operation in operations(document(server)):
        statuses = set(operation["responses"])
        assert not statuses & {"401", "403", "500"}, "there are no tokens here"
        judges = path == "/api/feedback"
        assert ("422" in statuses) == (method == "post" and path.startswith("/api/") and not judges)
        of_gallery = "galleries/" in path or path == "/api/identify"
        assert ("404" in statuses) == ("{name}" in path or of_gallery or judges)
        assert ("409" in statuses) == ((of_gallery and method == "post") or judges)


def test_access_is_documented_where_tokens_are_asked_for(start: Start, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    subprocess.run(
        [COMMAND, "token", "add", "--name", "one", "--scope", "metrics", "--file", str(tokens)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = start(GOLDEN, "--tokens", str(tokens), open=["openapi"])
    found = document(server)
    assert found["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for path, method, operation in operations(found):
        is_open = path.startswith("/v2/health")
        assert ("401" in operation["responses"]) != is_open
        assert ("security" in operation) != is_open
        answer = httpx.request(method, server.url + address(path, operation))
        assert (answer.status_code == 200) if is_open else (answer.status_code == 401), path
        check(answer)


def test_every_get_answers_as_its_example_shows(server: Server) -> None:
    for path, method, operation in operations(document(server)):
        if method != "get":
            continue
        answer = server.get(address(path, operation))
        assert answer.status_code == 200
        content = operation["responses"]["200"]["content"]
        (kind,) = content
        assert answer.headers["content-type"].startswith(kind)
        if kind == "application/json":
            jsonschema_rs.validate(content[kind]["schema"], answer.json())
            assert outline(answer.json()) == outline(content[kind]["example"])


def test_every_example_of_a_body_and_of_parameters_is_answered(server: Server) -> None:
    for path, method, operation in operations(document(server)):
        if method != "post" or path == "/api/feedback":  # its example judges no answer of here
            continue
        for kind, content in operation.get("requestBody", {"content": {}})["content"].items():
            options: dict[str, Any] = {"params": query(operation)}
            if "example" in content:
                options["json"] = content["example"]
            elif kind.startswith("image/"):
                data = photo(form=kind.removeprefix("image/").upper())
                options |= {"content": data, "headers": {"content-type": kind}}
            elif kind == "multipart/form-data":
                options["files"] = [("image", ("a.png", photo()))] * 2
            else:
                continue
            answer = server.post(address(path, operation), **options)
            assert answer.status_code == 200, answer.text
            told = operation["responses"]["200"]["content"]["application/json"]
            jsonschema_rs.validate(told["schema"], answer.json())
            if "/detect" not in path:  # random weights find nothing
                assert outline(answer.json()) == outline(told["example"])


def test_every_code_sample_runs_as_it_stands(server: Server, tmp_path: Path) -> None:
    for name in ("face.jpg", "one.jpg", "other.jpg"):
        (tmp_path / name).write_bytes(photo(form="JPEG"))
    ran = 0
    for path, method, operation in operations(document(server)):
        if method != "post" or path == "/api/feedback":
            continue
        (sample,) = operation["x-codeSamples"]
        done = subprocess.run(
            ["bash", "-c", sample["source"].replace("curl ", "curl --silent --fail-with-body ", 1)],
            cwd=tmp_path, env={**os.environ, "SERVER": server.url}, capture_output=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        told = operation["responses"]["200"]["content"]["application/json"]
        jsonschema_rs.validate(told["schema"], json.loads(done.stdout))
        ran += 1
    assert ran >= 3


def fuzz(server: Server, folder: Path, *, examples: int) -> None:
    """Run schemathesis's command against a server."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("st")), "run", f"{server.url}/openapi.json",
            "--max-examples", str(examples), "--phases", "examples,coverage,fuzzing",
            "--checks", "all", "--exclude-checks", _LEFT_OUT, "--seed", "1",
            "--suppress-health-check", "all", "--warnings", "off", "--no-color",
            "--continue-on-failure", "--request-timeout", "20",
        ],
        cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schema_hooks", "PYTHONPATH": str(HERE)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout[-1500:])
    assert server.process.poll() is None
    assert not [line for line in server.lines if line["event"] in ("failed", "raw")]


# The others ask for nothing that is not asked of these two.
@pytest.mark.parametrize(
    "server", bounded(SERVERS, ("landmark_server", "system_server")), indirect=True
)
def test_schemathesis_finds_nothing(server: Server, tmp_path: Path) -> None:
    fuzz(server, tmp_path, examples=5)


@pytest.mark.full
def test_schemathesis_finds_nothing_in_depth(server: Server, tmp_path: Path) -> None:
    fuzz(server, tmp_path, examples=400)
