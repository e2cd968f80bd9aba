"""The time of each step of a photo: finding the faces, their points, the rest, the embeddings."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from facemodels.system.faces import FaceSystem, Image

_STEPS = {"detect": "detect", "fit": "landmarks", "embed": "embed"}  # by a member's method


class _TimedMember:
    """A member of a system whose calls are timed; everything else of it is as it was."""

    def __init__(self, member: Any, seconds: dict[str, float]) -> None:
        self._member = member
        self._seconds = seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._member, name)
        if name not in _STEPS:
            return found

        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = found(*arguments)
            self._seconds[_STEPS[name]] += time.perf_counter() - start
            return result

        return timed


def step_times(system: FaceSystem, photos: Sequence[Image]) -> dict[str, float]:
    """The median time of each step of a photo in ms.

    `detect`, `landmarks` (where the system has some) and `embed` are the members' own; `rest` is
    what lies between them: the crop of each face and its quality.

    Args:
        system: what is timed.
        photos: uint8 (H, W, 3), RGB, each found once; the same one may come again and again.
    """
    seconds: dict[str, float] = {}
    members: dict[str, Any] = {
        name: _TimedMember(member, seconds)
        for name in ("detector", "landmarks", "embedder")
        if (member := getattr(system, name)) is not None
    }
    timed = replace(system, **members)
    rows = []
    for photo in photos:
        seconds.update(dict.fromkeys(_STEPS.values(), 0.0))
        start = time.perf_counter()
        timed.find(photo)
        rest = time.perf_counter() - start - sum(seconds.values())
        rows.append({**seconds, "rest": rest})
    steps = [step for step in rows[0] if step != "landmarks" or system.landmarks is not None]
    return {step: float(np.median([row[step] for row in rows])) * 1e3 for step in steps}
