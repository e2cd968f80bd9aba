"""Who gets the requests now: what shall be, as far as it is ready. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

from facemodels.deployment.desired import Desired, Rollout


@dataclass(frozen=True)
class Traffic:
    """How one model's requests are shared out.

    Attributes:
        model: for example `recognition-facenet`.
        stable: the version that answers whom nobody else answers.
        shares: percent of the requests by version; they sum to 100.
        shadow: the version that gets copies; "" if none does.
        copies: percent of the requests that are copied to it.
        strategy: of the rollout that is going on; "" if none is.
    """

    model: str
    stable: str
    shares: Mapping[str, int] = field(default_factory=dict)
    shadow: str = ""
    copies: int = 0
    strategy: str = ""


def share_out(
    desired: Desired,
    ready: Set[str],
    before: Traffic | None,
    spaces: Mapping[str, str | None] | None = None,
) -> Traffic:
    """Share out a model's requests.

    A version that is not ready gets none. As long as the version that shall be stable is not,
    the one that was goes on, then any other that runs and whose embeddings mean the same: a
    request that fails is better than an answer that matches no gallery. Only where nothing is
    ready the requests go to whom the tags name, and fail there.

    Args:
        desired: what the tags ask for.
        ready: versions that answer.
        before: how it was.
        spaces: the embedding space of each version; all are alike without it.
    """
    stable = _stable(desired, ready, before, spaces or {})
    rollout = desired.rollout
    if rollout is None or rollout.id not in ready or stable != desired.stable:
        return Traffic(desired.model, stable, {stable: 100})
    share = rollout.share
    shares = {stable: 100 - share, rollout.id: share} if share else {stable: 100}
    return Traffic(desired.model, stable, shares, *_shadow(rollout), rollout.strategy)


def _shadow(rollout: Rollout) -> tuple[str, int]:
    return (rollout.id, rollout.percent) if rollout.strategy == "shadow" else ("", 0)


def _stable(
    desired: Desired, ready: Set[str], before: Traffic | None, spaces: Mapping[str, str | None]
) -> str:
    was = (before.stable,) if before is not None else ()
    space = spaces.get(desired.stable)
    alike = (one for one in (*desired.warm, *desired.ids) if spaces.get(one) == space)
    wanted = (desired.stable, *was, *alike)
    return next((identity for identity in wanted if identity in ready), desired.stable)
