"""`--wait` ends where traffic is as asked, and tells if the version was taken back meanwhile."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.deployment.plans import MODEL, rolled_out, withdraw
from tests.unit.registry.conftest import V1, V2

from facemodels.cli import arrival as waiting
from facemodels.cli.environment_access import EnvironmentAccess
from facemodels.deployment.controller import status
from facemodels.deployment.controller.arrival import arrival, before_completion
from facemodels.errors import GateError, ToolError

READY = [{"model_id": one, "ready": True, "problem": ""} for one in (V1, V2)]


def told(serving: dict[str, int], **more: Any) -> dict[str, Any]:
    model = {"model": MODEL, "serving": serving, "rollout": {"id": V2}, "verdict": None}
    return {
        "models": [model], "servers": READY, "router": {"applied": True}, "decisions": [],
        "controller": 1, **more,
    }  # fmt: skip


def test_it_ends_when_the_shares_are_there_and_every_version_is_ready() -> None:
    state = rolled_out(10).state
    tag = state.events[-1].tag

    def done(**more: Any) -> bool:
        serving = {V1: 90, V2: 10}
        return arrival(state, "production", MODEL, tag, told(serving, **more)).done

    assert done()
    assert not done(servers=READY[:1])
    assert not done(router={"applied": False})
    assert not done(controller=None)
    assert not done(decisions=[{"model": MODEL, "to": V1}])
    now = arrival(state, "production", MODEL, tag, told({V1: 100}))
    assert not now.done
    assert f"{V1} 100 % serves; wanted: {V1} 90 %, {V2} 10 %" in now.words
    blue = rolled_out(0, "blue-green").state
    assert not arrival(blue, "production", MODEL, "", told({V1: 100}, servers=READY[:1])).done
    assert arrival(blue, "production", MODEL, "", told({V1: 100})).done


def test_it_fails_where_the_version_is_taken_back_and_where_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = rolled_out(10)
    tag = ledger.state.events[-1].tag
    monkeypatch.setattr(status, "read_status", lambda folder: told({V1: 100}))
    registry: Any = SimpleNamespace(repository=SimpleNamespace(state=lambda: ledger.state))
    opened = EnvironmentAccess(registry, None, tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ToolError, match="Not within 0 s"):
        waiting.wait_for_traffic(opened, "production", MODEL, tag, 0.0)
    monkeypatch.setattr(waiting, "_ALONE_S", -1.0)
    monkeypatch.setattr(status, "read_status", lambda folder: told({V1: 100}, controller=None))
    with pytest.raises(ToolError, match="No controller of production runs here"):
        waiting.wait_for_traffic(opened, "production", MODEL, tag, 60.0)
    ledger.add(withdraw(V2, reason="it is slow"))
    with pytest.raises(GateError, match=r"withdrawn by .*: it is slow"):
        waiting.wait_for_traffic(opened, "production", MODEL, tag, 60.0)


def test_a_completion_is_warned_of_where_the_verdict_holds_or_the_version_is_not_ready() -> None:
    slow = {"model_id": V2, "ready": False, "problem": "ended with exit code 1"}
    said = before_completion(V2, told({V1: 90, V2: 10}, servers=[READY[0], slow]))
    assert said == [
        f"{V2} is not ready: ended with exit code 1.",
        f"the verdict on {V2} is hold: it was not judged yet.",
    ]
    model = told({V1: 90})["models"][0] | {"verdict": {"answer": "promote", "reasons": []}}
    assert before_completion(V2, told({}, models=[model])) == []
