"""`facemodels status` is right at night: exit codes, old data, local rollbacks, what happened."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.deployment.plans import MODEL, roll_out, rolled_out, staged
from tests.unit.registry.conftest import V1, V2, V3, Ledger, move

from facemodels.cli.environment import _print, _problems, _why_not_ready
from facemodels.deployment.servers.death import cause_of_death
from facemodels.monitoring.metrics.prometheus import PrometheusSource, shown


def problems(ledger: Ledger, serving: dict[str, int], **more: Any) -> list[str]:
    registry: Any = SimpleNamespace(repository=SimpleNamespace(state=lambda: ledger.state))
    return _problems(registry, {**told(serving), **more}, "production")


def told(serving: dict[str, int]) -> dict[str, Any]:
    return {
        "models": [{"model": MODEL, "serving": serving}], "servers": [], "alarms": {},
        "router": {"applied": True}, "decisions": [], "controller": 1, "time": time.time(),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "percent"), [("blue-green", 0), ("shadow", 50), ("canary", 0)]
)
def test_a_rollout_without_a_share_is_as_asked(strategy: str, percent: int) -> None:
    ledger = staged(V1, V2, V3)
    ledger.add(move(V1, "production"))
    ledger.add(roll_out(V2, percent, strategy))
    assert problems(ledger, {V1: 100}) == []
    assert problems(ledger, {V2: 100}) != []


def test_a_local_rollback_is_told_as_such() -> None:
    decision = {"model": MODEL, "to": V1, "reason": "it fails"}
    [one] = problems(rolled_out(), {V1: 100}, decisions=[decision])
    assert "was rolled back here to" in one
    assert "not in the chain yet" in one


def test_a_dead_controller_makes_nothing_ready(capsys: pytest.CaptureFixture[str]) -> None:
    one = {
        "model": MODEL, "serving": {V1: 100}, "wanted": {V1: 100}, "warm": [], "rollout": None,
        "since": 1, "by": "x", "verdict": None,
    }  # fmt: skip
    servers = [{"model_id": V1, "ready": True}]
    found = {**told({}), "models": [one], "servers": servers, "controller": None}
    _print({**found, "problems": [], "events": ["03:08 canary"], "logs": "here"})
    out, err = capsys.readouterr()
    assert "not known" in out
    assert "03:08 canary" in out
    assert "it may be old" in err


def test_a_death_is_told_by_its_error_and_not_by_the_last_request(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    usual = json.dumps({"level": "info", "event": "request", "status": 200})
    log.write_text(f"ValueError: of an earlier process\n{usual}\n")
    begun = log.stat().st_size
    assert cause_of_death(1, log, begun) == "ended with exit code 1"
    with log.open("a") as file:
        file.write(f"{usual}\nOSError: [Errno 28] No space left on device\n{usual}\n")
    told = cause_of_death(-9, log, begun)
    assert told.startswith("was killed by SIGKILL")
    assert told.endswith("its log says: OSError: [Errno 28] No space left on device")
    one = {"problem": told, "pid": None, "restarts": 3, "next_start": time.time() + 4}
    assert _why_not_ready(one) == f"{told}; it died 3 times; the next start is in 4 s."


def test_no_password_of_prometheus_is_shown() -> None:
    url = "http://ops:s3cret@127.0.0.1:9/prom?token=hidden"
    assert shown(url) == "http://127.0.0.1:9/prom"
    source = PrometheusSource(url, timeout_s=0.2)
    with pytest.raises(Exception, match="does not answer") as error:
        source.now()
    assert "s3cret" not in str(error.value)
    source.close()
