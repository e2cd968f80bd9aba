"""Versions in the archive: where they may not go, how they come back, how forgeries show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gto.api as gto
import pytest
from tests.unit.deployment.plans import MODEL, beside, place, roll_out, rolled_out

from facemodels.errors import FacemodelsError, InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import audit, rules
from facemodels.registry.policy import RegistryPolicy, role_of
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import fold

from .conftest import (
    V1,
    V2,
    V3,
    Clone,
    Ledger,
    again,
    commit_of,
    deprecate,
    kinds,
    make,
    move,
    register,
)

FACTS = {"sha256": "5" * 64, "path": f"archive/{V3}.tar.zst", "bytes": 7}


def archive(model: str, facts: Mapping[str, Any] = FACTS, *, reason: str = "old") -> Proposal:
    return lambda now: rules.archive(now, ModelId.parse(model), facts, reason=reason)


def restore(model: str, *, reason: str = "needed", **extra: Any) -> Proposal:
    return lambda now: rules.restore(now, ModelId.parse(model), reason=reason, extra=extra)


def put_away() -> Ledger:
    """V1 is in production, V2 and V3 were in staging; V3 is in the archive."""
    ledger = beside()
    ledger.add(place(V2))
    ledger.add(archive(V3))
    return ledger


def refuses(ledger: Ledger, plan: Proposal, error: type[FacemodelsError], words: str) -> None:
    with pytest.raises(error, match=words) as refused:
        ledger.add(plan)
    assert type(refused.value) is error
    assert refused.value.remedy


def test_an_archived_version_keeps_its_status_and_its_event_says_where_it_is() -> None:
    ledger = put_away()
    event = ledger.events[-1]
    assert (event.act, event.tag) == ("archive", f"{MODEL}#archived#6")
    assert event.record is not None
    assert (event.record["archive"], event.record["status"]) == (FACTS, "staging")
    now = ledger.state
    assert now.archived == {V3: event}
    assert now.entry(V3).status == "staging"
    assert now.production == {MODEL: V1}
    assert audit.audit(ledger.events, ledger.head) == []


@pytest.mark.parametrize(
    "plan",
    [move(V3, "production"), place(V3), roll_out(V3, 10)],
    ids=["production", "staging", "rollout"],
)
def test_an_archived_version_serves_nowhere_before_it_is_restored(plan: Proposal) -> None:
    ledger = put_away()
    refuses(ledger, plan, RuleError, f"in the archive.*storage restore {V3}")
    ledger.add(restore(V3))
    ledger.add(plan)
    assert audit.audit(ledger.events, ledger.head) == []


def test_an_archived_version_of_development_cannot_go_to_staging() -> None:
    ledger = Ledger()
    ledger.add(register(V1, commit_of(V1)))
    ledger.add(archive(V1))
    refuses(ledger, move(V1, "staging"), RuleError, "in the archive")


def test_a_rollback_to_an_archived_version_is_refused_even_in_an_emergency() -> None:
    ledger = beside()
    ledger.add(move(V2, "production"))
    ledger.add(archive(V1))

    def back(now: Any) -> ProposedEvent:
        parsed = ModelId.parse(V1)
        return rules.move(now, parsed, "production", reason="it burns", emergency=True)

    refuses(ledger, back, RuleError, "in the archive")


def test_an_archived_version_may_still_be_deprecated() -> None:
    ledger = put_away()
    ledger.add(deprecate(V3))
    assert ledger.state.entry(V3).status == "deprecated"
    assert V3 in ledger.state.archived
    ledger.add(restore(V3))
    assert ledger.state.entry(V3).status == "deprecated"
    assert audit.audit(ledger.events, ledger.head) == []


def test_a_restored_version_is_in_no_archive() -> None:
    ledger = put_away()
    event = ledger.add(restore(V3, restored_from="backup"))
    assert (event.act, event.tag) == ("restore", f"{MODEL}#archived!#7")
    assert (event.record or {})["restored_from"] == "backup"
    assert ledger.state.archived == {}
    ledger.add(archive(V3))
    assert set(ledger.state.archived) == {V3}
    assert audit.audit(ledger.events, ledger.head) == []


def test_what_serves_is_not_archived() -> None:
    refuses(beside(), archive(V1), RuleError, "serves in production")
    refuses(beside(), archive(V3), RuleError, "serves in staging")  # it was put there last
    refuses(rolled_out(), archive(V2), RuleError, "serves in a rollout")


def test_nothing_is_archived_twice_or_restored_twice() -> None:
    ledger = put_away()
    refuses(ledger, archive(V3), InputError, "already")
    ledger.add(restore(V3))
    refuses(ledger, restore(V3), RuleError, "not in the archive")


@pytest.mark.parametrize(
    "facts",
    [{}, {"sha256": "5" * 64}, {"path": "a"}, {"sha256": "5" * 63, "path": "a"}],
)
def test_an_archive_without_digest_or_path_is_refused(facts: Mapping[str, Any]) -> None:
    ledger = beside()
    refuses(ledger, archive(V2, facts), InputError, "SHA-256")


def test_both_acts_need_a_reason_and_a_registered_version() -> None:
    ledger = put_away()
    refuses(ledger, archive(V2, reason=""), InputError, "reason")
    refuses(ledger, restore(V3, reason=""), InputError, "reason")
    refuses(beside(), archive("rec-facenet-v7.0.0"), InputError, "not registered")
    refuses(beside(), restore("rec-facenet-v7.0.0"), InputError, "not registered")


def test_who_may_promote_may_archive_and_restore() -> None:
    policy = RegistryPolicy(roles={"builder": ("register",), "releaser": ("promote",)})
    for act in ("archive", "restore"):
        assert not policy.may("builder", role_of(act))
        assert policy.may("releaser", role_of(act))


@pytest.mark.parametrize(
    "changes",
    [
        {"act": "promote"},
        {"act": "restore"},
        {"act": "withdraw"},
        {"status": "production"},
        {"model_id": V1},
        {"archive": {}},
        {"archive": "there"},
        {"reason": ""},
    ],
)
def test_a_record_that_does_not_fit_its_tag_shows(changes: Mapping[str, Any]) -> None:
    ledger = put_away()
    forged = again(ledger.events[-1], record=changes)
    events = [*ledger.events[:-1], forged]
    assert kinds(audit.audit(events, forged.object)).keys() == {forged.tag}


def test_a_rollback_recorded_against_the_archive_shows() -> None:
    """Somebody with push access writes a promotion by hand."""
    ledger = put_away()
    unaware = fold(one for one in ledger.events if one.name.stage != "archived")
    tag = f"{MODEL}#production#7"
    change = replace(move(V3, "production")(unaware), tag=tag)
    forged = make(change, ledger.events[-1], ledger.events[-1].time + 1)
    found = audit.audit([*ledger.events, forged], forged.object)
    assert [(one.kind, one.tag) for one in found] == [("illegal", tag)]
    assert "in the archive" in found[0].text


def test_gto_sees_the_stage_and_a_deregistered_version_leaves_nothing(empty: Clone) -> None:
    def shown() -> list[str]:
        rows = gto.show(empty.root, f"{MODEL}#archived", table=False)
        return [row["version"] for row in rows]

    empty.register(V1)
    empty.add(archive(V1))
    assert shown() == ["v1.0.0"]
    empty.add(restore(V1))
    assert shown() == []
    assert empty.audit() == []
    empty.add(archive(V1))
    gto.deregister(empty.root, MODEL, version="v1.0.0")
    state = fold(empty.events().values())
    assert (state.entries, state.archived) == ({}, {})
