"""Describes one model for status.json, which `facemodels status` shows, and writes that file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facemodels.deployment.controller import lock
from facemodels.deployment.desired import Desired
from facemodels.deployment.router.traffic import Traffic
from facemodels.deployment.settings import STATUS
from facemodels.files import write_json
from facemodels.monitoring.analysis.watch import ModelAssessment

_TOUCH_S = 1.0  # between two signs of life


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


def is_settled(status: Mapping[str, Any]) -> bool:
    """Whether nothing has to change: the routes are in use, all is ready, no rollback waits."""
    ready = all(one["ready"] for one in status["servers"])
    return bool(status["router"]["applied"]) and ready and not status["decisions"]


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


def read_status(folder: Path) -> dict[str, Any]:
    """Read what the controller of an environment said last.

    Args:
        folder: the state folder of the environment.

    Returns:
        The document of `Controller.status`, or an empty one; and `time`, the last sign of life of
        its writer in seconds since 1970, and `controller`, the process that runs now or None.
    """
    path = folder / STATUS
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        found["time"] = int(path.stat().st_mtime)
    except (OSError, ValueError):
        found = {"models": [], "servers": [], "alarms": {}, "router": {}, "decisions": []}
    found["controller"] = lock.holder(folder) if lock.is_held(folder) else None
    return found


class ToldFile:
    """A JSON file that is written where its content changed, and touched once a second otherwise.

    Its time of change is the sign of life of who writes it. Each writing waits for the disk, which
    an idle environment has no reason to do.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: Any = None
        self._touched = 0.0  # monotonic

    def tell(self, content: Any) -> bool:
        """Write the content, or touch the file if it has that content.

        Returns:
            Whether the content changed.

        Raises:
            OSError: the file cannot be written.
        """
        now = time.monotonic()
        changed = bool(content != self._told)
        if not changed and now - self._touched < _TOUCH_S:
            return False
        if changed or not self._touch():
            write_json(self._path, content)
        self._told, self._touched = content, now
        return changed

    def _touch(self) -> bool:
        """Touch the file; False if it is gone."""
        try:
            os.utime(self._path)
        except FileNotFoundError:
            return False
        return True
