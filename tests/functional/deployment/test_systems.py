"""Systems and their galleries: a new embedding space, under requests, and back again."""

from __future__ import annotations

import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from facemodels.data.sample.generate import photo_split
from facemodels.files import write_yaml
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.faces import photo_of
from facemodels.gallery.migrate import migrate
from facemodels.gallery.opened import GallerySystem
from facemodels.names import ModelId
from facemodels.package.load import Package
from facemodels.registry.evidence import facts_of_a_system, interface
from tests.functional.deployment.conftest import Up
from tests.functional.deployment.site import Environment, EnvironmentSite, Load, wait_until
from tests.small_systems import detector, recogniser, small_system

OLD, BETTER, NEW = "sys-faces-v1.0.0", "sys-faces-v1.1.0", "sys-faces-v2.0.0"
MODEL = "system-faces"


@dataclass
class AsksSystem:
    """An environment that is asked about a photo."""

    environment: Environment
    photo: bytes
    path: str = "identify?gallery=staff"
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def ask(
        self, *, failing: bool = False, client: httpx.Client | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        post = client.post if client is not None else httpx.post
        answer = post(
            f"{self.environment.url}/api/{self.path}", content=self.photo, timeout=60,
            headers={"content-type": "image/png", **(headers or {})},
        )  # fmt: skip
        if answer.is_success:
            self.bodies.append(answer.json())
        return answer


def add_system(
    site: EnvironmentSite, identity: str, members: Mapping[str, Package], **words: float
) -> Package:
    model = ModelId.parse(identity)
    package = small_system(site.folder / str(model.folder), str(model.version), members, **words)
    site.enter(model, {"interface": interface(package), **facts_of_a_system(package)})
    return package


@pytest.fixture
def photo() -> bytes:
    """A photo of one person, as PNG."""
    split = photo_split("test", seed=1, people=4, photos=6, image_size=160, workers=1)
    counts = np.bincount(split.box_image, minlength=len(split))
    stream = io.BytesIO()
    Image.fromarray(np.array(split.images[int(np.flatnonzero(counts == 1)[0])])).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def packages(site: EnvironmentSite, tmp_path: Path) -> dict[str, Package]:
    """Two systems of one detector and two recognisers; the first is in production."""
    eyes = detector(tmp_path / "members")
    found = {}
    for identity, version in ((OLD, "1.0.0"), (NEW, "2.0.0")):
        mind = recogniser(tmp_path / "members", version, seed=int(version[0]))
        found[identity] = add_system(site, identity, {"detection": eyes, "recognition": mind})
    site.configure("production", galleries=["staff"])
    return found


def kill_migrations(site: EnvironmentSite, load: Load, kills: int, made: Path) -> None:
    """SIGKILL so many migrations, each after another number of answers.

    What one that was done before its kill has `made` is deleted, so that the next one has work.
    """
    chance = random.Random(kills)
    for _ in range(kills):
        migration = site.begin("gallery", "migrate", "staff", "--to", NEW)
        wanted = len(load.answers) + chance.randrange(100)
        wait_until(lambda wanted=wanted: len(load.answers) > wanted, "a moment")
        migration.kill()
        migration.communicate()
        if migration.returncode == 0:
            shutil.rmtree(made)


@pytest.mark.parametrize("kills", [0, pytest.param(20, marks=pytest.mark.full)])
def test_a_new_embedding_space_comes_and_goes_under_requests_to_identify(
    site: EnvironmentSite, up: Up, packages: dict[str, Package], photo: bytes, kills: int
) -> None:
    spaces = {
        package.metadata["version"]: package.metadata["embedding_space"]
        for package in packages.values()
    }
    assert len(set(spaces.values())) == 2
    staff = site.folder / "galleries/staff"
    rules = EnrolmentRules(keep_photos=True, tracked=False, choose="largest")
    enrol(staff, GallerySystem.of(packages[OLD]), "Ada", [photo_of(photo, "Ada's")], rules)

    site.deploy(OLD, environment="staging")
    site.deploy(OLD)
    site.deploy(NEW, environment="staging")
    canary = ("--strategy", "canary", "--canary-percent", "50")
    words = ("deploy", "--model-id", NEW, "--environment", "production", *canary)
    refused = site.run(*words, code=5).stderr
    assert spaces["1.0.0"] in refused
    assert spaces["2.0.0"] in refused
    assert f"facemodels gallery migrate staff --to {NEW}" in " ".join(refused.split())

    production = up(site)
    production.wait_for(MODEL, v1_0_0=100)
    asked = AsksSystem(production, photo)
    with Load(asked, clients=2, pause_s=0.1) as load:  # type: ignore[arg-type]
        kill_migrations(site, load, kills, made=staff / spaces["2.0.0"])
        migrate(staff, GallerySystem.of(packages[NEW]), tracked=False)
        site.deploy(NEW, *canary)
        production.wait_for(MODEL, v1_0_0=50, v2_0_0=50)
        wait_until(lambda: {body["model_version"] for body in asked.bodies[-20:]} == set(spaces),
                   "answers of both")  # fmt: skip
        site.deploy(NEW, "--strategy", "complete")
        production.wait_for(MODEL, v2_0_0=100)
        # By the guide's command; no plan for the galleries, which kept the faces of before.
        site.run("rollback", "--model-type", "system", "--reason", "It is slow")
        production.wait_for(MODEL, v1_0_0=100)
        before = len(asked.bodies)
        wait_until(lambda: len(asked.bodies) > before + 5, "answers after the rollback")
    assert load.problems == []
    seen = Counter(body["model_version"] for body in asked.bodies)
    assert seen.keys() == spaces.keys()
    for body in asked.bodies:
        assert body["embedding_space"] == spaces[body["model_version"]]
        (face,) = body["results"][0]["faces"]
        assert face["person"] == "Ada", body  # in the other space she would be nobody
    assert site.findings() == []


def test_a_system_is_compared_brought_step_by_step_and_taken_back_by_a_trigger(
    site: EnvironmentSite, up: Up, photo: bytes, tmp_path: Path
) -> None:
    members = {
        "detection": detector(tmp_path / "members"), "recognition": recogniser(tmp_path / "members")
    }  # fmt: skip
    for identity, least in ((OLD, 0.7), (BETTER, 0.6)):
        add_system(site, identity, members, min_score=least)
        site.deploy(identity, environment="staging")
    easy = {"error_margin": 0.3, "latency_margin": 0.4, "missed_regression": 0.7, "window_s": 1.0}
    site.configure("production", steps=[50], verdict=easy)
    site.deploy(OLD)
    production = up(site)
    production.wait_for(MODEL, v1_0_0=100)

    site.deploy(BETTER, "--strategy", "ab", "--canary-percent", "50")
    production.wait_for(MODEL, v1_0_0=50, v1_1_0=50)
    asked = AsksSystem(production, photo, "faces")
    arms = [
        [asked.ask(headers={"x-user-id": f"user {user}"}).json()["model_version"] for _ in range(2)]
        for user in range(12)
    ]
    assert all(first == again for first, again in arms)
    assert {first for first, _ in arms} == {"1.0.0", "1.1.0"}
    words = ("monitor", "--model-id", BETTER, "--duration", "1s", "--json")
    told = json.loads(site.run(*words, code=7).stdout)
    assert {one["model_id"] for one in told["versions"]} == {OLD, BETTER}
    site.deploy(BETTER, "--strategy", "abort")
    production.wait_for(MODEL, v1_0_0=100)

    with Load(asked, clients=2, pause_s=0.02) as load:  # type: ignore[arg-type]
        site.deploy(BETTER, "--strategy", "progressive")
        production.wait_for(MODEL, v1_1_0=100)
        triggers = {"memory_threshold_mb": 1, "monitoring_window_minutes": 1}
        write_yaml(site.folder / "conf/rollback_triggers.yaml", {"rollback_triggers": triggers})
        production.wait_for(MODEL, v1_0_0=100)
    assert load.problems == []
    site.wait_event("rollback")
    assert "of memory" in str(site.state().events[-1].reason)
    assert site.findings() == []
