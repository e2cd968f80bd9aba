"""Decides which version gets which share of the requests now. Pure.

The desired state is followed as far as its versions are ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from facemodels.deployment.desired import Desired, Rollout
from facemodels.names import ModelId


@dataclass(frozen=True)
class Traffic:
    """How the requests to one model are shared out.

    Attributes:
        model: the model's name, for example `recognition-facenet`.
        stable: the version that answers all requests that no other version takes.
        shares: the percentage of the requests by version; the values sum to 100.
        shadow: the version that gets copies of requests; "" if there is none.
        copies: the percentage of the requests that are copied to it.
        strategy: the strategy of the rollout that goes on; "" if there is none.
        stand_ins: versions that are no longer desired and go on running without a share, to
            repeat requests that fail, until a desired version can do that.
    """

    model: str
    stable: str
    shares: Mapping[str, int] = field(default_factory=dict)
    shadow: str = ""
    copies: int = 0
    strategy: str = ""
    stand_ins: tuple[str, ...] = ()


def share_out(
    desired: Desired,
    ready: Set[str],
    before: Traffic | None,
    spaces: Mapping[str, str | None] | None = None,
) -> Traffic:
    """Share out the requests to a model.

    A version that is not ready gets no requests. While the desired stable version is not ready,
    the one before it goes on serving; failing that, any ready version with the same embedding
    space, since a failed request is better than an embedding that matches no gallery. If no such
    version is ready either, the requests go to the version that the tags name and fail there.

    A rollback ends the version that it takes back. That version stands in as long as a desired
    one still starts and no other could answer if the stable version died now.

    Args:
        desired: the desired state of the model.
        ready: the versions that have a ready server, also those that are no longer desired.
        before: how the requests were shared out until now; None at the first time.
        spaces: the embedding space of each version; without it all count as equal.
    """
    alike = _alike(desired, ready, spaces or {})
    stand_ins = _stand_ins(desired, ready, alike)
    stable = _stable(desired, ready, before, alike)
    rollout = desired.rollout
    if rollout is None or rollout.id not in ready or stable != desired.stable:
        return Traffic(desired.model, stable, {stable: 100}, stand_ins=stand_ins)
    share = rollout.share
    shares = {stable: 100 - share, rollout.id: share} if share else {stable: 100}
    return Traffic(desired.model, stable, shares, *_shadow(rollout), rollout.strategy, stand_ins)


def _shadow(rollout: Rollout) -> tuple[str, int]:
    return (rollout.id, rollout.percent) if rollout.strategy == "shadow" else ("", 0)


def _alike(desired: Desired, ready: Set[str], spaces: Mapping[str, str | None]) -> tuple[str, ...]:
    """The ready versions of the model whose embedding space is that of the stable version."""
    space = spaces.get(desired.stable)
    model = (one for one in sorted(ready) if str(ModelId.parse(one).name) == desired.model)
    return tuple(one for one in model if spaces.get(one) == space)


def _stand_ins(desired: Desired, ready: Set[str], alike: Sequence[str]) -> tuple[str, ...]:
    wanted = set(desired.ids)
    if wanted <= ready or len(wanted & set(alike)) > 1:
        return ()
    return tuple(one for one in alike if one not in wanted)


def _stable(desired: Desired, ready: Set[str], before: Traffic | None, alike: Sequence[str]) -> str:
    was = (before.stable,) if before is not None else ()
    others = (one for one in (*desired.warm, *desired.ids) if one in alike)
    wanted = (desired.stable, *was, *others)
    return next((identity for identity in wanted if identity in ready), desired.stable)
