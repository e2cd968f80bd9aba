"""Deployments: what `facemodels deploy` does to the registry's tags.

A deployment is one event of the registry, and an event is one tag. Reading order, from
`facemodels deploy --model-id rec-facenet-v2.2.0 --environment production --strategy canary` to
the tag:

1. `cli/deploy.py`, `deploy`: reads the options and the settings, calls 2 and then 3.
2. `deployment/deploy.py`, `deploy` (this module): checks the environment's policy and makes a
   proposal, a function from the registry's state to the event.
3. `registry/registry.py`, `Registry.act`: gives 5 the proposal, and a check that verifies the
   version's package before anything is written.
4. `registry/rules.py`, `roll_out`: decides whether the state allows the rollout, and names the
   tag, for example `recognition-facenet#rollout#7`.
5. `registry/tag_store.py`, `TagStore.add`: fetches, asks the proposal for the event, writes the
   tag object and pushes it in one compare-and-swap.

The controller sees the new tag, `desired` reads it, and `router.traffic` gives the version its
share as soon as one of its servers is ready.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.deployment.galleries import plan_for, spaces_for
from facemodels.deployment.rollback import withdrawal
from facemodels.deployment.settings import DeploymentPolicy, Environment
from facemodels.deployment.strategies import DeploymentAct
from facemodels.errors import GateError, InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.events import Event, to_text
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.registry import Registry
from facemodels.registry.state import Entry, State


@dataclass(frozen=True)
class DeploymentRequest:
    """A deployment that an operator asks for.

    Attributes:
        model: the version.
        environment: `staging` or `production`.
        strategy: how the version gets traffic, or how its rollout ends; staging knows only
            `direct`.
        percent: the percentage of the requests (canary, ab) or of the copies (shadow); None
            takes the one in the settings.
        reason: why; it is recorded in the tag.
        re_enrolment: how galleries get new embeddings, where the embedding space changes.
        emergency: whether the version may go to production without having been in staging.
    """

    model: ModelId
    environment: str
    strategy: DeploymentAct = "direct"
    percent: int | None = None
    reason: str = ""
    re_enrolment: str = ""
    emergency: bool = False


def deploy(
    registry: Registry,
    settings: Environment,
    request: DeploymentRequest,
    *,
    clock: Callable[[], float] = time.time,
) -> Proposal:
    """Make the proposal of a deployment; `Registry.act` carries it out, `dry_run` shows it.

    Args:
        registry: the registry of the Git repository in which the command runs.
        settings: the settings of the environment.
        request: what the operator asks for.
        clock: gives the time in seconds since 1970.

    Raises:
        InputError: the strategy or the percentage has no meaning in this environment.
        RuleError: the environment's policy does not let this user deploy.
        GateError: raised by the proposal, for a version below a gate of the environment.

    The proposal also refuses a version of another embedding space than the galleries of the
    environment have (`galleries.spaces_for`).
    """
    require_deployer(registry, settings.policy, request.environment)
    if request.environment == "staging":
        if request.strategy != "direct":
            raise InputError(
                f"staging knows no strategy {request.strategy!r}: nobody's traffic is at stake.",
                "Leave --strategy out.",
            )
        return _placement(registry.root, settings, request)
    terms = _terms(settings, request)
    if request.strategy == "abort":
        return withdrawal(request.model, reason=request.reason)

    def proposal(state: State) -> ProposedEvent:
        entry = state.entry(request.model)
        _require_gates(entry, settings.policy)
        if not request.emergency:
            _require_time_in_staging(entry, settings.policy, clock())
        if request.strategy == "complete":
            _require_rollout_of(state, entry)
        spaces = spaces_for(registry.root, settings.galleries, entry)
        current = state.entries.get(state.production.get(entry.model, ""))
        shown = plan_for(settings.galleries, spaces, entry, current) if current else ""
        known = replace(request, re_enrolment=request.re_enrolment or shown)
        if request.strategy in ("direct", "complete"):
            event = _move(state, known)
        else:
            event = rules.roll_out(
                state, known.model, terms,
                reason=known.reason, re_enrolment=known.re_enrolment, emergency=known.emergency,
            )  # fmt: skip
        kept = {rules.GALLERY_SPACES: list(spaces)} if spaces else {}
        return replace(event, extra={**event.extra, **kept})

    return proposal


def dry_run(registry: Registry, proposal: Proposal) -> ProposedEvent:
    """Fetch, and show the event that a proposal would make; nothing is written.

    Raises:
        FacemodelsError: the error with which the proposal refuses.
    """
    registry.repository.sync()
    return proposal(registry.repository.state())


def _placement(root: Path, settings: Environment, request: DeploymentRequest) -> Proposal:
    def proposal(state: State) -> ProposedEvent:
        entry = state.entry(request.model)
        _require_gates(entry, settings.policy)
        spaces_for(root, settings.galleries, entry)
        return rules.place(state, request.model, reason=request.reason)

    return proposal


def _move(state: State, request: DeploymentRequest) -> ProposedEvent:
    return rules.move(
        state, request.model, "production",
        reason=request.reason, re_enrolment=request.re_enrolment, emergency=request.emergency,
    )  # fmt: skip


def _terms(settings: Environment, request: DeploymentRequest) -> dict[str, Any]:
    """The `rollout` part of the record: environment, strategy and percentage."""
    shares = {
        "canary": settings.canary_percent,
        "progressive": settings.steps[0] if settings.steps else 100,
        "ab": 50,
        "shadow": 100,
        "blue-green": 0,
    }
    if request.strategy == "ab" and settings.backend == "kubernetes":
        raise InputError(
            "An A/B test keeps each user with one version, which the standard Gateway API cannot.",
            "Use --strategy canary.",
        )
    cluster = settings.kubernetes if settings.backend == "kubernetes" else None
    if request.strategy == "shadow" and cluster is not None and not cluster.gateway.mirrors:
        raise InputError(
            "kubernetes.gateway.mirrors does not say that the Gateway can copy requests; one that "
            "cannot would fail all of them.",
            "Set it if `kubectl get gatewayclass -o yaml` lists HTTPRouteRequestMirror.",
        )
    if request.percent is not None and request.strategy not in ("canary", "ab", "shadow"):
        raise InputError(
            f"--canary-percent says nothing to {request.strategy}.",
            "Leave it out; it is for canary, ab and shadow.",
        )
    default = shares.get(request.strategy, 0)
    percent = default if request.percent is None else request.percent
    return {"environment": request.environment, "strategy": request.strategy, "percent": percent}


def require_deployer(registry: Registry, policy: DeploymentPolicy, environment: str) -> None:
    """Refuse a user who may not deploy to an environment.

    Raises:
        RuleError: the policy does not name this user.
        ToolError: Git's configuration has no user.
    """
    if not policy.deployers:
        return
    # The user whom the tag will name; environment variables go before the configuration.
    mail = registry.git.text("var", "GIT_COMMITTER_IDENT").rpartition("<")[2].partition(">")[0]
    if mail not in policy.deployers:
        raise RuleError(
            f"{mail} may not deploy to {environment}.",
            f"conf/deploy/{environment}.yaml lets {', '.join(policy.deployers)} do it.",
        )


def _require_gates(entry: Entry, policy: DeploymentPolicy) -> None:
    """Refuse a version that is below a gate of the environment.

    Raises:
        GateError: a metric is below its gate, or was not measured.
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


def _require_time_in_staging(entry: Entry, policy: DeploymentPolicy, now: float) -> None:
    if not policy.staging_minutes:
        return  # dates of events may be ahead of the clock after many events in one second
    since = next((e.time for e in entry.events if _puts_into_staging(e)), None)
    if since is None or entry.deployed_at is not None:
        return  # the rules refuse a version without staging; one that was in production may return
    left = since + policy.staging_minutes * 60 - now
    if left > 0:
        raise RuleError(
            f"{entry.id} is in staging since {to_text(since)}; the policy asks for "
            f"{policy.staging_minutes:g} minutes.",
            f"Wait {math.ceil(left / 60)} minutes more, or give --emergency and --reason.",
        )


def _puts_into_staging(event: Event) -> bool:
    return (event.name.act, event.name.stage) == ("assign", "staging")


def _require_rollout_of(state: State, entry: Entry) -> None:
    running = state.rollouts.get(entry.model)
    if running is None or state.id_of(running) != entry.id:
        raise RuleError(
            f"{entry.id} is not on its way to production, so there is nothing to complete.",
            "Begin with --strategy canary, or go at once: --strategy direct.",
        )
