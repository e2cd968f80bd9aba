"""What an environment serves, as plain values: the input of the watch, the replays and reports.

`facemodels.deployment` makes these values from the tags; monitoring knows nothing of deployment.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ServedVersion:
    """One version that gets requests.

    Attributes:
        id: for example `rec-facenet-v2.1.3`.
        role: `stable`, or the strategy of the rollout that brings it: `canary`, `shadow` and so on.
        percent: its share of the requests; a shadow's share of the copies.
        event: the tag that gave it this role.
        since: when it got the role, seconds since 1970.
        by: who gave it, as `Name <mail>`.
        reason: why.
    """

    id: str
    role: str
    percent: float
    event: str
    since: float
    by: str
    reason: str = ""


@dataclass(frozen=True)
class ServedModel:
    """The versions of one model that an environment keeps running.

    Attributes:
        model: for example `recognition-facenet`.
        stable: the version that answers the requests which a rollout leaves to it.
        candidate: the version that a rollout brings; None without a rollout.
        warm: the ids of versions that run without requests, for an immediate rollback.
    """

    model: str
    stable: ServedVersion
    candidate: ServedVersion | None = None
    warm: tuple[str, ...] = ()

    @property
    def receiving(self) -> tuple[ServedVersion, ...]:
        """The versions that get requests or copies of them, the stable version first."""
        return (self.stable, self.candidate) if self.candidate else (self.stable,)

    @property
    def ids(self) -> tuple[str, ...]:
        """The id of every version that runs, each once."""
        return tuple(dict.fromkeys((*(one.id for one in self.receiving), *self.warm)))
