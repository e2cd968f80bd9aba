"""What operators ask for, as events: deploy, complete, abort."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.unit.deployment.plans import (
    MODEL,
    beside,
    candidate,
    promote,
    roll_out,
)
from tests.unit.registry.conftest import (
    NOW,
    V1,
    V2,
    V3,
    Clone,
    move,
    start,
)

from facemodels.deployment.deploy import DeploymentRequest, deploy, dry_run
from facemodels.deployment.desired import desired
from facemodels.deployment.settings import Address, DeploymentPolicy, Environment
from facemodels.deployment.strategies import DEPLOYMENT_ACTS, STRATEGIES
from facemodels.errors import GateError, InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.proposals import Proposal
from facemodels.registry.registry import Registry

SETTINGS = Environment(address=Address(port=0), control=Address(port=0))
MINUTE = 60


_BUILT: list[Path] = []


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Clone:
    """V1 is in production, V2 in staging; a copy, since building it takes many git commands."""
    if not _BUILT:
        clone = start(tmp_path_factory.mktemp("operations") / "clone")
        for model in (V1, V2):
            clone.register(model)
            clone.add(move(model, "staging"))
        clone.add(move(V1, "production"))
        _BUILT.append(clone.root)
    return Clone(Path(shutil.copytree(_BUILT[0], tmp_path / "clone")))


@pytest.fixture
def registry(clone: Clone) -> Registry:
    return Registry(clone.repository)


def settings(**changes: Any) -> Environment:
    return SETTINGS.model_copy(update=changes)


def asks(
    registry: Registry,
    model: str,
    strategy: Any = "direct",
    *,
    now: float = NOW + 10**6,
    **more: Any,
) -> Proposal:
    configured = more.pop("settings", SETTINGS)
    environment = more.pop("environment", "production")
    asked = DeploymentRequest(ModelId.parse(model), environment, strategy, **more)
    return deploy(registry, configured, asked, clock=lambda: now)


def terms(event: Event) -> tuple[str, int]:
    assert event.record is not None
    return event.record["rollout"]["strategy"], event.record["rollout"]["percent"]


# --- deploy --------------------------------------------------------------------------------------


def test_staging_takes_a_version_at_once(clone: Clone, registry: Registry) -> None:
    v3 = clone.register(V3)
    [event] = clone.add(asks(registry, V3, environment="staging", reason="to look at"))
    assert (event.act, event.name.stage, event.commit) == ("promote", "staging", v3.commit)
    [event] = clone.add(asks(registry, V2, environment="staging"))
    assert (event.act, desired(clone.repository.state(), "staging")[MODEL].stable) == ("place", V2)


@pytest.mark.parametrize("strategy", [one for one in DEPLOYMENT_ACTS if one != "direct"])
def test_staging_knows_no_strategies(registry: Registry, strategy: str) -> None:
    with pytest.raises(InputError, match="staging knows no strategy"):
        asks(registry, V2, strategy, environment="staging")


def test_directly_means_production_at_once(clone: Clone, registry: Registry) -> None:
    [event] = clone.add(asks(registry, V2))
    assert (event.act, clone.repository.state().production) == ("promote", {MODEL: V2})


@pytest.mark.parametrize(
    ("strategy", "configured", "percent"),
    [
        ("canary", {}, 10), ("canary", {"canary_percent": 3}, 3), ("progressive", {}, 10),
        ("progressive", {"steps": (5, 20)}, 5), ("progressive", {"steps": ()}, 100), ("ab", {}, 50),
        ("shadow", {}, 100), ("blue-green", {}, 0),
    ],
)  # fmt: skip
def test_who_names_no_percentage_gets_the_configured_one(
    clone: Clone, registry: Registry, strategy: str, configured: dict[str, Any], percent: int
) -> None:
    plan = asks(registry, V2, strategy, settings=settings(**configured), reason="a try")
    [event] = clone.add(plan)
    assert (event.act, event.reason, terms(event)) == ("rollout", "a try", (strategy, percent))
    assert candidate(clone.repository.state()) == V2
    assert clone.audit() == []


@pytest.mark.parametrize("strategy", ["canary", "ab", "shadow"])
@pytest.mark.parametrize("percent", [0, 7, 100])
def test_a_percentage_that_is_named_goes_before_the_configured_one(
    clone: Clone, registry: Registry, strategy: str, percent: int
) -> None:
    change = dry_run(registry, asks(registry, V2, strategy, percent=percent))
    assert change.extra["rollout"]["percent"] == percent


@pytest.mark.parametrize("strategy", ["direct", "progressive", "blue-green", "complete", "abort"])
def test_a_percentage_that_says_nothing_is_refused(registry: Registry, strategy: str) -> None:
    with pytest.raises(InputError, match=f"says nothing to {strategy}"):
        asks(registry, V2, strategy, percent=10)


def test_every_strategy_but_the_direct_one_is_a_rollout_and_there_are_no_others() -> None:
    ledger = beside()
    asked = set(DEPLOYMENT_ACTS) - {"complete", "abort"}
    assert asked == set(STRATEGIES)
    for strategy in asked - {"direct"}:
        assert ledger.add(roll_out(V2, 0, strategy)).act == "rollout"


def test_a_version_that_was_never_in_staging_needs_an_emergency_with_a_reason(
    clone: Clone, registry: Registry
) -> None:
    clone.register(V3)
    for strategy in ("direct", "canary"):
        with pytest.raises(RuleError, match="never in staging"):
            dry_run(registry, asks(registry, V3, strategy))
        with pytest.raises(InputError, match="needs a reason"):
            dry_run(registry, asks(registry, V3, strategy, emergency=True))
        plan = asks(registry, V3, strategy, emergency=True, reason="a leak")
        assert dry_run(registry, plan).extra["emergency"] is True


# --- complete and abort ------------------------------------------------------------------------


def test_completing_makes_the_rollout_production(clone: Clone, registry: Registry) -> None:
    clone.add(asks(registry, V2, "canary"), asks(registry, V2, "complete"))
    now = clone.repository.state()
    assert (now.production, now.rollouts) == ({MODEL: V2}, {})


@pytest.mark.parametrize("strategy", ["complete", "abort"])
def test_without_a_rollout_there_is_nothing_to_complete_or_abort(
    registry: Registry, strategy: str
) -> None:
    with pytest.raises(RuleError, match="not on its way"):
        dry_run(registry, asks(registry, V2, strategy))


@pytest.mark.parametrize("strategy", ["complete", "abort"])
def test_the_rollout_of_another_version_is_not_completed_or_aborted(
    clone: Clone, registry: Registry, strategy: str
) -> None:
    clone.register(V3)
    clone.add(move(V3, "staging"), asks(registry, V2, "canary"))
    with pytest.raises(RuleError, match=f"{V3} is not on its way"):
        dry_run(registry, asks(registry, V3, strategy))


def test_aborting_needs_no_words_and_leaves_production_alone(
    clone: Clone, registry: Registry
) -> None:
    clone.add(asks(registry, V2, "canary"))
    [event] = clone.add(asks(registry, V2, "abort"))
    assert (event.act, event.reason) == ("withdraw", "aborted by hand")
    now = clone.repository.state()
    assert (now.production, now.rollouts) == ({MODEL: V1}, {})
    assert clone.audit() == []


# --- policy --------------------------------------------------------------------------------------


def policy(**changes: Any) -> Environment:
    return settings(policy=DeploymentPolicy(**changes))


def test_only_those_whom_the_policy_names_deploy(clone: Clone, registry: Registry) -> None:
    others = policy(deployers=("ops@example.invalid",))
    for environment in ("staging", "production"):
        with pytest.raises(RuleError, match=r"test@example\.invalid may not deploy") as refused:
            asks(registry, V2, settings=others, environment=environment)
        assert "ops@example.invalid" in refused.value.remedy
    with pytest.raises(RuleError, match="may not deploy"):
        asks(registry, V2, "abort", settings=others)
    ours = policy(deployers=("ops@example.invalid", "test@example.invalid"))
    assert clone.add(asks(registry, V2, settings=ours))[0].act == "promote"


def test_the_policy_asks_for_the_identity_that_the_event_will_name(
    clone: Clone, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git's variables go before its configuration; the record follows them, and so must we."""
    ops = policy(deployers=("ops@example.invalid",))
    clone.run("config", "user.email", "ops@example.invalid")
    with pytest.raises(RuleError, match=r"test@example\.invalid may not"):
        asks(registry, V2, settings=ops)
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "ops@example.invalid")
    [event] = clone.add(asks(registry, V2, settings=ops))
    assert event.tagger == "Test <ops@example.invalid>"


@pytest.mark.parametrize("strategy", ["direct", "canary"])
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_version_below_a_gate_of_the_environment_is_refused(
    clone: Clone, registry: Registry, strategy: str, environment: str
) -> None:
    if (environment, strategy) == ("staging", "canary"):
        strategy = "direct"
    for gates, problem in (
        ({"accuracy": {"min": 2.0}}, "accuracy"), ({"speed": {"max": 1.0}}, "not measured on speed"),
    ):  # fmt: skip
        strict = policy(gates=gates)
        with pytest.raises(GateError, match=problem):
            dry_run(
                registry, asks(registry, V2, strategy, settings=strict, environment=environment)
            )


@pytest.mark.parametrize("strategy", ["direct", "canary"])
def test_a_version_waits_in_staging_for_as_long_as_the_policy_says(
    clone: Clone, registry: Registry, strategy: str
) -> None:
    came = clone.events()[f"{MODEL}#staging#2"].time
    patient = policy(staging_minutes=30)

    def after(seconds: float, **more: Any) -> Proposal:
        return asks(registry, V2, strategy, settings=patient, now=came + seconds, **more)

    with pytest.raises(RuleError, match="asks for 30 minutes") as refused:
        dry_run(registry, after(29 * MINUTE))
    assert "Wait 1 minutes more" in refused.value.remedy
    with pytest.raises(RuleError) as refused:
        dry_run(registry, after(30 * MINUTE - 0.5))
    assert "Wait 1 minutes more" in refused.value.remedy
    assert dry_run(registry, after(30 * MINUTE)).model == ModelId.parse(V2)
    early = dry_run(registry, after(0, emergency=True, reason="a leak"))
    assert early.extra["emergency"] is True


def test_without_a_policy_nobody_waits_though_dates_run_ahead_of_the_clock(
    registry: Registry,
) -> None:
    """Each event is dated a second after the last, however fast they are made."""
    assert dry_run(registry, asks(registry, V2, now=NOW)).act == "promote"


def test_being_placed_in_staging_again_does_not_start_the_wait_anew(
    clone: Clone, registry: Registry
) -> None:
    came = clone.events()[f"{MODEL}#staging#2"].time
    for model in (V1, V2):
        clone.add(asks(registry, model, environment="staging"))
    plan = asks(registry, V2, settings=policy(staging_minutes=1), now=came + MINUTE)
    assert dry_run(registry, plan).act == "promote"


def test_a_version_that_was_in_production_does_not_wait(clone: Clone, registry: Registry) -> None:
    clone.add(promote(V2))
    plan = asks(registry, V1, settings=policy(staging_minutes=10**6), reason="back", now=NOW)
    assert dry_run(registry, plan).act == "rollback"


def test_a_rollout_is_aborted_without_a_wait(clone: Clone, registry: Registry) -> None:
    clone.add(asks(registry, V2, "canary"))
    plan = asks(registry, V2, "abort", settings=policy(staging_minutes=10**6), now=NOW)
    assert dry_run(registry, plan).act == "withdraw"


# --- dry run ---------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["direct", "canary", "progressive", "blue-green", "shadow"])
def test_a_dry_run_says_what_would_be_and_leaves_no_ref(
    clone: Clone, registry: Registry, strategy: str
) -> None:
    before = clone.run("for-each-ref")
    change = dry_run(registry, asks(registry, V2, strategy))
    assert (str(change.model), change.act) == (V2, "promote" if strategy == "direct" else "rollout")
    assert clone.run("for-each-ref") == before
    [event] = clone.add(asks(registry, V2, strategy))
    assert (event.tag, event.act) == (change.tag, change.act)


def test_a_deployment_is_a_value() -> None:
    asked = DeploymentRequest(ModelId.parse(V1), "production")
    with pytest.raises(dataclasses.FrozenInstanceError):
        asked.environment = "staging"  # type: ignore[misc]
