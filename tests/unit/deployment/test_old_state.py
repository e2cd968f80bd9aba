"""A state folder of an earlier release loads: its environment is taken over and goes on serving."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from facemodels.deployment.controller import lock
from facemodels.deployment.controller.pending_rollbacks import PendingRollbacks
from facemodels.deployment.controller.status import read_status
from facemodels.deployment.router import Router, RouterSettings
from facemodels.deployment.router.configuration import configuration
from facemodels.deployment.router.published import PublishedRoutes
from facemodels.deployment.router.settings import static_configuration
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.process import Process, running_processes, start
from facemodels.deployment.servers.supervisor import ServerSupervisor
from facemodels.deployment.settings import DECISIONS, Environment
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.serving.settings import Serving

GOLDEN = Path(__file__).resolve().parents[2] / "golden/state/production"
SETTINGS = Environment.model_validate({"address": {"port": 0}, "control": {"port": 0}})
OLD, NEW, CANARY = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v1.2.0"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the old state folder."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "production"))


@pytest.fixture
def running(folder: Path) -> Iterator[dict[str, Process]]:
    """Processes under the old files of the router and the servers, by the files' names."""
    found = {}
    for path in (folder / "router/traefik.json", *(folder / "servers").glob("*.json")):
        content = json.loads(path.read_bytes())
        path.unlink()
        process = start(path, ["sleep", "1000"], log=path.with_suffix(".log"))
        path.write_text(
            json.dumps({**content, "pid": process.pid, "started": process.started})
        )  # the old keys and facts, with the process that runs now
        found[path.stem] = process
    yield found
    for process in found.values():
        process.end(0)


def test_servers_are_adopted(folder: Path, running: dict[str, Process]) -> None:
    servers = ServerSupervisor(
        folder / "servers", Packages(folder, folder / "packages"), folder, SETTINGS
    )
    described = servers.describe()
    assert {one["model_id"]: one["pid"] for one in described} == {
        identity: running[f"{identity}-0"].pid for identity in (OLD, NEW, CANARY)
    }
    assert {one["model_id"]: one["port"] for one in described}[NEW] == 51401
    assert [target.series for target in servers.targets()] == [
        Series.of(identity) for identity in (OLD, NEW, CANARY)
    ]
    servers.close()


def test_the_router_is_adopted_and_goes_by_the_same_files(
    folder: Path, running: dict[str, Process]
) -> None:
    settings = RouterSettings.of(SETTINGS, Serving())
    router = Router(folder / "router", settings)
    assert router.process is not None
    assert router.process.pid == running["traefik"].pid
    assert router.url == "http://127.0.0.1:44501"
    assert router.inside == "http://127.0.0.1:60745"
    # The same settings give the same files, so that neither is written anew.
    watched = Path("/srv/models/.facemodels/production/router/routes")
    static = yaml.safe_load((folder / "router/static.yaml").read_text())
    assert static_configuration(settings, watched, 44501, 60745) == static
    routes = [one.route for one in PublishedRoutes(folder, lambda *_: "").models.values()]
    written = json.loads((folder / "router/routes/routes.yaml").read_text())
    ours = configuration(routes, settings, "recognition-facenet")
    assert ours["http"]["services"] == written["http"]["services"]  # nobody loses his cookie


def test_what_was_published_goes_on(folder: Path) -> None:
    published = PublishedRoutes(folder, lambda *_: "")
    traffic = published.traffic()["recognition-facenet"]
    assert (traffic.stable, dict(traffic.shares)) == (NEW, {NEW: 100})
    written = json.loads((folder / "serving.json").read_bytes())
    written["recognition-facenet"]["traffic"] |= {"stand_ins": [], "since": 0.0}  # not noted then
    written["recognition-facenet"]["route"] |= {"sticky_s": 600}
    assert _as_json(published.models) == written


def _as_json(models: Any) -> Any:
    return json.loads(json.dumps({name: asdict(one) for name, one in models.items()}))


def test_a_pending_rollback_is_read(folder: Path) -> None:
    [one] = PendingRollbacks(folder / DECISIONS).all()
    assert (one.to, one.withdrawn, one.taken_back, one.reason) == (NEW, CANARY, CANARY, "old cmd")
    path = folder / DECISIONS / "recognition-facenet.json"
    assert asdict(one) == json.loads(path.read_bytes())  # an old controller reads ours too


def test_samples_are_read_and_continued(folder: Path) -> None:
    store = SampleStore(folder / "samples.db")
    found = store.readings(Series.of(NEW), 1795857385.0, 1795857390.0)
    assert len(found) > 0
    store.put([])
    assert len(store.readings(Series.of(NEW), 1795857385.0, 1795857390.0)) == len(found)
    store.close()


def test_status_and_lock_are_read(folder: Path) -> None:
    status = read_status(folder)
    assert status["models"][0]["serving"] == {NEW: 100}
    assert status["controller"] is None  # the file names a process that holds no lock
    assert not lock.is_held(folder)
    with lock.held(folder):
        assert read_status(folder)["controller"] is not None


def test_what_is_left_of_an_old_controller_is_found(
    folder: Path, running: dict[str, Process]
) -> None:
    found = [process.path.stem for process in running_processes(folder)]
    assert found == ["traefik", f"{OLD}-0", f"{NEW}-0", f"{CANARY}-0"]
