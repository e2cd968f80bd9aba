"""Every alert, judged by promtool: when it fires, and when it must not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from facemodels.files import write_yaml
from facemodels.monitoring.alerts.rules import ACTIONS, alerts, rules
from facemodels.monitoring.metrics.reading import PROBE
from facemodels.monitoring.settings import Triggers
from facemodels.serving.metrics import STATUSES

pytestmark = pytest.mark.skipif(
    not shutil.which("promtool"), reason="Debian's package prometheus is missing"
)
WHO = 'model_name="recognition-facenet",model_version="2.2.0"'
OTHER = 'model_name="recognition-facenet",model_version="2.1.3"'
NAMES = {"model_name": "recognition-facenet", "model_version": "2.2.0"}
UP = f'up{{job="facemodels",instance="new@1",{WHO}}}'
CONTROLLER = 'up{job="facemodels-controller",instance="127.0.0.1:8081"}'
# Values of promtool: `0+10x60` is 0, 10, 20 and so on, one a 5 s, for 5 minutes.
ALWAYS = "1x60"


def series(name: str, values: str) -> dict[str, str]:
    return {"series": name, "values": values}


def predictions(success: str, error: str | None, who: str = WHO) -> list[dict[str, str]]:
    name = f'model_predictions_total{{job="facemodels",instance="i",{who},status='
    made = [series(f'{name}"success"}}', success)]
    return made if error is None else [*made, series(f'{name}"error"}}', error)]


def latency(fast: str, slow: str) -> list[dict[str, str]]:
    name = f'model_request_duration_seconds_bucket{{instance="i",{WHO},le='
    return [
        series(f'{name}"0.1"}}', fast),
        series(f'{name}"0.4"}}', fast),
        series(f'{name}"0.8"}}', slow),
        series(f'{name}"+Inf"}}', slow),
    ]


def judge(
    folder: Path, inputs: list[dict[str, str]], checks: dict[str, Any], **options: Any
) -> subprocess.CompletedProcess[str]:
    """promtool's word on the rules of the default triggers; `interval` 5 s."""
    options = {"interval_s": 5.0, "window_s": 120.0, "hold_s": 30.0, **options}
    write_yaml(folder / "rules.yml", rules(Triggers(), **options))
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "5s",
        "tests": [{"interval": "5s", "input_series": inputs, **checks}],
    }
    (folder / "test.yml").write_text(yaml.safe_dump(test))
    return subprocess.run(
        ["promtool", "test", "rules", "test.yml"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def firing(folder: Path, inputs: list[dict[str, str]], name: str, **options: Any) -> bool:
    """Whether an alert fires for version 2.2.0 after 4 minutes, and for no other version."""
    (alert,) = [one for one in alerts(Triggers(), 120.0) if one.name == name]
    expected = {
        "labels": {
            "alertname": name,
            "action": alert.action,
            "severity": "critical" if alert.action == "rollback" else "warning",
            **NAMES,
        },
        "eval_time": "4m",
    }
    expr = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    labels = {**expected["labels"], "alertstate": "firing"}
    text = ",".join(f'{key}="{value}"' for key, value in labels.items())
    found = []
    for samples in ([{"labels": f"ALERTS{{{text}}}", "value": 1}], []):
        check = {"expr": expr, "eval_time": "4m", "exp_samples": samples}
        found.append(
            judge(folder, inputs, {"promql_expr_test": [check]}, **options).returncode == 0
        )
    assert found.count(True) == 1, "neither this alert nor none"
    return found[0]


@pytest.mark.parametrize(
    ("success", "error", "fires"),
    [
        ("0+9x60", "0+1x60", True),  # one in ten
        ("0+99x60", "0+1x60", False),  # one in a hundred
        ("0+9x60", None, False),  # never failed, so no series of errors
        ("0x60", "0+10x60", True),  # nothing but errors
        ("0x60", "0x60", False),  # no requests: 0 / 0
        ("0x40 0+1x3 3x17", "0x40 0+2x3 6x17", False),  # too few to say
    ],
)
def test_errors_above_the_threshold_fire(tmp_path: Path, success, error, fires: bool) -> None:
    inputs = predictions(success, error) + predictions("0+5x60", "0x60", OTHER)
    assert firing(tmp_path, inputs, "ModelErrorRateHigh") is fires


def test_every_kind_of_failure_counts_and_the_clients_own_does_not(tmp_path: Path) -> None:
    def ratio(status: str) -> str:
        inputs = [
            series(
                f'model_predictions_total{{{WHO},status="{one}"}}',
                "0+1x60" if one in (status, "success") else "0x60",
            )
            for one in STATUSES
        ]
        value = {"success": 0, "invalid": 0, "abandoned": 0}.get(status, 0.5)
        text = ",".join(f'{key}="{word}"' for key, word in NAMES.items())
        check = {
            "expr": "round(model:error_ratio:rate, 1e-6)",
            "eval_time": "4m",
            "exp_samples": [{"labels": f"{{{text}}}", "value": value}],
        }
        done = judge(tmp_path, inputs, {"promql_expr_test": [check]})
        return done.stdout + done.stderr if done.returncode else ""

    assert {status: ratio(status) for status in STATUSES} == dict.fromkeys(STATUSES, "")


def test_a_version_without_errors_has_a_rate_of_zero_beside_one_that_fails(tmp_path: Path) -> None:
    """The trap of `or`: it must add the zero of each version that has no series of errors."""
    inputs = predictions("0+10x60", None) + predictions("0+5x60", "0+5x60", OTHER)
    check = {
        "expr": "round(model:success_ratio:rate, 1e-6)",
        "eval_time": "4m",
        "exp_samples": [
            {"labels": f"{{{WHO}}}", "value": 1},
            {"labels": f"{{{OTHER}}}", "value": 0.5},
        ],
    }
    done = judge(tmp_path, inputs, {"promql_expr_test": [check]})
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_requests_there_is_no_error_rate(tmp_path: Path) -> None:
    check = {"expr": "model:error_ratio:rate", "eval_time": "4m", "exp_samples": []}
    done = judge(tmp_path, predictions("7x60", "3x60"), {"promql_expr_test": [check]})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("fast", "slow", "fires"),
    [("0+9x60", "0+10x60", True), ("0+10x60", "0+10x60", False), ("0+99x60", "0+100x60", False)],
)
def test_a_slow_95th_percentile_fires(tmp_path: Path, fast, slow, fires: bool) -> None:
    inputs = predictions("0+10x60", "0x60") + latency(fast, slow)
    assert firing(tmp_path, inputs, "ModelLatencyHigh") is fires


@pytest.mark.parametrize(
    ("values", "fires"),
    [
        ("2100000000x60", True),
        ("1900000000x60", False),
        ("1e9x46 2100000000x14", False),  # not for long enough
    ],
)
def test_too_much_memory_fires_when_it_lasts(tmp_path: Path, values: str, fires: bool) -> None:
    inputs = [series(f'model_process_memory_bytes{{instance="i",{WHO}}}', values)]
    assert firing(tmp_path, inputs, "ModelMemoryHigh") is fires


@pytest.mark.parametrize(
    ("now", "before", "fires"),
    [("0.95", "0.98", True), ("0.97", "0.98", False), ("0.99", "0.9", False), ("0.1", None, False)],
)
def test_an_accuracy_below_the_version_before_fires(tmp_path, now, before, fires: bool) -> None:
    inputs = [series(f"{PROBE}accuracy{{{WHO}}}", f"{now}x60")]
    if before is not None:
        inputs.append(series(f"{PROBE}accuracy_baseline{{{WHO}}}", f"{before}x60"))
    assert firing(tmp_path, inputs, "ModelAccuracyDrop") is fires


@pytest.mark.parametrize(
    ("up", "counted", "fires"),
    [
        ("1x60", "0+1x60", False),
        ("1x30 0x30", "0+1x30 stale", True),  # it died: Prometheus ends its series
        ("0x60", None, True),  # it never answered
        ("1x60", None, True),  # it answers, with other numbers
        ("1x20 stale", "0+1x20 stale", False),  # it was taken off the list: that is no loss
    ],
)
def test_lost_metrics_fire(tmp_path: Path, up: str, counted: str | None, fires: bool) -> None:
    inputs = [series(UP, up), series(UP.replace("2.2.0", "2.1.3"), ALWAYS)]
    inputs += predictions("0+1x60", "0x60", OTHER)
    if counted is not None:
        inputs += predictions(counted, None)
    assert firing(tmp_path, inputs, "ModelMetricsLost") is fires


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    inputs = [series(UP, "1x20 0x40"), series(CONTROLLER, ALWAYS)]
    inputs.append(series(UP.replace("new@1", "new@2"), ALWAYS))
    labels = {"severity": "warning", "action": "hold", "job": "facemodels", **NAMES}
    told = "Server new@1 of recognition-facenet 2.2.0 does not answer Prometheus."
    checks = [
        {
            "alertname": "ModelServerDown",
            "eval_time": "4m",
            "exp_alerts": [
                {
                    "exp_labels": {**labels, "instance": "new@1"},
                    "exp_annotations": {"summary": told},
                }
            ],
        },
        {"alertname": "FacemodelsControllerDown", "eval_time": "4m", "exp_alerts": []},
    ]
    done = judge(tmp_path, inputs, {"alert_rule_test": checks})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("up", "fires"), [(ALWAYS, False), ("1x10 0x50", True), (None, True)])
def test_a_controller_that_is_gone_fires(tmp_path: Path, up: str | None, fires: bool) -> None:
    inputs = [series(CONTROLLER, up)] if up else [series("something", ALWAYS)]
    expr = 'count(ALERTS{alertname="FacemodelsControllerDown",alertstate="firing"})'
    samples = [{"labels": "{}", "value": 1}] if fires else []
    check = {"expr": expr, "eval_time": "4m", "exp_samples": samples}
    done = judge(tmp_path, inputs, {"promql_expr_test": [check]})
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_message_says_how_much_and_what_is_allowed(tmp_path: Path) -> None:
    checks = [
        {
            "alertname": "ModelErrorRateHigh",
            "eval_time": "4m",
            "exp_alerts": [
                {
                    "exp_labels": {"severity": "critical", "action": "rollback", **NAMES},
                    "exp_annotations": {
                        "summary": "recognition-facenet 2.2.0 fails 10% of its predictions "
                        "(allowed: 5.00%)."
                    },
                }
            ],
        }
    ]
    done = judge(tmp_path, predictions("0+9x60", "0+1x60"), {"alert_rule_test": checks})
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_cost_of_inferences_is_the_price_of_the_servers_that_ran(tmp_path: Path) -> None:
    inputs = predictions("0+10x60", "0x60")  # 2 a second
    inputs += [
        series(f'model_process_memory_bytes{{instance="{i}",{WHO}}}', "1x60") for i in range(3)
    ]
    check = {
        "expr": "round(model:cost_per_1000:ratio, 1e-6)",
        "eval_time": "4m",
        "exp_samples": [{"labels": f"{{{WHO}}}", "value": 0.75}],
    }
    done = judge(tmp_path, inputs, {"promql_expr_test": [check]}, price_per_hour=1.8)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_an_action_that_the_controller_knows() -> None:
    assert {alert.name: alert.action for alert in alerts(Triggers(), 60.0)} == ACTIONS


def test_other_triggers_give_other_thresholds(tmp_path: Path) -> None:
    changed = Triggers(error_rate_threshold=0.2, latency_threshold_ms=100, memory_threshold_mb=1.5)
    text = {alert.name: alert.expr for alert in alerts(changed, 60.0)}
    assert "> 0.2 and" in text["ModelErrorRateHigh"]
    assert "> 0.1 and" in text["ModelLatencyHigh"]
    assert text["ModelMemoryHigh"].endswith("> 1500000")
