"""Describes one model for status.json, which `facemodels status` shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from facemodels.deployment.desired import Desired
from facemodels.deployment.router.traffic import Traffic
from facemodels.monitoring.analysis.watch import ModelAssessment


def describe(
    wanted: Desired, traffic: Traffic | None, judgement: ModelAssessment | None
) -> dict[str, Any]:
    """The desired shares, the present ones, and the last judgement of one model.

    Args:
        wanted: the desired state.
        traffic: how the requests are shared out; None before the first route.
        judgement: what the metrics say; None before the first judgement.
    """
    rollout = wanted.rollout
    return {
        "model": wanted.model,
        "wanted": dict(wanted.shares),
        "serving": dict(traffic.shares) if traffic else {},
        "stable": wanted.stable,
        "event": wanted.event,
        "since": wanted.since,
        "by": wanted.by,
        "reason": wanted.reason,
        "warm": list(wanted.warm),
        "rollout": asdict(rollout) if rollout else None,
        "verdict": judgement.verdict.as_json() if judgement and judgement.verdict else None,
        "fired": [one.as_json() for one in judgement.fired] if judgement else [],
    }


def verdicts(models: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the controller's address tells of the rollouts that go on, by model.

    Args:
        models: descriptions by `describe`.

    Returns:
        The version, the answer (`promote`, `rollback`, or `hold` also before the first judgement),
        its reasons and the number of requests that it rests on.
    """
    return {
        one["model"]: {
            "model_id": one["rollout"]["id"],
            "answer": verdict.get("answer", "hold"),
            "reasons": verdict.get("reasons", []),
            "requests": verdict.get("requests", 0),
        }
        for one in models
        if one["rollout"]
        for verdict in [one["verdict"] or {}]
    }
