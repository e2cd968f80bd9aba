"""Tests of a deployed environment, over HTTP alone: pytest tests/integration/ --model-version 2.2.0

Without `--model-version` they are skipped.
"""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from facemodels.deployment import settings
from facemodels.errors import FacemodelsError, NameFormatError
from facemodels.monitoring.probes.client import HEADER
from facemodels.names import TASKS, ModelId, ModelName
from facemodels.registry.registry import open_registry

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 30.0
_FIRST = "recognition"  # is meant where models of several tasks serve the version


def pytest_addoption(parser: pytest.Parser) -> None:
    # Only where this folder is named on the command line; hence the defaults in `_option`.
    group = parser.getgroup("a deployed environment")
    group.addoption("--model-version", help="Version that must answer, for example 2.2.0.")
    group.addoption("--model-type", choices=TASKS, help="Its task; by default any.")
    group.addoption("--model-name", help="Its name, where several models have one version.")
    group.addoption("--environment", choices=settings.ENVIRONMENTS, help="Default: staging.")
    group.addoption("--base-url", help="Instead of the environment's address.")
    group.addoption("--token", help="Bearer token; FACEMODELS_TOKEN by default.")


def _option(config: pytest.Config, name: str, default: str = "") -> str:
    return config.getoption(name, default=None) or default


@dataclass(frozen=True)
class Deployed:
    """A version behind an address.

    Attributes:
        identity: of the version.
        environment: `staging` or `production`.
        url: what `/api` and `/v2` are below.
        headers: of every request.
        registered: whether the address is the environment's own, so that the registry knows.
    """

    identity: ModelId
    environment: str
    url: str
    headers: Mapping[str, str]
    registered: bool

    @property
    def task(self) -> str:
        return self.identity.name.task

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers=self.headers, timeout=_TIMEOUT_S, trust_env=False
        )


@pytest.fixture(scope="session")
def deployed(pytestconfig: pytest.Config) -> Deployed:
    version = _option(pytestconfig, "--model-version")
    if not version:
        pytest.skip("name the version that is deployed: --model-version 2.2.0")
    environment = _option(pytestconfig, "--environment", "staging")
    token = _option(pytestconfig, "--token", os.environ.get("FACEMODELS_TOKEN", ""))
    headers = {"authorization": f"Bearer {token}"} if token else {}
    base = _base_url(pytestconfig, environment)
    task = _option(pytestconfig, "--model-type")
    tasks = [task] if task else [_FIRST, *(one for one in TASKS if one != _FIRST)]
    identity, url = _find(_candidates(pytestconfig, tasks, version), base, headers)
    own = not _option(pytestconfig, "--base-url")
    return Deployed(identity, environment, url, {**headers, HEADER: str(identity)}, own)


def _base_url(config: pytest.Config, environment: str) -> str:
    given = _option(config, "--base-url")
    if given:
        return given.rstrip("/")
    address = settings.load(ROOT, environment).address
    return f"http://{address.host}:{address.port}"


def _candidates(config: pytest.Config, tasks: Sequence[str], version: str) -> list[ModelId]:
    """Ids that may be meant: of the model named, else of all that the registry or models/ has."""
    name = _option(config, "--model-name")
    names = [name] if name else [known for task in tasks for known in sorted(set(_known(task)))]
    try:
        return [ModelId.parse(f"{ModelName.parse(one)}-v{version}") for one in names]
    except NameFormatError as error:
        pytest.fail(str(error), pytrace=False)


def _known(task: str) -> Iterator[str]:
    """Names of a task's models."""
    prefix = task.removesuffix("s")
    for path in (*ROOT.glob(f"models/{task}/*-v*"), *ROOT.glob(f"conf/model/{prefix}-*.yaml")):
        stem = path.stem.removeprefix(f"{prefix}-") if path.suffix == ".yaml" else path.name
        yield f"{prefix}-{stem.partition('-v')[0]}"
    try:
        entries = open_registry(ROOT).repository.state().entries
    except FacemodelsError:  # tested from a copy without Git
        return
    for identity in map(ModelId.parse, entries):
        if identity.name.task == task:
            yield str(identity.name)


def _find(candidates: list[ModelId], base: str, headers: Mapping[str, str]) -> tuple[ModelId, str]:
    """The candidate that answers; where several models live, each has addresses of its own."""
    seen = []
    with httpx.Client(timeout=_TIMEOUT_S, trust_env=False) as client:
        for identity in candidates:
            for url in (f"{base}/models/{identity.name}", base):
                asked = {**headers, HEADER: str(identity)}
                try:
                    response = client.get(f"{url}/api/model/info", headers=asked)
                except httpx.HTTPError as error:
                    pytest.fail(f"{url} does not answer: {error}", pytrace=False)
                if response.status_code != 200:
                    seen.append(f"{url}: status {response.status_code}")
                    continue
                answered = response.json()["model_id"]
                if answered == str(identity):
                    return identity, url
                seen.append(f"{url}: {answered}")
    pytest.fail(
        f"none of {', '.join(map(str, candidates))} answers: {'; '.join(seen)}", pytrace=False
    )


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, deployed: Deployed) -> None:
    """Instead of the rule of all other tests: the environment, and nothing else."""
    parts = urlsplit(deployed.url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    own = {found[4][0] for found in socket.getaddrinfo(parts.hostname, port)}
    connect = socket.socket.connect

    def only_there(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in own:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", only_there)


@pytest.fixture
def client(deployed: Deployed) -> Iterator[httpx.Client]:
    with deployed.client() as made:
        yield made


@pytest.fixture(scope="session")
def pixels(deployed: Deployed) -> list[np.ndarray]:
    """Three generated pictures of the kind that the task takes, uint8 (S, S, 3)."""
    from facemodels.data.sample import generate

    if deployed.task == "detection":
        split = generate.detection_split("test", seed=5, scenes=3, image_size=320, workers=1)
    elif deployed.task == "recognition":
        split = generate.recognition_split(
            "test", seed=5, identities=2, images_per_identity=2, image_size=112, folds=1,
            pairs_per_fold=1, workers=1,
        )  # fmt: skip
    elif deployed.task == "landmarks":
        split = generate.landmark_split("test", seed=5, faces=3, image_size=160, workers=1)
    else:
        split = generate.photo_split("test", seed=5, people=4, photos=3, image_size=240, workers=1)
    return list(split.images[:3])


@pytest.fixture(scope="session")
def pictures(pixels: list[np.ndarray]) -> list[bytes]:
    """The same as PNG files, which lose nothing."""
    encoded = []
    for image in pixels:
        stream = io.BytesIO()
        Image.fromarray(image).save(stream, "PNG")
        encoded.append(stream.getvalue())
    return encoded
