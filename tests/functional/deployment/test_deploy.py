"""Deployments by the commands of the guide, seen through the router."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import httpx

from tests.functional.deployment.conftest import Up
from tests.functional.deployment.site import EnvironmentSite, Load, wait_until
from tests.traced import outside, traced


def test_the_guides_way_from_staging_over_a_canary_to_production_and_back(
    site: EnvironmentSite, up: Up, tmp_path: Path
) -> None:
    """And no process of it speaks to another machine, nor looks up a name."""
    site.in_production("rec-facenet-v2.1.3")
    site.register("rec-facenet-v2.2.0")
    traces = [tmp_path / name for name in ("up", "rollback")]
    words = [traced([], trace) if shutil.which("strace") else [] for trace in traces]
    site.before = words[0]
    production = up(site)
    site.before = ()
    production.wait_for(v2_1_3=100)
    assert production.version() == "2.1.3"

    refused = site.run(
        "deploy", "--model-id", "rec-facenet-v2.2.0", "--environment", "production", code=5
    )
    assert "never in staging" in refused.stderr
    site.deploy("rec-facenet-v2.2.0", environment="staging")
    site.deploy("rec-facenet-v2.2.0", "--strategy", "canary", "--canary-percent", "10")
    production.wait_for(v2_1_3=90, v2_2_0=10)
    with httpx.Client() as client:
        seen = Counter(production.ask(client=client).json()["model_version"] for _ in range(100))
    assert seen == {"2.1.3": 90, "2.2.0": 10}
    site.deploy("rec-facenet-v2.2.0", "--strategy", "complete")
    production.wait_for(v2_2_0=100)
    assert production.version() == "2.2.0"

    site.before = words[1]
    site.run(
        "rollback", "--model-type", "recognition", "--to-version", "2.1.3",
        "--reason", "High error rate detected",
    )  # fmt: skip
    site.before = ()
    production.wait_for(v2_1_3=100)
    info = httpx.get(f"{production.url}/api/model/info").json()
    assert (info["version"], info["status"]) == ("2.1.3", "production")
    assert site.findings() == []
    acts = [event.act for event in site.state().events]
    assert acts == [
        "register", "promote", "promote", "register", "promote", "rollout", "promote", "rollback",
    ]  # fmt: skip
    site.run("down", "--environment", "production")
    assert production.process is not None
    production.process.wait(30)
    assert not any(outside(trace) for trace in traces if trace.exists())


def test_monitor_ends_with_a_report_and_goes_on_after_it_was_killed(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production("rec-facenet-v1.0.0")
    site.staged("rec-facenet-v1.1.0", "failing")
    production = up(site)
    production.wait_for(v1_0_0=100)
    site.deploy("rec-facenet-v1.1.0", "--strategy", "canary", "--canary-percent", "50")
    production.wait_for(v1_0_0=50, v1_1_0=50)
    words = ("monitor", "--model-id", "rec-facenet-v1.1.0", "--duration", "10m", "--json")
    begun = production.folder / "monitors/rec-facenet-v1.1.0.json"
    with Load(production) as load:  # nothing that it fails on
        first = site.begin(*words)
        wait_until(begun.exists, "a watch")
        before = begun.read_bytes()
        first.kill()
        first.communicate()
        second = site.begin(*words)
        wait_until(lambda: len(load.answers) > 100, "requests")
        assert second.poll() is None
        assert begun.read_bytes() == before
    with Load(production, failing_share=0.5, pause_s=0.02):
        told, _ = second.communicate(timeout=60)
    assert second.returncode == 4
    found = json.loads(told)
    assert found["verdict"]["answer"] == "roll back"
    canary = found["versions"][0]
    assert (canary["model_id"], canary["requests"] > 0) == ("rec-facenet-v1.1.0", True)
    for path in found["reports"]:
        assert "rec-facenet-v1.1.0" in Path(path).read_text()
    assert not begun.exists()
