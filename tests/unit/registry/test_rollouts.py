"""Rollouts, withdrawals and staging's place: which are legal, what they mean, how forgeries show."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gto.api as gto
import pytest
from gto.constants import Action
from gto.tag import parse_name
from tests.unit.deployment.plans import (
    MODEL,
    beside,
    candidate,
    place,
    promote,
    roll_out,
    rolled_out,
    staged,
    withdraw,
)

from facemodels.errors import FacemodelsError, GateError, InputError, RuleError
from facemodels.names import ModelId, ModelName
from facemodels.registry import audit, policy, reading, tag_names
from facemodels.registry.events import Event
from facemodels.registry.proposals import Proposal
from facemodels.registry.registry import Registry
from facemodels.registry.state import State, fold

from .conftest import (
    DETECTOR,
    V1,
    V2,
    V3,
    Clone,
    Ledger,
    commit_of,
    deprecate,
    kinds,
    move,
    register,
    start,
)
from .test_state import V1_THERE, V2_THERE, A, B, by_gto

CANARY = {"environment": "production", "strategy": "canary", "percent": 10}


def said(event: Any) -> Mapping[str, Any]:
    assert event.record is not None
    return event.record


def refuses(ledger: Ledger, plan: Proposal, error: type[FacemodelsError], words: str) -> None:
    before = ledger.head
    with pytest.raises(error, match=words) as refused:
        ledger.add(plan)
    assert type(refused.value) is error
    assert refused.value.remedy
    assert ledger.head == before


# --- roll out ----------------------------------------------------------------------------------


def test_a_rollout_stands_beside_production_and_leaves_every_status_as_it_is() -> None:
    ledger = beside()
    event = ledger.add(roll_out(V2))
    assert (event.act, event.tag) == ("rollout", f"{MODEL}#rollout#5")
    assert (said(event)["rollout"], said(event)["status"]) == (CANARY, "staging")
    assert event.commit == commit_of(V2)
    now = ledger.state
    assert (candidate(now), now.production) == (V2, {MODEL: V1})
    assert {e.id: e.status for e in now.of_model(MODEL)} == {
        V1: "production", V2: "staging", V3: "staging",
    }  # fmt: skip
    assert now.rollouts[MODEL] == event


def test_a_rollout_may_be_given_another_part_and_the_last_one_counts() -> None:
    ledger = rolled_out(10)
    ledger.add(roll_out(V2, 50, "progressive"))
    assert said(ledger.state.rollouts[MODEL])["rollout"]["percent"] == 50
    ledger.add(roll_out(V2, 5))
    assert said(ledger.state.rollouts[MODEL])["rollout"]["percent"] == 5
    assert len([e for e in ledger.events if e.act == "rollout"]) == 3
    assert audit.audit(ledger.events, ledger.head) == []


def test_a_second_version_has_to_wait_until_the_first_is_through_or_taken_back() -> None:
    ledger = rolled_out()
    refuses(ledger, roll_out(V3), RuleError, f"{V2} is on its way")
    ledger.add(withdraw(V2))
    ledger.add(roll_out(V3))
    assert candidate(ledger.state) == V3


@pytest.mark.parametrize("percent", [-1, 101, 10**9, 10.0, 0.5, "10", None, True, False, [10]])
def test_only_a_whole_number_from_0_to_100_is_a_percentage(percent: object) -> None:
    refuses(beside(), roll_out(V2, percent), InputError, "no percentage")


@pytest.mark.parametrize("percent", [0, 1, 99, 100])
def test_both_ends_of_the_percentages_are_allowed(percent: int) -> None:
    assert said(beside().add(roll_out(V2, percent)))["rollout"]["percent"] == percent


def test_a_version_that_is_not_registered_has_no_rollout() -> None:
    refuses(beside(), roll_out("rec-facenet-v7.0.0"), InputError, "not registered")


def test_a_version_that_was_never_in_staging_has_no_rollout() -> None:
    ledger = staged(V1)
    ledger.add(move(V1, "production"))
    ledger.add(register(V2, commit_of(V2)))
    refuses(ledger, roll_out(V2), RuleError, "never in staging")


def test_production_itself_has_no_rollout_and_is_not_sent_back_to_staging() -> None:
    refuses(beside(), roll_out(V1), InputError, "in production already")


def test_a_deprecated_version_has_no_rollout_not_even_in_an_emergency() -> None:
    ledger = beside()
    ledger.add(deprecate(V2))
    for emergency in (False, True):
        refuses(ledger, roll_out(V2, emergency=emergency), RuleError, "is deprecated")


def test_the_first_version_of_a_model_has_nothing_beside_which_it_could_come() -> None:
    refuses(staged(V1), roll_out(V1), RuleError, "No version of .* in production")


def test_models_have_rollouts_of_their_own() -> None:
    ledger = rolled_out()
    other = "det-yolov8-v2.0.0"
    for model in (DETECTOR, other):
        ledger.add(register(model, commit_of(model)))
        ledger.add(move(model, "staging"))
    ledger.add(move(DETECTOR, "production"))
    ledger.add(roll_out(other))
    ledger.add(withdraw(V2))
    assert {m: ledger.state.id_of(e) for m, e in ledger.state.rollouts.items()} == {
        "detection-yolov8": other
    }


# --- an emergency ------------------------------------------------------------------------------


def with_a_new_version() -> Ledger:
    """V1 is in production, V2 is in development."""
    ledger = staged(V1)
    ledger.add(move(V1, "production"))
    ledger.add(register(V2, commit_of(V2)))
    return ledger


@pytest.mark.parametrize("plan", [promote, roll_out])
def test_an_emergency_goes_past_staging_with_a_reason_that_stays_in_the_record(plan: Any) -> None:
    ledger = with_a_new_version()
    refuses(ledger, plan(V2, reason="", emergency=True), InputError, "needs a reason")
    refuses(ledger, plan(V2), RuleError, "never in staging")
    event = ledger.add(plan(V2, reason="the old one lets everybody in", emergency=True))
    assert said(event)["emergency"] is True
    assert event.reason == "the old one lets everybody in"
    assert audit.audit(ledger.events, ledger.head) == []


def test_a_rollout_begun_in_an_emergency_goes_on_and_ends_without_a_second_one() -> None:
    ledger = with_a_new_version()
    ledger.add(roll_out(V2, 10, emergency=True))
    step = ledger.add(roll_out(V2, 50, reason=""))
    end = ledger.add(promote(V2, reason=""))
    assert [said(event)["emergency"] for event in (step, end)] == [True, True]
    assert ledger.state.production == {MODEL: V2}
    assert audit.audit(ledger.events, ledger.head) == []


def test_an_emergency_is_over_once_its_rollout_was_taken_back() -> None:
    ledger = with_a_new_version()
    ledger.add(roll_out(V2, emergency=True))
    ledger.add(withdraw(V2))
    refuses(ledger, roll_out(V2), RuleError, "never in staging")
    refuses(ledger, promote(V2), RuleError, "never in staging")


def test_a_record_of_a_usual_move_says_nothing_of_an_emergency() -> None:
    ledger = rolled_out()
    assert "emergency" not in said(ledger.add(promote(V2)))


# --- embedding spaces --------------------------------------------------------------------------


def two_spaces() -> Ledger:
    ledger = Ledger()
    for model, space in ((V1, "a"), (V2, "b")):
        ledger.add(register(model, commit_of(model), interface={"embedding_space": space}))
        ledger.add(move(model, "staging"))
    ledger.add(move(V1, "production"))
    return ledger


def test_a_rollout_into_another_embedding_space_needs_a_plan_for_the_galleries() -> None:
    ledger = two_spaces()
    refuses(ledger, roll_out(V2), RuleError, "galleries become useless")
    event = ledger.add(roll_out(V2, re_enrolment="in March"))
    assert said(event)["re_enrolment"] == "in March"


def test_the_plan_for_the_galleries_holds_until_the_rollout_is_through() -> None:
    ledger = two_spaces()
    ledger.add(roll_out(V2, 10, re_enrolment="in March"))
    assert said(ledger.add(roll_out(V2, 50)))["re_enrolment"] == "in March"
    assert said(ledger.add(promote(V2)))["re_enrolment"] == "in March"
    assert audit.audit(ledger.events, ledger.head) == []


def test_the_plan_for_the_galleries_ends_with_a_withdrawal() -> None:
    ledger = two_spaces()
    ledger.add(roll_out(V2, re_enrolment="in March"))
    ledger.add(withdraw(V2))
    refuses(ledger, promote(V2), RuleError, "galleries become useless")


# --- what ends a rollout -----------------------------------------------------------------------


def test_a_withdrawal_needs_a_reason_and_ends_the_rollout_alone() -> None:
    ledger = rolled_out()
    refuses(ledger, withdraw(V2, reason=""), InputError, "needs a reason")
    event = ledger.add(withdraw(V2, reason="too slow", verdict={"p95_ms": 812}))
    assert (event.act, event.tag) == ("withdraw", f"{MODEL}#rollout!#6")
    assert (event.reason, said(event)["verdict"]) == ("too slow", {"p95_ms": 812})
    assert candidate(ledger.state) is None
    assert ledger.state.production == {MODEL: V1}
    assert ledger.state.entry(V2).status == "staging"


@pytest.mark.parametrize("model", [V1, V3, "rec-facenet-v7.0.0"])
def test_only_the_version_on_its_way_can_be_taken_back(model: str) -> None:
    error = InputError if model.endswith("v7.0.0") else RuleError
    refuses(rolled_out(), withdraw(model), error, "not (registered|on its way)")


def test_nothing_is_taken_back_twice() -> None:
    ledger = rolled_out()
    ledger.add(withdraw(V2))
    refuses(ledger, withdraw(V2), RuleError, "not on its way")


@pytest.mark.parametrize("winner", [V2, V3])
def test_whoever_goes_to_production_ends_the_rollout(winner: str) -> None:
    ledger = rolled_out()
    ledger.add(promote(winner))
    assert (ledger.state.rollouts, ledger.state.production) == ({}, {MODEL: winner})


def test_deprecating_the_version_on_its_way_ends_its_rollout() -> None:
    ledger = rolled_out()
    ledger.add(deprecate(V2))
    assert ledger.state.rollouts == {}
    ledger.add(roll_out(V3))
    assert audit.audit(ledger.events, ledger.head) == []


def test_deprecating_another_version_does_not_end_a_rollout() -> None:
    ledger = rolled_out()
    ledger.add(deprecate(V3))
    assert candidate(ledger.state) == V2


# --- staging's place ---------------------------------------------------------------------------


def test_a_new_version_is_placed_by_its_promotion_to_staging() -> None:
    ledger = with_a_new_version()
    event = ledger.add(place(V2))
    assert (event.act, ledger.state.entry(V2).status) == ("promote", "staging")
    assert ledger.state.id_staged(MODEL) == V2


def test_the_version_placed_last_is_the_one_in_the_staging_environment() -> None:
    ledger = beside()
    assert ledger.state.id_staged(MODEL) == V3
    event = ledger.add(place(V2))
    assert (event.act, event.name.stage, said(event)["status"]) == ("place", "staging", "staging")
    assert ledger.state.id_staged(MODEL) == V2
    refuses(ledger, place(V2), InputError, "staging's environment already")


def test_placing_productions_version_in_staging_leaves_production_as_it_is() -> None:
    ledger = rolled_out()
    event = ledger.add(place(V1))
    now = ledger.state
    assert (now.id_staged(MODEL), now.production, candidate(now)) == (V1, {MODEL: V1}, V2)
    assert now.entry(V1).status == said(event)["status"] == "production"
    assert audit.audit(ledger.events, ledger.head) == []


def test_a_deprecated_version_leaves_staging_and_is_not_placed_there_again() -> None:
    ledger = beside()
    ledger.add(deprecate(V3))
    assert ledger.state.id_staged(MODEL) is None
    refuses(ledger, place(V3), RuleError, "deprecated")
    refuses(ledger, place("rec-facenet-v7.0.0"), InputError, "not registered")


def test_what_is_new_asks_for_the_role_of_a_promotion() -> None:
    assert {policy.role_of(act) for act in ("place", "rollout", "withdraw")} == {"promote"}


# --- tags, those of GTO included -----------------------------------------------------------------


def test_an_unassigning_tag_counts_on_over_all_stages_as_gto_does() -> None:
    name = ModelName.parse(MODEL)
    now = State()
    for held in (f"{MODEL}#staging#3", f"{MODEL}#rollout#11", "detection-yolov8#rollout#40"):
        meaning = tag_names.parse(held)
        assert meaning is not None
        now.apply(Event(held, meaning, "", "", held, "", 0, None, ""))
    tag = tag_names.unassign(name, "rollout", now.last_number(MODEL))
    assert tag == f"{MODEL}#rollout!#12"
    assert tag_names.unassign(name, "rollout", 0) == f"{MODEL}#rollout!#1"
    theirs = parse_name(tag)
    assert (theirs["action"], theirs["name"], theirs["stage"], theirs["counter"]) == (
        Action.UNASSIGN, MODEL, "rollout", 12,
    )  # fmt: skip
    assert tag_names.parse(tag) == tag_names.TagName("unassign", MODEL, stage="rollout", counter=12)


def test_gto_takes_a_rollout_from_the_version_that_it_names_alone() -> None:
    acts = [V1_THERE, V2_THERE, (f"{MODEL}#production#1", A), (f"{MODEL}#rollout#2", B)]
    assert candidate(fold(by_gto(*acts))) == V2
    acts.append((f"{MODEL}#rollout!#3", A))
    assert candidate(fold(by_gto(*acts))) == V2
    acts.append((f"{MODEL}#rollout!#4", B))
    assert candidate(fold(by_gto(*acts))) is None


def test_gto_brings_neither_production_nor_what_is_deprecated_on_its_way() -> None:
    acts = [V1_THERE, V2_THERE, (f"{MODEL}#production#1", A), (f"{MODEL}#deprecated#2", B)]
    acts += [(f"{MODEL}#rollout#3", A), (f"{MODEL}#rollout#4", B)]
    assert fold(by_gto(*acts)).rollouts == {}


@pytest.mark.parametrize("last", [f"{MODEL}@v1.1.0!#3", f"{MODEL}@deprecated#3"])
def test_a_version_or_a_model_that_gto_takes_away_is_on_its_way_no_more(last: str) -> None:
    acts = [
        V1_THERE, V2_THERE, (f"{MODEL}#staging#1", B), (f"{MODEL}#rollout#2", B), (last, B),
    ]  # fmt: skip
    folded = fold(by_gto(*acts))
    assert (folded.rollouts, folded.in_staging) == ({}, {})


# --- the audit, on real repositories ---------------------------------------------------------------

ROLLOUT = f"{MODEL}#rollout#5"
SECOND = f"{MODEL}#rollout#6"
WITHDRAWN = f"{MODEL}#rollout!#7"
PLACED = f"{MODEL}#staging#8"
LAST = f"{MODEL}#production#10"


_BUILT: list[Path] = []


@pytest.fixture
def attacked(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Clone:
    """Every new act once; a copy, since building it takes many git commands."""
    if not _BUILT:
        clone = start(tmp_path_factory.mktemp("rolled") / "clone")
        for model in (V1, V2, V3):
            clone.register(model)
        clone.add(move(V1, "staging"), move(V2, "staging"), move(V1, "production"))
        clone.add(place(V1), roll_out(V2, 10), roll_out(V2, 50), withdraw(V2, verdict={"p": 0.001}))
        clone.add(place(V2), roll_out(V3, 100, "shadow", emergency=True), promote(V3))
        _BUILT.append(clone.root)
    return Clone(Path(shutil.copytree(_BUILT[0], tmp_path / "clone")))


def test_a_registry_with_every_new_act_has_no_finding(attacked: Clone) -> None:
    acts = {event.tag: event.act for event in attacked.chain()}
    assert acts[ROLLOUT] == acts[SECOND] == "rollout"
    assert (acts[WITHDRAWN], acts[PLACED], acts[LAST]) == ("withdraw", "place", "promote")
    assert (attacked.audit(), attacked.fresh().audit()) == ([], [])


def test_a_forged_percent_is_named(attacked: Clone) -> None:
    attacked.rewrite(ROLLOUT, record={"rollout": {**CANARY, "percent": 90}})
    assert kinds(attacked.audit()) == {ROLLOUT: {"forged"}}
    assert kinds(attacked.fresh().audit()) == {ROLLOUT: {"rewritten"}}


def test_a_deleted_withdrawal_is_named(attacked: Clone) -> None:
    attacked.run("tag", "--delete", WITHDRAWN)
    for findings in (attacked.audit(), attacked.fresh().audit()):
        assert kinds(findings) == {WITHDRAWN: {"deleted"}}


def test_a_rollout_tagged_by_hand_or_by_gto_is_named(attacked: Clone) -> None:
    commit = attacked.events()[f"{MODEL}@v1.1.0"].commit
    light, words = f"{MODEL}#rollout#11", f"{MODEL}#rollout!#12"
    attacked.run("tag", light, commit)
    attacked.run("tag", "--annotate", "--message=Taken from rollout", words, commit)
    gto.assign(attacked.root, MODEL, "rollout", version="v1.0.0")
    by_gto_alone = f"{MODEL}#rollout#13"
    found = {tag: {"inserted"} for tag in (light, words, by_gto_alone)}
    for findings in (attacked.audit(), attacked.fresh().audit()):
        assert kinds(findings) == found


@pytest.mark.parametrize(
    ("tag", "act", "status"),
    [
        (f"{MODEL}#rollout#11", "withdraw", "staging"),
        (f"{MODEL}#rollout!#11", "rollout", "staging"),
        (f"{MODEL}#rollout#11", "promote", "rollout"),
        (f"{MODEL}#staging#11", "rollout", "staging"),
        (f"{MODEL}#staging!#11", "withdraw", "staging"),
        (f"{MODEL}#production!#11", "withdraw", "production"),
        (f"{MODEL}#production#11", "place", "production"),
        (f"{MODEL}#staging#11", "place", "deprecated"),
    ],
)
def test_a_record_whose_act_is_not_its_tags_is_forged(
    attacked: Clone, tag: str, act: str, status: str
) -> None:
    assert append(attacked, tag, V2, act=act, status=status) == {tag: {"forged"}}


def append(clone: Clone, tag: str, model: str, **record: Any) -> dict[str, set[str]]:
    """Append a well-linked event and move the head to it, as the registry itself would."""
    number = str(ModelId.parse(model).version)
    commit = clone.events()[f"{MODEL}@v{number}"].commit
    oid = clone.insert(tag, commit, clone.chain()[-1], model_id=model, **record)
    clone.run("update-ref", reading.HEAD, oid)
    return kinds(clone.audit())


def rollout_record(**changes: Any) -> dict[str, Any]:
    return {"act": "rollout", "status": "staging", "rollout": CANARY, **changes}


def test_a_rollout_that_the_rules_allow_passes_even_by_hand(attacked: Clone) -> None:
    """What the next ones differ from; the audit's documentation says that it is so."""
    assert append(attacked, f"{MODEL}#rollout#11", V2, **rollout_record()) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"rollout": {**CANARY, "percent": 101}},
        {"rollout": {"strategy": "canary"}},
        {"rollout": None},
        {"rollout": [10]},
        {"status": "production"},
        {"status": "development"},
        {"emergency": True, "reason": ""},
    ],
    ids=str,
)
def test_a_linked_rollout_that_the_rules_do_not_know_is_illegal(
    attacked: Clone, changes: dict[str, Any]
) -> None:
    tag = f"{MODEL}#rollout#11"
    assert append(attacked, tag, V2, **rollout_record(**changes)) == {tag: {"illegal"}}


def test_a_linked_rollout_of_production_itself_is_illegal(attacked: Clone) -> None:
    tag = f"{MODEL}#rollout#11"
    assert append(attacked, tag, V3, **rollout_record()) == {tag: {"illegal"}}


def test_a_linked_rollout_of_a_version_that_was_never_staged_is_illegal(attacked: Clone) -> None:
    four = "rec-facenet-v4.0.0"
    attacked.register(four)
    tag = f"{MODEL}#rollout#11"
    found = append(attacked, tag, four, **rollout_record(status="development"))
    assert found == {tag: {"illegal"}}


def test_a_linked_withdrawal_of_what_is_not_on_its_way_is_illegal(attacked: Clone) -> None:
    tag = f"{MODEL}#rollout!#11"
    assert append(attacked, tag, V2, act="withdraw", status="staging") == {tag: {"illegal"}}


def test_gto_shows_who_is_on_the_way_and_that_it_was_taken_back(attacked: Clone) -> None:
    def shown() -> list[str]:
        rows = gto.show(attacked.root, f"{MODEL}#rollout", table=False)
        return [row["version"] for row in rows]

    attacked.add(roll_out(V2, 10))
    assert "v1.1.0" in shown()
    attacked.add(withdraw(V2))
    assert "v1.1.0" not in shown()
    stages = gto.show(attacked.root, table=False)[MODEL]["stage"]
    assert stages["production"] == "v2.0.0"
    told = [(e["ref"], e["event"]) for e in gto.history(attacked.root, MODEL)]
    assert told[:2] == [
        (f"{MODEL}#rollout!#12", "unassignment"), (f"{MODEL}#rollout#11", "assignment"),
    ]  # fmt: skip


# --- Registry.act ----------------------------------------------------------------------------------


def test_what_takes_back_is_done_without_looking_at_the_package(attacked: Clone) -> None:
    """There is no package here at all: neither a commit's files nor a DVC remote."""
    registry = Registry(attacked.repository)
    attacked.add(roll_out(V2, 10))
    assert registry.act(withdraw(V2)).act == "withdraw"
    assert registry.act(promote(V1, reason="v2.0.0 is slow")).act == "rollback"
    assert registry.act(place(V1)).act == "place"
    assert registry.audit() == []


@pytest.mark.parametrize("plan", [roll_out(V2, 10), promote(V2)])
def test_what_brings_on_is_not_done_before_its_evidence_was_seen(
    attacked: Clone, plan: Proposal
) -> None:
    before = attacked.events()
    with pytest.raises(GateError):
        Registry(attacked.repository).act(plan)
    assert attacked.events() == before


def test_what_the_rules_refuse_leaves_no_tag(attacked: Clone) -> None:
    before = attacked.events()
    with pytest.raises(RuleError):
        Registry(attacked.repository).act(withdraw(V2))
    assert attacked.events() == before
