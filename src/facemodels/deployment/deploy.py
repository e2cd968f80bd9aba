"""What operators do: deploy, complete, abort, roll back. Each is one event of the registry."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from facemodels.deployment.desired import Strategy
from facemodels.deployment.settings import DeploymentPolicy, Environment
from facemodels.errors import GateError, InputError, RuleError
from facemodels.names import ModelId, Version
from facemodels.registry import rules
from facemodels.registry.events import Event, to_text
from facemodels.registry.registry import Registry, previous_production
from facemodels.registry.rules import Proposal, ProposedEvent
from facemodels.registry.state import Entry, State

Asked = Literal[Strategy, "complete", "abort"]
ASKED: tuple[str, ...] = (*get_args(Strategy), "complete", "abort")


@dataclass(frozen=True)
class DeploymentRequest:
    """What somebody asks for.

    Attributes:
        model: the version.
        environment: `staging` or `production`.
        strategy: how; in staging there is only `direct`.
        percent: of the requests (canary, ab) or of the copies (shadow); None: as configured.
        reason: why.
        re_enrolment: how galleries get new embeddings, where the embedding space changes.
        emergency: past the rule that production takes only what was in staging.
        record: further keys of the event, such as a verdict.
    """

    model: ModelId
    environment: str
    strategy: Asked = "direct"
    percent: int | None = None
    reason: str = ""
    re_enrolment: str = ""
    emergency: bool = False
    record: Mapping[str, Any] | None = None


def deploy(
    registry: Registry,
    settings: Environment,
    asked: DeploymentRequest,
    *,
    clock: Callable[[], float] = time.time,
) -> Proposal:
    """The event that a deployment is, for `Registry.act`; `dry_run` shows it.

    Args:
        registry: of the clone.
        settings: of the environment.
        asked: what shall be.
        clock: seconds since 1970.

    Raises:
        InputError: a strategy or a percentage that makes no sense there.
        RuleError: the environment's policy does not let this user deploy.
        GateError: raised by the plan, for a version below a gate of the environment.
    """
    require_deployer(registry, settings.policy, asked.environment)
    if asked.environment == "staging":
        if asked.strategy != "direct":
            raise InputError(
                f"staging knows no strategy {asked.strategy!r}: nobody's traffic is at stake.",
                "Leave --strategy out.",
            )
        return _placement(settings.policy, asked)
    terms = _terms(settings, asked)

    def plan(state: State) -> ProposedEvent:
        change = act(state)
        return replace(change, extra={**(asked.record or {}), **change.extra})

    def act(state: State) -> ProposedEvent:
        if asked.strategy == "abort":
            return withdrawal(asked.model, reason=asked.reason)(state)
        entry = state.entry(asked.model)
        _require_gates(entry, settings.policy)
        if not asked.emergency:
            _require_time_in_staging(entry, settings.policy, clock())
        if asked.strategy == "complete":
            _require_on_its_way(state, entry)
        if asked.strategy in ("direct", "complete"):
            return _move(state, asked)
        return rules.roll_out(
            state, asked.model, terms,
            reason=asked.reason, re_enrolment=asked.re_enrolment, emergency=asked.emergency,
        )  # fmt: skip

    return plan


def _placement(policy: DeploymentPolicy, asked: DeploymentRequest) -> Proposal:
    def plan(state: State) -> ProposedEvent:
        _require_gates(state.entry(asked.model), policy)
        return rules.place(state, asked.model, reason=asked.reason)

    return plan


def _require_gates(entry: Entry, policy: DeploymentPolicy) -> None:
    """Stop a version that is below a gate of the environment.

    Raises:
        GateError: it is, or was not measured there.
    """
    from facemodels.evaluate.gates import judge, require

    metrics = entry.facts.get("metrics", {})
    unmeasured = sorted(policy.gates.keys() - metrics.keys())
    if unmeasured:
        raise GateError(
            f"{entry.id} was not measured on {', '.join(unmeasured)}, which the policy asks for.",
            "Measure it (validate, benchmark) before the next version is registered.",
        )
    require(judge(metrics, policy.gates), entry.id)


def _move(state: State, asked: DeploymentRequest) -> ProposedEvent:
    return rules.move(
        state, asked.model, "production",
        reason=asked.reason, re_enrolment=asked.re_enrolment, emergency=asked.emergency,
    )  # fmt: skip


def withdrawal(model: ModelId, *, reason: str, record: Mapping[str, Any] | None = None) -> Proposal:
    """The event that takes a rollout back."""
    return lambda state: rules.withdraw(
        state, model, reason=reason or "aborted by hand", extra=record
    )


def return_to(
    model: ModelId, *, reason: str, re_enrolment: str = "", record: Mapping[str, Any] | None = None
) -> Proposal:
    """The event that brings a version back to production."""

    def plan(state: State) -> ProposedEvent:
        change = rules.move(state, model, "production", reason=reason, re_enrolment=re_enrolment)
        return replace(change, extra={**(record or {}), **change.extra})

    return plan


@dataclass(frozen=True)
class Rollback:
    """What a rollback does.

    Attributes:
        model: for example `recognition-facenet`.
        to: the version that serves afterwards.
        withdrawn: the version on its way whose rollout ends; None where production changes.
        taken_back: the version that serves no more.
        re_enrolment: how galleries get their embeddings back, where the space changes.
    """

    model: str
    to: str
    withdrawn: str | None
    taken_back: str
    re_enrolment: str = ""

    def plan(self, reason: str, record: Mapping[str, Any] | None = None) -> Proposal:
        """The event that it is.

        Args:
            reason: why.
            record: further keys of the event.
        """
        if self.withdrawn is not None:
            return withdrawal(ModelId.parse(self.withdrawn), reason=reason, record=record)
        to = ModelId.parse(self.to)
        return return_to(to, reason=reason, re_enrolment=self.re_enrolment, record=record)


def find_rollback(
    state: State, model_type: str, to_version: str | None = None, *, re_enrolment: str = ""
) -> Rollback:
    """What rolling back means now.

    A version on its way to production is taken back first; without one, production goes back to
    `to_version`, or to the version that was there before.

    Args:
        state: of the registry.
        model_type: `recognition`, `recognition-facenet`, `det`, …
        to_version: for example `2.1.3`; None: the previous one.
        re_enrolment: how galleries get their embeddings back, where the space changes.

    Raises:
        InputError: no such model or version, or several models of the type.
        RuleError: there is nothing to go back to, or the rules do not let it back.
    """
    model = _find_model(state, model_type)
    current = state.production[model]
    running = state.rollouts.get(model)
    candidate = state.id_of(running) if running is not None else None
    target = _find_version(state, model, current, to_version) if to_version else None
    if candidate is not None and target in (None, current):
        return Rollback(model, to=current, withdrawn=candidate, taken_back=candidate)
    if target == current:
        raise InputError(f"{current} is in production already.", "Nothing was changed.")
    to = target or previous_production(state, model).id
    _require_was_there(state.entry(to))
    found = Rollback(model, to, None, current, re_enrolment)
    found.plan("a try")(state)  # whatever the rules refuse, they refuse before traffic changes
    return found


def _require_was_there(entry: Entry) -> None:
    if entry.deployed_at is None:
        raise RuleError(
            f"{entry.id} was never in production, so there is no way back to it.",
            f"Deploy it: facemodels deploy --model-id {entry.id} --environment production",
        )


def _find_model(state: State, model_type: str) -> str:
    found = [model for model in sorted(state.production) if _is_of_type(model, model_type)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"No {model_type} model is in production.",
            f"There are: {', '.join(sorted(state.production)) or 'none'}.",
        )
    raise InputError(
        f"{model_type} may be any of {', '.join(found)}.", "Give --model-type the whole name."
    )


def _is_of_type(model: str, model_type: str) -> bool:
    if model == model_type:
        return True
    short = ModelId.parse(f"{model}@v0.0.0")
    names = (short.name.task, short.name.prefix, str(short).split("-", 1)[0])
    return model_type in (*names, short.name.architecture)


def _find_version(state: State, model: str, current: str, text: str) -> str:
    """The id of a version number, of the variant that is in production where there are several.

    Raises:
        InputError: no such version.
    """
    version = Version.parse(text)
    variant = ModelId.parse(current).variant
    found = [entry.id for entry in state.of_model(model) if entry.version == version]
    same = [identity for identity in found if ModelId.parse(identity).variant == variant]
    if not found:
        raise InputError(
            f"{model} {version} is not registered.",
            f"See `facemodels registry list --name {model}`.",
        )
    return (same or found)[0]


def dry_run(registry: Registry, plan: Proposal) -> ProposedEvent:
    """The event that would be made, and nothing else.

    Raises:
        FacemodelsError: what `plan` refuses with.
    """
    registry.repository.sync()
    return plan(registry.repository.state())


def _terms(settings: Environment, asked: DeploymentRequest) -> dict[str, Any]:
    shares = {
        "canary": settings.canary_percent,
        "progressive": settings.steps[0] if settings.steps else 100,
        "ab": 50,
        "shadow": 100,
        "blue-green": 0,
    }
    if asked.percent is not None and asked.strategy not in ("canary", "ab", "shadow"):
        raise InputError(
            f"--canary-percent says nothing to {asked.strategy}.",
            "Leave it out; it is for canary, ab and shadow.",
        )
    default = shares.get(asked.strategy, 0)
    percent = default if asked.percent is None else asked.percent
    return {"environment": asked.environment, "strategy": asked.strategy, "percent": percent}


def require_deployer(registry: Registry, policy: DeploymentPolicy, environment: str) -> None:
    """Stop who may not deploy to an environment.

    Raises:
        RuleError: the policy names others.
        ToolError: git does not know who this is.
    """
    if not policy.deployers:
        return
    # Who the event will name; git's variables go before its configuration.
    mail = registry.git.text("var", "GIT_COMMITTER_IDENT").rpartition("<")[2].partition(">")[0]
    if mail not in policy.deployers:
        raise RuleError(
            f"{mail} may not deploy to {environment}.",
            f"conf/deploy/{environment}.yaml lets {', '.join(policy.deployers)} do it.",
        )


def _require_time_in_staging(entry: Entry, policy: DeploymentPolicy, now: float) -> None:
    if not policy.staging_minutes:
        return  # after a burst of events their dates are ahead of the clock
    since = next((e.time for e in entry.events if _puts_into_staging(e)), None)
    if since is None or entry.deployed_at is not None:
        return  # the rules refuse the first; the second was in production before
    left = since + policy.staging_minutes * 60 - now
    if left > 0:
        raise RuleError(
            f"{entry.id} is in staging since {to_text(since)}; the policy asks for "
            f"{policy.staging_minutes:g} minutes.",
            f"Wait {math.ceil(left / 60)} minutes more, or give --emergency and --reason.",
        )


def _puts_into_staging(event: Event) -> bool:
    return (event.name.act, event.name.stage) == ("assign", "staging")


def _require_on_its_way(state: State, entry: Entry) -> None:
    running = state.rollouts.get(entry.model)
    if running is None or state.id_of(running) != entry.id:
        raise RuleError(
            f"{entry.id} is not on its way to production, so there is nothing to complete.",
            "Begin with --strategy canary, or go at once: --strategy direct.",
        )
