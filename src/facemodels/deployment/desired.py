"""What the tags say shall serve in an environment. Pure.

Staging serves the version that was put there last. Production serves the version that is in
production; a rollout beside it gives another version its part: a share of the requests
(canary, progressive, ab), copies of them (shadow), or none before all (blue-green).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.errors import RuleError
from facemodels.monitoring.served import ServedModel, ServedVersion
from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.registry import previous_production
from facemodels.registry.state import State, production_history

Strategy = Literal["direct", "canary", "progressive", "blue-green", "shadow", "ab"]
STRATEGIES: tuple[Strategy, ...] = (
    "direct", "canary", "progressive", "blue-green", "shadow", "ab",
)  # fmt: skip


@dataclass(frozen=True)
class Rollout:
    """A version on its way into production.

    Attributes:
        id: the version.
        strategy: how.
        percent: its share of the requests; of a shadow, of the copies.
        event: the tag that says so.
        since: seconds since 1970.
        by: `Name <mail>`.
        reason: why.
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
        """Percent of the answers that clients get from it."""
        return self.percent if self.strategy in ("canary", "progressive", "ab") else 0


@dataclass(frozen=True)
class Desired:
    """What shall serve one model in one environment.

    Attributes:
        model: for example `recognition-facenet`.
        stable: the version that answers whom the rollout leaves to it.
        rollout: the version beside it; None if there is none.
        warm: versions that are ready and get no requests, for a rollback at once.
        event: the tag that made `stable` what it is.
        since: seconds since 1970.
        by: `Name <mail>`.
        reason: why.
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
        """Every version that has to run."""
        beside = (self.rollout.id,) if self.rollout else ()
        return tuple(dict.fromkeys((self.stable, *beside, *self.warm)))

    @property
    def shares(self) -> Mapping[str, int]:
        """Percent of the answers, by version; they sum to 100."""
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
    """What shall serve in an environment, by model.

    Args:
        state: of the registry.
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
    """Strategy and percent of a rollout's event; where it has none, as GTO's, no traffic at all."""
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
