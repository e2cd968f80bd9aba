"""The files for Prometheus, Alertmanager and Grafana, each judged by its own program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from facemodels.errors import InputError
from facemodels.files import sha256_tree
from facemodels.monitoring.alerts.dashboard import dashboard, panels
from facemodels.monitoring.alerts.files import write
from facemodels.monitoring.alerts.prometheus import prometheus, targets
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.monitoring.settings import Triggers

CONTROL = "127.0.0.1:8081"
SERVER = ScrapeTarget("http://127.0.0.1:9001", Series("recognition-facenet", "2.1.3"), "rec@1")


def needs(program: str) -> pytest.MarkDecorator:
    package = {"promtool": "prometheus", "amtool": "prometheus-alertmanager"}[program]
    return pytest.mark.skipif(
        not shutil.which(program), reason=f"Debian's package {package} is missing"
    )


def check(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs("promtool")
def test_promtool_accepts_rules_and_configuration(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    write(tmp_path, Triggers(), control=CONTROL, window_s=30, token_file=token.name)
    assert "rules found" in check("promtool", "check", "rules", tmp_path / "rules.yml")
    check("promtool", "check", "config", tmp_path / "prometheus.yml")


@needs("promtool")
def test_promtool_accepts_fractions_of_a_second(tmp_path: Path) -> None:
    write(tmp_path, Triggers(), control=CONTROL, interval_s=0.5, window_s=2.5, hold_s=0)
    check("promtool", "check", "config", tmp_path / "prometheus.yml")


@needs("amtool")
def test_amtool_accepts_the_configuration(tmp_path: Path) -> None:
    token = tmp_path / "token"
    write(tmp_path, Triggers(), control=CONTROL, webhook_token_file=token.name)
    check("amtool", "check-config", tmp_path / "alertmanager.yml")


def test_the_same_settings_give_the_same_bytes(tmp_path: Path) -> None:
    written = write(tmp_path / "a", Triggers(), control=CONTROL)
    assert all(path.is_file() for path in written)
    write(tmp_path / "b", Triggers(), control=CONTROL)
    assert sha256_tree(tmp_path / "a") == sha256_tree(tmp_path / "b")


def test_the_list_of_servers_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "targets.json").write_text("[1]")
    write(tmp_path, Triggers(), control=CONTROL)
    assert (tmp_path / "targets.json").read_text() == "[1]"


def test_targets_carry_version_and_process() -> None:
    other = ScrapeTarget("http://127.0.0.1:9000", Series("recognition-facenet", "2.2.0"), "rec@2")
    assert targets([other, SERVER], {other.series: "recognition-facenet#production#4"}) == [
        {
            "targets": ["127.0.0.1:9001"],
            "labels": {
                "model_name": "recognition-facenet",
                "model_version": "2.1.3",
                "instance": "rec@1",
                "deployment": "",
            },
        },
        {
            "targets": ["127.0.0.1:9000"],
            "labels": {
                "model_name": "recognition-facenet",
                "model_version": "2.2.0",
                "instance": "rec@2",
                "deployment": "recognition-facenet#production#4",
            },
        },
    ]
    with pytest.raises(InputError, match="no host and port"):
        targets([ScrapeTarget("/socket", SERVER.series, "a")])


def test_without_alertmanagers_nobody_is_told() -> None:
    assert "alerting" not in prometheus(control=CONTROL)


def test_every_key_metric_of_the_guide_has_a_panel() -> None:
    """The guide's list, line by line (Performance Monitoring, Key Metrics)."""
    titles = " ".join(panel.title for panel in panels())
    guide = """Precision, Recall, F1-Score, False Positive Rate (FPR), True Positive Rate (TPR),
        Inference time (p50, p95, p99), Throughput, Memory usage, GPU utilization,
        API success rate, User satisfaction scores, Cost per"""
    for metric in re.split(r",\s+(?![^(]*\))", guide):
        assert metric.strip() in titles, metric
    rows = [panel["title"] for panel in json.loads(dashboard())["panels"] if panel["type"] == "row"]
    assert rows[:3] == ["Accuracy metrics", "Performance metrics", "Business metrics"]


@needs("promtool")
def test_every_query_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    made = json.loads(dashboard())
    queries = [
        target["expr"].replace("$__rate_interval", "1m")
        for panel in made["panels"]
        for target in panel.get("targets", [])
    ]
    assert len(queries) == sum(len(panel.queries) for panel in panels()) > 20
    ruled = [{"record": f"query:{number}", "expr": expr} for number, expr in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": ruled}]}))
    assert f"{len(queries)} rules found" in check("promtool", "check", "rules", path)


def test_the_dashboard_asks_only_for_series_that_somebody_writes(tmp_path: Path) -> None:
    from prometheus_client import generate_latest

    from facemodels.monitoring.alerts.dashboard import SATISFACTION
    from facemodels.monitoring.alerts.rules import rules
    from facemodels.monitoring.metrics.reading import PROBE
    from facemodels.serving.metrics import Metrics

    served = generate_latest(Metrics("a", "1.0.0", "x").registry).decode()
    recorded = [
        rule["record"] for rule in rules(Triggers())["groups"][0]["rules"] if "record" in rule
    ]
    probed = [f"{PROBE}{name}" for name in ("accuracy", "precision", "recall", "f1", "fpr", "tpr")]
    known = {
        *recorded,
        *probed,
        SATISFACTION,
        "up",
        "ALERTS",
        *re.findall(r"^(\w+)\{", served, re.M),
    }
    asked = {
        name
        for panel in panels()
        for query in panel.queries.values()
        for name in re.findall(r"([a-zA-Z_:][\w:]*)\{", query)
    }
    assert asked <= known
