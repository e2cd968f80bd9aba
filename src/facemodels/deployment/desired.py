"""Reads the desired state of an environment from the registry's tags. All functions are pure.

Staging serves the version that was placed there last. Production serves the version whose status
is `production`. A rollout gives a second version a part of production's traffic: a share of the
requests (canary, progressive, ab), copies of them (shadow), or no request until it takes over
(blue-green).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.deployment.strategies import STRATEGIES, Strategy
from facemodels.errors import RuleError
from facemodels.monitoring.served import ServedModel, ServedVersion
from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.registry import previous_production
from facemodels.registry.state import State, production_history


@dataclass(frozen=True)
class Rollout:
    """A version that is being rolled out to production.

    Attributes:
        id: the version.
        strategy: how it gets traffic.
        percent: its percentage of the requests; for a shadow, the percentage that is copied.
        event: the tag that began the rollout or its present step.
        since: the time of that tag in seconds since 1970.
        by: who made the tag, as `Name <mail>`.
        reason: why the tag was made.
    """

    id: str
    strategy: Strategy
    percent: int
    event: str
    since: int
    by: str
    reason: str

    @property
    def share(self) -> int:
        """The percentage of the answers that clients get from this version."""
        return self.percent if self.strategy in ("canary", "progressive", "ab") else 0


@dataclass(frozen=True)
class Desired:
    """The desired state of one model in one environment.

    Attributes:
        model: the model's name, for example `recognition-facenet`.
        stable: the version that answers all requests that the rollout does not take.
        rollout: the rollout beside it; None if there is none.
        warm: versions that run and get no requests, so that a rollback to them is immediate.
        event: the tag that made `stable` the stable version.
        since: the time of that tag in seconds since 1970.
        by: who made the tag, as `Name <mail>`.
        reason: why the tag was made.
    """

    model: str
    stable: str
    rollout: Rollout | None
    warm: tuple[str, ...]
    event: str
    since: int
    by: str
    reason: str

    @property
    def task(self) -> str:
        """`detection`, `recognition` or `landmarks`."""
        return ModelId.parse(self.stable).name.task

    @property
    def ids(self) -> tuple[str, ...]:
        """Every version that must run."""
        beside = (self.rollout.id,) if self.rollout else ()
        return tuple(dict.fromkeys((self.stable, *beside, *self.warm)))

    @property
    def may_serve(self) -> tuple[str, ...]:
        """The versions that may answer a client where another one fails, in this order.

        A shadow, blue-green before its turn and a rollout at 0 % may not: no client of theirs is
        to see an answer yet.
        """
        beside = (self.rollout.id,) if self.rollout and self.rollout.share else ()
        return tuple(dict.fromkeys((self.stable, *self.warm, *beside)))

    @property
    def shares(self) -> Mapping[str, int]:
        """The percentage of the answers by version; the values sum to 100."""
        part = self.rollout.share if self.rollout else 0
        beside = {self.rollout.id: part} if self.rollout else {}
        return {self.stable: 100 - part, **beside}

    @property
    def served(self) -> ServedModel:
        """The same as the values that monitoring takes."""
        stable = ServedVersion(
            self.stable, "stable", self.shares[self.stable],
            self.event, self.since, self.by, self.reason,
        )  # fmt: skip
        rollout, candidate = self.rollout, None
        if rollout is not None:
            candidate = ServedVersion(
                rollout.id, rollout.strategy, rollout.percent,
                rollout.event, rollout.since, rollout.by, rollout.reason,
            )  # fmt: skip
        return ServedModel(self.model, stable, candidate, self.warm)


def desired(state: State, environment: str) -> dict[str, Desired]:
    """The desired state of an environment, by model.

    Args:
        state: the state that the registry's tags add up to.
        environment: `staging` or `production`.
    """
    if environment == "production":
        found = (_in_production(state, model) for model in sorted(state.production))
    else:
        found = (_in_staging(state, model) for model in sorted(state.in_staging))
    return {one.model: one for one in found}


def _in_staging(state: State, model: str) -> Desired:
    event = state.in_staging[model]
    return _desired(state.id_of(event) or "", None, (), event)


def _in_production(state: State, model: str) -> Desired:
    stable = state.production[model]
    times = list(production_history(state, model))
    event = next(event for event, identity in reversed(times) if identity == stable)
    try:
        warm: tuple[str, ...] = (previous_production(state, model).id,)
    except RuleError:
        warm = ()
    return _desired(stable, _rollout(state, model), warm, event)


def _rollout(state: State, model: str) -> Rollout | None:
    event = state.rollouts.get(model)
    if event is None:
        return None
    terms = terms_of(event)
    return Rollout(
        id=state.id_of(event) or "",
        strategy=terms["strategy"],
        percent=terms["percent"],
        event=event.tag,
        since=event.time,
        by=event.tagger,
        reason=event.reason,
    )


def terms_of(event: Event) -> Mapping[str, Any]:
    """The strategy and percentage that a rollout's tag records.

    A tag without a valid record, such as one that GTO made, gives its version no traffic.
    """
    terms = (event.record or {}).get("rollout")
    if isinstance(terms, dict):
        strategy, percent = terms.get("strategy"), terms.get("percent")
        if strategy in STRATEGIES and type(percent) is int and 0 <= percent <= 100:
            return terms
    return {"strategy": "blue-green", "percent": 0}


def _desired(stable: str, rollout: Rollout | None, warm: tuple[str, ...], event: Event) -> Desired:
    return Desired(
        model=event.name.model,
        stable=stable,
        rollout=rollout,
        warm=warm,
        event=event.tag,
        since=event.time,
        by=event.tagger,
        reason=event.reason,
    )
