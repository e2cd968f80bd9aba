"""Evidence from outside of a version's own numbers: its servers die or do not get ready. Pure.

A request that dies with its process is in no counter of that process, and a server that never
gets ready has no counters at all. Whoever runs the servers sees both.
"""

from __future__ import annotations

from dataclasses import dataclass

from facemodels.monitoring.analysis.trigger_tests import FiredTrigger
from facemodels.monitoring.settings import VerdictSettings


@dataclass(frozen=True, slots=True)
class ServerConduct:
    """How the servers of a version behaved since it began to serve in its present place.

    Attributes:
        deaths: how often one of them ended by itself, was killed or hung, started in vain or not.
        why: the cause of the last death; "" without one.
        not_ready_s: the seconds in which none of them was ready, those of the start included.
    """

    deaths: int = 0
    why: str = ""
    not_ready_s: float = 0.0


def fired_by_conduct(settings: VerdictSettings, conduct: ServerConduct) -> tuple[FiredTrigger, ...]:
    """What the conduct of its servers says against a version that a rollout brings."""
    found = []
    if conduct.deaths >= settings.deaths:
        last = f" (the last time: {conduct.why})" if conduct.why else ""
        reason = f"its servers died {conduct.deaths} times{last}"
        found.append(FiredTrigger("deaths", conduct.deaths, settings.deaths, reason))
    if conduct.not_ready_s >= settings.progress_s:
        reason = (
            f"it was not ready for {conduct.not_ready_s:.0f} s; it has {settings.progress_s:g} s"
        )
        found.append(FiredTrigger("progress_s", conduct.not_ready_s, settings.progress_s, reason))
    return tuple(found)
