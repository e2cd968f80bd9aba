"""The figures of an observation as text: the same in terminal, Markdown and page. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from facemodels.monitoring.analysis.lean import Leaning
from facemodels.monitoring.report.ab_test import Arm, ConfidenceInterval, share
from facemodels.monitoring.report.durations import duration_text
from facemodels.monitoring.report.observation import (
    Agreement,
    CountedShare,
    Observation,
    VersionFigures,
)
from facemodels.text import one_line

UNKNOWN = "\N{EN DASH}"
_NOBODY = "nobody said"  # of users
_RATES = {
    "precision": "precision", "recall": "recall", "f1": "F1",
    "fpr": "false positive rate", "tpr": "true positive rate", "accuracy": "accuracy",
}  # fmt: skip
NOTHING = {UNKNOWN, _NOBODY}  # cells that tell nothing
# Left out where there is little room; the head tells the share of a rollout.
DETAILS = {"share of the traffic"} | {
    f"{_RATES[key]} on the probes" for key in ("precision", "recall", "f1", "fpr", "tpr")
}
Row = tuple[str, list[str]]


def percent(value: float | None) -> str:
    """A rate of 0 to 1 as percent with two digits, for example `0.25 %`."""
    return UNKNOWN if value is None else f"{100 * value:.2f} %"


def number(value: float | None, digits: int = 1) -> str:
    """A number with its thousands marked, for example `1,234.5`."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def moment(seconds: float) -> str:
    """A time in seconds since 1970 as `2026-11-14 10:30:00 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _said(found: CountedShare | None) -> str:
    """What users said, with its interval and number, for example `93.0 % (90 to 95) of 412`."""
    if found is None:
        return _NOBODY
    one = found.interval
    low, high = 100 * one.low, 100 * one.high
    return f"{100 * one.value:.1f} % ({low:.0f} to {high:.0f}) of {found.answers:,}"


_FIGURES: tuple[tuple[str, Callable[[VersionFigures], str]], ...] = (
    ("share of the traffic", lambda seen: f"{seen.percent:g} %"),
    ("requests", lambda seen: f"{seen.requests:,}"),
    ("API success rate", lambda seen: percent(seen.success_rate)),
    ("error rate", lambda seen: percent(seen.error_rate)),
    ("p50, ms", lambda seen: number(seen.p50_ms)),
    ("p95, ms", lambda seen: number(seen.p95_ms)),
    ("p99, ms", lambda seen: number(seen.p99_ms)),
    ("requests a second", lambda seen: number(seen.requests_per_s)),
    ("memory, MB", lambda seen: number(seen.memory_mb, 0)),
    ("GPU utilization", lambda seen: percent(seen.gpu_utilization)),
    ("GPU memory, MB", lambda seen: number(seen.gpu_memory_mb, 0)),
    ("cost of 1,000 inferences", lambda seen: number(seen.cost_per_1000, 4)),
    ("user satisfaction", lambda seen: _said(seen.satisfaction)),
    ("reported false matches", lambda seen: _said(seen.false_match)),
    ("reported false non-matches", lambda seen: _said(seen.false_non_match)),
)


def heads(observation: Observation) -> list[str]:
    """The heads of the columns: each version with its role."""
    return [one_line(f"{seen.model_id} ({seen.role})") for seen in observation.versions]


def rows(observation: Observation) -> list[Row]:
    """The rows of the table of figures: a label, and a cell for each version."""
    versions = observation.versions
    made: list[Row] = [(label, [tell(seen) for seen in versions]) for label, tell in _FIGURES]
    for key, label in _RATES.items():
        cells = [number((seen.accuracy or {}).get(key), 4) for seen in versions]
        made.append((f"{label} on the probes", cells))
    return made


def facts(observation: Observation) -> list[tuple[str, str]]:
    """What is observed, as pairs of label and value."""
    spent = duration_text(max(0.0, observation.now - observation.began))
    whole = duration_text(max(0.0, observation.until - observation.began))
    made = [
        ("model", observation.model),
        ("version", observation.model_id),
        ("environment", observation.environment),
        ("watched", f"{spent} of {whole}, from {moment(observation.began)}"),
    ]
    rollout = observation.rollout
    if rollout is None:
        made.append(("rollout", "none"))
    else:
        made.append(("rollout", f"{rollout.strategy}, {rollout.percent:g} %"))
        made.append(("since", f"{moment(rollout.since)} by {rollout.by}"))
        if rollout.reason:
            made.append(("reason", rollout.reason))
    if observation.answered is not None:
        share_of = f"{_rate(observation.answered.interval)} of {observation.answered.answers:,}"
        made.append(("answered, by the router's counters", share_of))
    return [(label, one_line(value)) for label, value in made]


def verdict(observation: Observation) -> tuple[str, list[str]]:
    """The answer and its reasons; an alarm and which way the evidence leans come first."""
    given = observation.verdict
    if given is None:
        return "none", ["There is no rollout to judge."]
    alarms = ["Alarm: the numbers of a version are lost."] if given.get("alarm") else []
    leans = [_leaning(observation.leaning)] if observation.leaning else []
    reasons = _lines([*alarms, *leans, *given.get("reasons", ())])
    return one_line(str(given["answer"])), reasons


def _lines(texts: Any) -> list[str]:
    return [one_line(str(text)) for text in texts]


def _leaning(found: Leaning) -> str:
    return f"It leans to {found.answer}; about {_roughly(found.left_s)} more at this pace."


def _roughly(seconds: float) -> str:
    """A forecast with two digits, for example `12m` or `1h20m`."""
    step = next((one for one in (86_400, 3_600, 60) if seconds >= 10 * one), 60)
    return duration_text(max(60.0, round(seconds / step) * step))


def notes(observation: Observation) -> list[str]:
    """The notes, each in one line."""
    return _lines(observation.notes)


def arms_rows(observation: Observation) -> list[Row]:
    """The rows of an A/B test: both arms and their difference; empty without such a test."""
    arms = observation.arms
    if arms is None:
        return []

    def cells(arm: Arm) -> list[str]:
        satisfied = [_rate(arm.satisfaction)] if arms.satisfaction is not None else []
        return [f"{arm.requests:,}", _rate(arm.success), _latency(arm.latency_ms), *satisfied]

    others = [seen.model_id for seen in observation.versions]
    other = next((one for one in others if one != observation.model_id), "the other")
    gaps = ["", _difference(arms.success, _rate), _difference(arms.latency_ms, _latency)]
    if arms.satisfaction is not None:
        gaps.append(_difference(arms.satisfaction, _rate))
    return [
        (one_line(observation.model_id), cells(arms.a)),
        (one_line(other), cells(arms.b)),
        ("difference", gaps),
    ]


def arms_heads(observation: Observation) -> list[str]:
    """The heads of the columns of `arms_rows`."""
    confidence = observation.arms.confidence if observation.arms else 0.0
    with_it = f"({100 * confidence:g} % interval)"
    heads = ["requests", f"success rate {with_it}", f"mean latency, ms {with_it}"]
    users = observation.arms.satisfaction if observation.arms else None
    return heads if users is None else [*heads, f"user satisfaction {with_it}"]


def _rate(interval: ConfidenceInterval | None) -> str:
    if interval is None:
        return UNKNOWN
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.value:.2f} % ({low:.2f} to {high:.2f})"


def _latency(interval: ConfidenceInterval | None) -> str:
    if interval is None:
        return UNKNOWN
    return f"{interval.value:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def _difference(
    interval: ConfidenceInterval | None, tell: Callable[[ConfidenceInterval | None], str]
) -> str:
    if interval is None:
        return UNKNOWN
    return f"{tell(interval)}, {'they differ' if interval.excludes_zero else 'may be chance'}"


def agreement_text(agreement: Agreement) -> str:
    """How far a shadow agrees with the stable version, as a sentence."""
    part = share(agreement.agreed, agreement.compared)
    if part is None:
        return "No answers were compared yet."
    return (
        f"{agreement.agreed:,} of {agreement.compared:,} answers agree: {_rate(part)}, "
        "95 % interval."
    )
