"""The other way to a rollback: Prometheus scrapes, Alertmanager tells, the controller acts."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.functional.deployment.conftest import Up
from tests.functional.deployment.site import (
    Environment,
    EnvironmentSite,
    Load,
    free_port,
    wait_until,
)

PROGRAMS = ("prometheus", "prometheus-alertmanager")
lacking = [program for program in PROGRAMS if not shutil.which(program)]
pytestmark = pytest.mark.skipif(bool(lacking), reason=f"Debian's {' and '.join(lacking)} missing")


@pytest.fixture
def watchers(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that end with the test."""
    found: list[subprocess.Popen[bytes]] = []
    yield found
    for process in found:
        process.kill()
        process.wait()


def watch(environment: Environment, folder: Path, watchers: list[subprocess.Popen[bytes]]) -> str:
    """Start Prometheus and Alertmanager on what `facemodels alerts` writes; Prometheus' address."""
    ports = {program: free_port() for program in PROGRAMS}
    environment.site.run(
        "alerts", "--environment", environment.name, "--output", str(folder),
        "--alertmanager", f"127.0.0.1:{ports['prometheus-alertmanager']}",
    )  # fmt: skip
    commands = {
        "prometheus": (
            "--config.file=prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
        ),
        "prometheus-alertmanager": (
            "--config.file=alertmanager.yml", f"--storage.path={folder}/alerts",
            f"--web.listen-address=127.0.0.1:{ports['prometheus-alertmanager']}",
            "--cluster.listen-address=",
        ),
    }  # fmt: skip
    for program, words in commands.items():
        with (folder / f"{program}.log").open("wb") as log:
            watchers.append(subprocess.Popen((program, *words), cwd=folder, stdout=log, stderr=log))
    for port in ports.values():
        wait_until(lambda port=port: _ready(port), "ready")
    return f"http://127.0.0.1:{ports['prometheus']}"


def _ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready").is_success
    except httpx.HTTPError:
        return False


def test_an_alert_of_prometheus_takes_a_version_in_production_back(
    site: EnvironmentSite, up: Up, tmp_path: Path, watchers: list[subprocess.Popen[bytes]]
) -> None:
    # Its own triggers do not see it: they wait for a window that never ends in this test.
    site.configure("production", scrape_interval_s=3600.0)
    site.in_production("rec-facenet-v1.0.0")
    site.in_production("rec-facenet-v1.1.0", "failing")
    production = up(site)
    production.wait_for(v1_1_0=100)
    wait_until((production.folder / "targets.json").is_file, "targets")
    site.configure("production", scrape_interval_s=0.5)  # read by `alerts` alone, see above
    prometheus = watch(production, tmp_path / "monitoring", watchers)
    with Load(production, failing_share=0.5, pause_s=0.02):
        production.wait_for(v1_0_0=100)
    site.wait_event("rollback")
    event = site.state().events[-1]
    assert event.reason == "ModelErrorRateHigh"
    assert site.state().production == {"recognition-facenet": "rec-facenet-v1.0.0"}
    assert site.findings() == []
    found = httpx.get(
        f"{prometheus}/api/v1/query", params={"query": "facemodels_share_ratio"}
    ).json()["data"]["result"]
    assert found, "the controller's own metrics"
