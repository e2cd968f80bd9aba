"""Decides which version gets which share of the requests now. Pure.

The desired state is followed as far as its versions are ready.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from facemodels.deployment.desired import Desired, Rollout
from facemodels.names import ModelId

SETTLE_S = 15.0  # a version that took over and served for so long needs no special way out


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
        stand_ins: versions that answered requests before these, and go on running without a
            share to repeat requests that fail, also if they are no longer desired.
        since: when the present versions began to answer, in seconds of the clock of `share_out`.
    """

    model: str
    stable: str
    shares: Mapping[str, int] = field(default_factory=dict)
    shadow: str = ""
    copies: int = 0
    strategy: str = ""
    stand_ins: tuple[str, ...] = ()
    since: float = 0.0

    @property
    def answered(self) -> tuple[str, ...]:
        """The versions that answer requests, and those that did before them and still run."""
        return tuple(dict.fromkeys((self.stable, *self.shares, *self.stand_ins)))


def share_out(
    desired: Desired,
    ready: Set[str],
    before: Traffic | None,
    spaces: Mapping[str, str | None] | None = None,
    now: float = 0.0,
) -> Traffic:
    """Share out the requests to a model.

    A version that is not ready gets no requests. While the desired stable version is not ready,
    the one before it goes on serving; failing that, any ready version that may serve and has the
    same embedding space, since a failed request is better than an embedding that matches no
    gallery. If no such version is ready either, the requests go to the version that the tags name
    and fail there. A version without a share (a shadow, blue-green, 0 %) never serves for another.

    A version that another one took over from stands in until the other has served for `SETTLE_S`
    seconds, in every strategy and direction, and as long as a desired version still starts and no
    other could answer if the stable version died now.

    Args:
        desired: the desired state of the model.
        ready: the versions that have a ready server, also those that are no longer desired.
        before: how the requests were shared out until now; None at the first time.
        spaces: the embedding space of each version; without it all count as equal.
        now: seconds of a clock that is not set, and goes on over a restart of the controller.
    """
    alike = _alike(desired, ready, spaces or {})
    stable = _stable(desired, ready, before, alike)
    rollout = desired.rollout
    found = Traffic(desired.model, stable, {stable: 100})
    if rollout is not None and rollout.id in ready and stable == desired.stable:
        share = rollout.share
        shares = {stable: 100 - share, rollout.id: share} if share else {stable: 100}
        found = Traffic(desired.model, stable, shares, *_shadow(rollout), rollout.strategy)
    same = before is not None and (before.stable, set(before.shares)) == (stable, set(found.shares))
    since = before.since if before is not None and same else now
    settled = before is None or not 0 <= now - since < SETTLE_S
    others = _stand_ins(desired, ready, before, alike, settled=settled)
    stand_ins = tuple(one for one in others if one not in found.shares)
    return replace(found, stand_ins=stand_ins, since=since)


def _shadow(rollout: Rollout) -> tuple[str, int]:
    return (rollout.id, rollout.percent) if rollout.strategy == "shadow" else ("", 0)


def _alike(desired: Desired, ready: Set[str], spaces: Mapping[str, str | None]) -> tuple[str, ...]:
    """The ready versions of the model whose embedding space is that of the stable version."""
    space = spaces.get(desired.stable)
    model = (one for one in sorted(ready) if str(ModelId.parse(one).name) == desired.model)
    return tuple(one for one in model if spaces.get(one) == space)


def _stand_ins(
    desired: Desired,
    ready: Set[str],
    before: Traffic | None,
    alike: Sequence[str],
    *,
    settled: bool,
) -> tuple[str, ...]:
    may = desired.may_serve
    known = (one for one in (before.answered if before else ()) if one in alike)
    kept = tuple(one for one in known if one in may or one not in desired.ids)
    enough = set(desired.ids) <= ready or len(set(may) & set(alike)) > 1
    # One that is desired is remembered: the event of a rollback comes later and ends that.
    return tuple(one for one in kept if one in may) if settled and enough else kept


def _stable(desired: Desired, ready: Set[str], before: Traffic | None, alike: Sequence[str]) -> str:
    may = desired.may_serve
    answered = before.answered if before is not None else ()
    left = tuple(one for one in answered if one in may or one not in desired.ids)
    was = (one for one in left if before is not None and one == before.stable)
    others = (one for one in (*may, *left) if one in alike)
    wanted = (desired.stable, *was, *others)
    return next((identity for identity in wanted if identity in ready), desired.stable)
