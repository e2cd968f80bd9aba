"""Prometheus' recording and alerting rules, from conf/rollback_triggers.yaml. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from facemodels.monitoring.alerts.prometheus import CONTROLLER, DEPLOYMENT, SERVERS
from facemodels.monitoring.metrics.reading import PROBE
from facemodels.monitoring.settings import Triggers

Action = Literal["rollback", "hold"]
FEWEST = 20  # predictions in the window; a rate over fewer of them is noise
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
ACCURACY_DROP = "facemodels_probe:accuracy_drop:max"
_BY = "by (model_name, model_version)"
_KEYS = "on (model_name, model_version)"


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alerting rule.

    Attributes:
        name: the name of the alert.
        expr: the condition in PromQL.
        action: what the controller does when the alert fires.
        summary: a sentence for people; it may hold Prometheus' templates.
        hold_s: how long the condition must be true before the alert fires.
    """

    name: str
    expr: str
    action: Action
    summary: str
    hold_s: float


# What the controller does about each alert; it ignores all others.
ACTIONS: dict[str, Action] = {
    "ModelErrorRateHigh": "rollback",
    "ModelLatencyHigh": "rollback",
    "ModelMemoryHigh": "rollback",
    "ModelAccuracyDrop": "rollback",
    "ModelMetricsLost": "hold",
    "ModelServerDown": "hold",
    "FacemodelsControllerDown": "hold",
}


def rules(
    triggers: Triggers,
    *,
    price_per_hour: float = 0.0,
    interval_s: float = 15.0,
    window_s: float | None = None,
    hold_s: float = 60.0,
) -> dict[str, Any]:
    """The content of the rules file as plain values.

    Args:
        triggers: the rollback triggers of the repository.
        price_per_hour: the price of one server, for the cost of inferences.
        interval_s: the time between two evaluations.
        window_s: the window of the rates, at least four scrapes long; the triggers' monitoring
            window if None.
        hold_s: how long the memory, a drop of the accuracy or a loss must last before it alerts.
    """
    window = window_s or triggers.monitoring_window_minutes * 60
    return {
        "groups": [
            {
                "name": "facemodels-recording",
                "interval": duration(interval_s),
                "rules": _recording(duration(window), price_per_hour),
            },
            {
                "name": "facemodels-alerts",
                "interval": duration(interval_s),
                "rules": [_alerting(alert) for alert in alerts(triggers, window, hold_s)],
            },
        ]
    }


def duration(seconds: float) -> str:
    """A length of time as Prometheus writes it, without fractions."""
    return f"{round(seconds * 1000)}ms" if seconds % 1 else f"{round(seconds)}s"


def _record(name: str, expr: str) -> dict[str, Any]:
    return {"record": name, "expr": expr}


def _recording(window: str, price_per_hour: float) -> list[dict[str, Any]]:
    def rate(selected: str) -> str:
        return f"sum {_BY} (rate(model_predictions_total{{{selected}}}[{window}]))"

    failed = rate('status=~"error|timeout|rejected"')
    # The rules of a group run in order, so a later rule may use what an earlier one records.
    return [
        _record("model:requests:rate", rate('status!~"invalid|abandoned"')),
        _record("model:throughput:rate", rate('status="success"')),
        # A version that never failed may have no series of errors; its rate is 0 all the same.
        _record(
            "model:errors:rate",
            f"({failed}) or 0 * model:requests:rate",
        ),
        # Without requests there is no ratio; 0 / 0 would be NaN.
        _record(
            "model:error_ratio:rate", "model:errors:rate / (model:requests:rate > 0)"
        ),
        _record("model:success_ratio:rate", "1 - model:error_ratio:rate"),
        *(
            _record(
                f"model:{kind}_seconds:{name}",
                f"histogram_quantile({q}, sum by (le, model_name, model_version) "
                f"(rate(model_{kind}_duration_seconds_bucket[{window}])))",
            )
            for kind in ("request", "inference")
            for name, q in QUANTILES.items()
        ),
        _record("model:memory_bytes:max", f"max {_BY} (model_process_memory_bytes)"),
        _record("model:gpu_memory_bytes:max", f"max {_BY} (model_gpu_memory_bytes)"),
        _record("model:gpu_load:max", f"max {_BY} (model_gpu_utilization_ratio)"),
        _record("model:in_flight:sum", f"sum {_BY} (model_requests_in_flight)"),
        _record("model:servers:count", f"count {_BY} (model_process_memory_bytes)"),
        _record(
            "model:cost_per_1000:ratio",
            f"{price_per_hour!r} / 3600 * 1000 * model:servers:count "
            f"/ {_KEYS} (model:throughput:rate > 0)",
        ),
        _record(
            ACCURACY_DROP,
            f"max {_BY} ({PROBE}accuracy_baseline) - {_KEYS} max {_BY} ({PROBE}accuracy)",
        ),
    ]  # fmt: skip


def alerts(triggers: Triggers, window_s: float, hold_s: float = 60.0) -> list[AlertRule]:
    """Every alerting rule, with its threshold from the triggers.

    Args:
        triggers: the rollback triggers of the repository.
        window_s: the window of the rates.
        hold_s: how long the memory, a drop of the accuracy or a loss must last before it alerts.
    """
    window = duration(window_s)
    # Of one deployment of a version: what an earlier one did is no ground to take it back again.
    by = f"by (model_name, model_version, {DEPLOYMENT})"
    total, bucket = "model_predictions_total", "model_request_duration_seconds_bucket"
    asked, failed = 'status!~"invalid|abandoned"', 'status=~"error|timeout|rejected"'
    enough = f"(sum {by} (increase({total}{{{asked}}}[{window}])) >= {FEWEST})"
    error_ratio = (
        f"sum {by} (rate({total}{{{failed}}}[{window}]))"
        f" / (sum {by} (rate({total}{{{asked}}}[{window}])) > 0)"
    )
    p95 = (
        f"histogram_quantile(0.95, sum by (le, model_name, model_version, {DEPLOYMENT})"
        f" (rate({bucket}[{window}])))"
    )
    error, drop = triggers.error_rate_threshold, triggers.accuracy_drop_threshold
    latency, memory = triggers.latency_threshold_ms, triggers.memory_threshold_mb
    servers = f'up{{job="{SERVERS}"}}'
    who = "{{ $labels.model_name }} {{ $labels.model_version }}"
    return [
        AlertRule(
            "ModelErrorRateHigh",
            f"{error_ratio} > {error!r} and {enough}",
            "rollback",
            f"{who} fails {{{{ $value | humanizePercentage }}}} of its predictions "
            f"(allowed: {error:.2%}).",
            0,
        ),
        AlertRule(
            "ModelLatencyHigh",
            f"{p95} > {latency / 1000!r} and {enough}",
            "rollback",
            f"{who} takes {{{{ $value | humanizeDuration }}}} for the 95th percentile "
            f"(allowed: {latency:g} ms).",
            0,
        ),
        AlertRule(
            "ModelMemoryHigh",
            f"model:memory_bytes:max > {memory * 1e6:.0f}",
            "rollback",
            f"A server of {who} holds {{{{ $value | humanize }}}}B (allowed: {memory:g} MB).",
            hold_s,
        ),
        AlertRule(
            "ModelAccuracyDrop",
            f"{ACCURACY_DROP} > {drop!r}",
            "rollback",
            f"{who} is {{{{ $value | humanizePercentage }}}} less accurate on the probes than the "
            f"version before (allowed: {drop:.2%}).",
            hold_s,
        ),
        # A server that is gone has no series of its own, but the list of servers gives it `up`.
        AlertRule(
            "ModelMetricsLost",
            f"count {_BY} ({servers}) unless {_KEYS} "
            f'count {_BY} (model_predictions_total{{status="success"}})',
            "hold",
            f"No server of {who} tells its numbers. What is unknown is no pass: the rollout holds.",
            hold_s,
        ),
        AlertRule(
            "ModelServerDown",
            f"{servers} == 0",
            "hold",
            "Server {{ $labels.instance }} of " + who + " does not answer Prometheus.",
            hold_s,
        ),
        AlertRule(
            "FacemodelsControllerDown",
            f'up{{job="{CONTROLLER}"}} == 0 or absent(up{{job="{CONTROLLER}"}})',
            "hold",
            "The controller does not answer: nobody rolls back. Start `facemodels up`.",
            hold_s,
        ),
    ]


def _alerting(alert: AlertRule) -> dict[str, Any]:
    waiting = {"for": duration(alert.hold_s)} if alert.hold_s else {}
    severity = "critical" if alert.action == "rollback" else "warning"
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **waiting,
        "labels": {"severity": severity, "action": alert.action},
        "annotations": {"summary": alert.summary},
    }
