"""What a system in use pins stays: it is neither deprecated nor archived before the system."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import pytest

from facemodels.errors import RuleError
from facemodels.names import ModelId
from facemodels.registry import audit, members, notes, rules
from facemodels.registry.proposals import Proposal

from .conftest import (
    DETECTOR,
    NOW,
    V1,
    V2,
    Ledger,
    commit_of,
    deprecate,
    kinds,
    make,
    move,
    register,
)

SYSTEM = "sys-faces-v1.0.0"
ARCHIVE = {"sha256": "0" * 64, "path": "archive/x.tar.zst"}


def digest_of(model: str) -> str:
    """As `register` of the conftest gives it to the package of a version."""
    return f"sha256:{hashlib.sha256(model.encode()).hexdigest()}"


def pins(**members: str) -> dict[str, Any]:
    return {task: {"id": model, "digest": digest_of(model)} for task, model in members.items()}


def archive(model: str) -> Proposal:
    return lambda now: rules.archive(now, ModelId.parse(model), ARCHIVE, reason="old")


def ledger_with(system: Mapping[str, Any], *models: str) -> Ledger:
    ledger = Ledger()
    for model in models:
        ledger.add(register(model, commit_of(model)))
    ledger.add(register(SYSTEM, commit_of(SYSTEM), members=system))
    return ledger


@pytest.fixture
def bundled() -> Ledger:
    return ledger_with(pins(detection=DETECTOR, recognition=V1), DETECTOR, V1, V2)


@pytest.mark.parametrize("statuses", [(), ("staging",), ("staging", "production")])
def test_a_member_stays_as_long_as_a_system_that_pins_it_is_in_use(
    bundled: Ledger, statuses: tuple[Any, ...]
) -> None:
    for status in statuses:
        bundled.add(move(SYSTEM, status))
    for plan in (deprecate(V1), archive(V1), move(V1, "deprecated"), deprecate(V1, retire=True)):
        with pytest.raises(RuleError, match=f"{V1} is a member of {SYSTEM}"):
            bundled.add(plan)
    bundled.add(deprecate(V2))  # which no system pins


def test_a_member_goes_after_the_last_system_that_pins_it(bundled: Ledger) -> None:
    later = "sys-faces-v1.1.0"
    bundled.add(register(later, commit_of(later), members=pins(recognition=V1)))
    bundled.add(deprecate(SYSTEM))
    with pytest.raises(RuleError, match=later):
        bundled.add(deprecate(V1))
    bundled.add(deprecate(later))
    bundled.add(deprecate(V1))


def test_a_member_may_be_archived_when_the_system_is_but_not_deprecated(bundled: Ledger) -> None:
    bundled.add(archive(SYSTEM))
    with pytest.raises(RuleError, match=SYSTEM):
        bundled.add(deprecate(V1))
    bundled.add(archive(V1))


def test_a_system_of_another_package_than_the_registered_one_is_refused() -> None:
    strange = {"recognition": {"id": V1, "digest": f"sha256:{'0' * 64}"}}
    with pytest.raises(RuleError, match=f"holds {V1} with the digest sha256:000000000000"):
        ledger_with(strange, V1)
    alone = ledger_with(strange)  # nobody registered the member yet
    assert members.unknown_members(alone.state, alone.state.entry(SYSTEM).facts) == (V1,)
    with pytest.raises(RuleError, match=f"{SYSTEM} holds another {V1}"):
        alone.add(register(V1, commit_of(V1)))


def test_a_recogniser_that_claims_a_space_is_registered_before_the_system() -> None:
    claiming = {"recognition": {**pins(recognition=V2)["recognition"], "claims": V1}}
    with pytest.raises(RuleError, match=f"claims the embedding space of {V1}"):
        ledger_with(claiming, V1)
    ledger_with(claiming, V1, V2)


@pytest.mark.parametrize("end", ["is deprecated", "was withdrawn"])
def test_a_system_of_a_deprecated_or_withdrawn_member_is_refused(end: str) -> None:
    ledger = Ledger()
    ledger.add(register(V1, commit_of(V1)))
    withdrawal = partial(notes.deregister, model=ModelId.parse(V1), reason="wrong weights")
    ledger.add(deprecate(V1) if end == "is deprecated" else withdrawal)
    with pytest.raises(RuleError, match=f"{V1}, a member of {SYSTEM}, {end}"):
        ledger.add(register(SYSTEM, commit_of(SYSTEM), members=pins(recognition=V1)))


def test_it_is_told_which_systems_pin_a_version(bundled: Ledger) -> None:
    state = bundled.state
    assert [entry.id for entry in members.systems_with(state, V1)] == [SYSTEM]
    assert members.systems_with(state, V2) == []
    assert [pin.task for pin in members.members_of(state.entry(SYSTEM).facts)] == [
        "detection",
        "recognition",
    ]


@pytest.mark.parametrize("recorded", [None, "text", {"detection": "text"}, {"detection": {}}])
def test_malformed_members_of_a_forged_tag_pin_nothing_that_is_registered(recorded: Any) -> None:
    ledger = ledger_with(recorded, V1)
    assert members.systems_with(ledger.state, V1) == []


def test_the_audit_finds_a_deprecation_of_a_member_that_went_past_the_rules(
    bundled: Ledger,
) -> None:
    alone = Ledger()
    alone.add(register(V1, commit_of(V1)))
    change = deprecate(V1)(alone.state)
    forged = make(change, bundled.events[-1], NOW + 1000)
    bundled.events.append(forged)
    found = audit.audit(bundled.events, bundled.head, {})
    assert kinds(found) == {forged.tag: {"illegal"}}
