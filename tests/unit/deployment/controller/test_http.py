"""The controller's own address: metrics that Prometheus reads, a webhook that Alertmanager calls."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from facemodels.deployment.controller.control_access import TOKEN_FILE, control_token
from facemodels.deployment.controller.http import ControllerMetrics, ControlServer
from facemodels.deployment.controller.status import verdicts
from facemodels.deployment.settings import Address
from facemodels.errors import InputError
from facemodels.monitoring.alerts.alertmanager import Alert

STATUS = {
    "models": [
        {
            "model": "recognition-facenet", "stable": "rec-facenet-v1.0.0",
            "serving": {"rec-facenet-v1.0.0": 90, "rec-facenet-v1.1.0": 10},
            "rollout": {"id": "rec-facenet-v1.1.0"},
            "verdict": {"answer": "rollback", "reasons": ["It fails."], "requests": 7},
        }
    ],
    "alarms": {"fetch": "away"},
}  # fmt: skip
RATES = {
    "rec-facenet-v1.0.0": {"accuracy": 0.9, "fpr": None},
    "rec-facenet-v1.1.0": {"accuracy": 0.8, "fpr": 0.1},
}


KEY = {"Authorization": "Bearer secret"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Opened:
    def __init__(self) -> None:
        self.told: list[Alert] = []
        port = free_port()
        facts = ControllerMetrics(lambda: STATUS, lambda: RATES)
        told = self.told.extend
        judged = lambda: verdicts(STATUS["models"])  # noqa: E731
        self.control = ControlServer(Address(port=port), facts, told, "secret", judged)
        self.url = f"http://127.0.0.1:{port}"

    def post(self, path: str, body: bytes, **headers: str) -> int:
        asked = {**KEY, **headers}
        return httpx.post(f"{self.url}{path}", content=body, headers=asked).status_code


@pytest.fixture
def opened() -> Iterator[Opened]:
    made = Opened()
    yield made
    made.control.close()


def webhook(**labels: Any) -> bytes:
    told = {"status": "firing", "labels": {"alertname": "ModelErrorRateHigh", **labels}}
    return json.dumps({"version": "4", "alerts": [told]}).encode()


def test_shares_probes_and_alarms_are_series(opened: Opened) -> None:
    text = httpx.get(f"{opened.url}/metrics", headers=KEY).text
    found = {
        (sample.name, sample.labels.get("model_version", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {
        ("facemodels_share_ratio", "1.0.0"): 0.9,
        ("facemodels_share_ratio", "1.1.0"): 0.1,
        ("facemodels_alarms", ""): 1,
        ("facemodels_probe_accuracy", "1.0.0"): 0.9,
        ("facemodels_probe_accuracy", "1.1.0"): 0.8,
        ("facemodels_probe_fpr", "1.1.0"): 0.1,  # what is not known has no series
        ("facemodels_probe_accuracy_baseline", "1.1.0"): 0.9,
    }


@pytest.mark.parametrize("host", ["127.0.0.5", "::1"])
def test_it_listens_without_a_look_up_of_a_name(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostbyaddr", None)  # a name server may be slow, or watch
    facts = ControllerMetrics(lambda: STATUS, lambda: RATES)
    control = ControlServer(Address(host=host, port=(port := free_port())), facts, print, "secret")
    near = f"[{host}]" if ":" in host else host
    assert httpx.get(f"http://{near}:{port}/metrics", headers=KEY).status_code == 200
    control.close()


def test_alerts_of_a_webhook_are_told(opened: Opened) -> None:
    body = webhook(model_name="recognition-facenet", model_version="1.1.0")
    assert opened.post("/alerts", body) == 200
    assert opened.told == [Alert("recognition-facenet", "1.1.0", "ModelErrorRateHigh", "firing")]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/alerts", b"no JSON", 400),
        ("/alerts", webhook(model_name="../etc"), 400),
        ("/alerts", b"x" * 1_000_001, 413),
        ("/elsewhere", b"{}", 404),
    ],
)
def test_what_is_no_webhook_is_refused_and_nothing_is_told(
    opened: Opened, path: str, body: bytes, status: int
) -> None:
    assert opened.post(path, body) == status
    assert opened.told == []
    assert opened.post("/alerts", webhook()) == 200  # it goes on


def test_it_listens_on_this_machine_alone_and_says_that_its_port_is_taken(opened: Opened) -> None:
    facts = ControllerMetrics(lambda: STATUS, lambda: RATES)
    with pytest.raises(InputError, match="can be reached by others"):
        ControlServer(Address(host="0.0.0.0", port=0), facts, print, "secret")  # noqa: S104
    port = int(opened.url.rpartition(":")[2])
    with pytest.raises(InputError, match=f"{port} is taken"):
        ControlServer(Address(port=port), facts, print, "secret")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer secre"}, 401),
        ({"Authorization": "Basic secret"}, 401),
        ({"Origin": "http://127.0.0.1"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "faces.example.org"}, 421),
        ({"Host": "127.0.0.1:1"}, 421),
        ({"Host": "127.0.0.1.example.org:{port}"}, 421),
    ],
)
def test_a_forged_alert_is_refused(opened: Opened, headers: dict[str, str], status: int) -> None:
    port = opened.url.rpartition(":")[2]
    sent = {name: value.replace("{port}", port) for name, value in headers.items()}
    body = webhook(model_name="recognition-facenet", model_version="1.1.0")
    assert opened.post("/alerts", body, **sent) == status
    assert httpx.get(f"{opened.url}/metrics", headers={**KEY, **sent}).status_code == status
    assert opened.told == []
    assert opened.post("/alerts", body, Host=f"localhost:{port}") == 200


def test_the_token_is_made_once_and_its_owner_alone_reads_it(tmp_path: Path) -> None:
    token = control_token(tmp_path / "state")
    assert len(token) > 32
    assert control_token(tmp_path / "state") == token
    assert (tmp_path / "state" / TOKEN_FILE).stat().st_mode & 0o777 == 0o600


def test_an_analysis_of_argo_rollouts_gets_the_verdict_as_json(opened: Opened) -> None:
    answer = httpx.get(f"{opened.url}/verdicts", headers=KEY)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "recognition-facenet": {
            "model_id": "rec-facenet-v1.1.0", "answer": "rollback", "reasons": ["It fails."],
            "requests": 7,
        }
    }  # fmt: skip
    assert httpx.get(f"{opened.url}/verdicts").status_code == 401
    waiting = {**STATUS["models"][0], "verdict": None}
    assert verdicts([waiting])["recognition-facenet"]["answer"] == "hold"
    assert verdicts([{**waiting, "rollout": None}]) == {}
