"""What the tags ask for; and, after any legal history, what holds of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples
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
from tests.unit.registry.conftest import (
    ACTOR,
    DETECTOR,
    NOW,
    V1,
    V2,
    V3,
    Ledger,
    again,
    commit_of,
    deprecate,
    move,
    register,
)
from tests.unit.registry.test_state import V1_THERE, V2_THERE, A, B, by_gto

from facemodels.deployment.controller.pending_rollbacks import decide
from facemodels.deployment.desired import desired, terms_of
from facemodels.deployment.rollback import find_rollback
from facemodels.deployment.strategies import STRATEGIES
from facemodels.errors import FacemodelsError
from facemodels.registry import audit
from facemodels.registry.proposals import Proposal
from facemodels.registry.state import STATUSES, State, fold

# --- production ----------------------------------------------------------------------------------


def test_the_version_in_production_gets_everything_and_says_since_when_by_whom_and_why() -> None:
    ledger = beside()
    event = ledger.events[-1]
    [one] = desired(ledger.state, "production").values()
    assert (one.model, one.stable, one.rollout, one.warm) == (MODEL, V1, None, ())
    assert (one.event, one.since, one.by, one.reason) == (
        f"{MODEL}#production#4", event.time, ACTOR, "as planned",
    )  # fmt: skip
    assert (one.task, one.ids, one.shares) == ("recognition", (V1,), {V1: 100})


@pytest.mark.parametrize(
    ("strategy", "percent", "share"),
    [
        ("canary", 10, 10), ("canary", 100, 100), ("canary", 0, 0), ("progressive", 25, 25),
        ("ab", 50, 50), ("blue-green", 0, 0), ("shadow", 100, 0),
    ],
)  # fmt: skip
def test_a_rollouts_answers_reach_clients_unless_it_is_a_shadow_or_waits(
    strategy: str, percent: int, share: int
) -> None:
    [one] = desired(rolled_out(percent, strategy).state, "production").values()
    assert one.rollout is not None
    assert (one.rollout.id, one.rollout.strategy, one.rollout.percent) == (V2, strategy, percent)
    assert (one.rollout.event, one.rollout.by, one.rollout.reason) == (
        f"{MODEL}#rollout#5", ACTOR, "a try",
    )  # fmt: skip
    assert one.shares == {V1: 100 - share, V2: share}
    assert one.ids == (V1, V2)


def test_the_last_rollout_of_a_version_is_the_one_that_counts() -> None:
    ledger = rolled_out(10)
    last = ledger.add(roll_out(V2, 50, "progressive"))
    [one] = desired(ledger.state, "production").values()
    assert one.rollout is not None
    assert (one.rollout.percent, one.rollout.since) == (50, last.time)


def test_the_version_before_is_kept_warm_and_no_other() -> None:
    ledger = beside()
    ledger.add(promote(V2))
    ledger.add(promote(V3))
    [one] = desired(ledger.state, "production").values()
    assert (one.stable, one.warm, one.ids) == (V3, (V2,), (V3, V2))


def test_a_deprecated_version_is_not_kept_warm_the_one_before_it_is() -> None:
    ledger = beside()
    ledger.add(promote(V2))
    ledger.add(promote(V3))
    ledger.add(deprecate(V2))
    assert desired(ledger.state, "production")[MODEL].warm == (V1,)


def test_after_a_rollback_nobody_goes_back_to_the_version_that_was_taken_back() -> None:
    ledger = beside()
    ledger.add(promote(V2))
    back = ledger.add(promote(V1, reason="v1.1.0 is slow"))
    [one] = desired(ledger.state, "production").values()
    assert (one.stable, one.warm, one.reason) == (V1, (), "v1.1.0 is slow")
    assert (one.event, one.since) == (back.tag, back.time)


def test_a_version_that_is_warm_and_on_its_way_runs_once() -> None:
    ledger = beside()
    ledger.add(promote(V2))
    ledger.add(roll_out(V1, 10))
    assert desired(ledger.state, "production")[MODEL].ids == (V2, V1)


def test_nothing_serves_a_model_that_has_left_production() -> None:
    ledger = rolled_out()
    ledger.add(deprecate(V1, retire=True))
    assert desired(ledger.state, "production") == {}


def test_each_model_has_its_own() -> None:
    ledger = beside()
    ledger.add(register(DETECTOR, commit_of(DETECTOR)))
    ledger.add(move(DETECTOR, "staging"))
    ledger.add(move(DETECTOR, "production"))
    found = desired(ledger.state, "production")
    assert {model: one.stable for model, one in found.items()} == {
        "detection-yolov8": DETECTOR, MODEL: V1,
    }  # fmt: skip
    assert found["detection-yolov8"].task == "detection"


# --- staging -------------------------------------------------------------------------------------


def test_staging_serves_whoever_was_put_there_last_and_knows_no_rollout() -> None:
    ledger = rolled_out()
    [one] = desired(ledger.state, "staging").values()
    assert (one.stable, one.rollout, one.warm) == (V3, None, ())
    event = ledger.add(place(V1))
    [one] = desired(ledger.state, "staging").values()
    assert (one.stable, one.event, one.reason) == (V1, event.tag, "to try it")


def test_a_version_stays_in_staging_when_it_goes_to_production_as_well() -> None:
    ledger = staged(V1)
    ledger.add(promote(V1))
    for environment in ("staging", "production"):
        assert desired(ledger.state, environment)[MODEL].stable == V1


def test_an_empty_registry_asks_for_nothing() -> None:
    assert desired(State(), "production") == desired(State(), "staging") == {}


# --- tags that are not ours --------------------------------------------------------------------


def test_a_rollout_by_gto_gets_no_traffic() -> None:
    acts = [V1_THERE, V2_THERE, (f"{MODEL}#production#1", A), (f"{MODEL}#rollout#2", B)]
    [one] = desired(fold(by_gto(*acts)), "production").values()
    assert one.rollout is not None
    assert (one.rollout.id, one.shares) == (V2, {V1: 100, V2: 0})


@pytest.mark.parametrize(
    "terms",
    [
        {}, [], None, "canary", {"strategy": "canary"}, {"percent": 50},
        {"strategy": "canary", "percent": 101}, {"strategy": "canary", "percent": True},
        {"strategy": "all", "percent": 50}, {"strategy": ["canary"], "percent": 50},
    ],
    ids=str,
)  # fmt: skip
def test_a_forged_rollout_gets_no_traffic(terms: Any) -> None:
    event = again(rolled_out(10).events[-1], record={"rollout": terms})
    assert terms_of(event) == {"strategy": "blue-green", "percent": 0}


TAGS = st.lists(
    st.tuples(
        st.sampled_from(
            ["@v1.0.0", "@v1.1.0", "@v1.0.0!", "#staging", "#production", "#production",
             "#rollout", "#rollout", "#rollout!", "#staging!", "#production!", "#deprecated",
             "@deprecated", "#QA"]
        ),
        st.sampled_from([A, B]),
    ),
    max_size=14,
)  # fmt: skip


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(TAGS)
def test_whatever_tags_there_are_shares_sum_to_100_and_what_serves_is_registered(
    made: list[tuple[str, str]],
) -> None:
    """GTO lets happen what the rules do not; the audit names it, and the plan survives it."""
    start = [V1_THERE, V2_THERE, (f"{MODEL}#production#1", A)]
    rest = [(f"{MODEL}{act}#{place}", at) for place, (act, at) in enumerate(made, 2)]
    now = fold(by_gto(*start, *rest))
    for environment in ("production", "staging"):
        for one in desired(now, environment).values():
            assert set(one.ids) <= set(now.entries)
            assert sum(one.shares.values()) == 100
            assert one.rollout is None or one.rollout.id != one.stable
            assert one.stable not in one.warm


# --- random legal histories ----------------------------------------------------------------------

FAMILIES = {"rec-facenet": MODEL, "det-yolov8": "detection-yolov8"}
ACTS = (
    "rollout", "rollout", "step", "withdraw", "withdraw", "complete", "production", "place",
    "register", "staging", "rollout", "withdraw", "urgent rollout", "emergency", "deprecated",
    "retire",
)  # fmt: skip
MOVES = st.lists(
    st.tuples(
        st.sampled_from(sorted(FAMILIES)), st.integers(1, 4), st.sampled_from(ACTS),
        st.sampled_from(STRATEGIES[1:]), st.integers(0, 100),
    ),
    min_size=25,
    max_size=60,
)  # fmt: skip


ENDS = {"step": "rollout", "withdraw": "withdraw", "complete": "production"}


def plan_of(model: str, act: str, strategy: str, percent: int) -> Proposal:
    space = "b" if "-v4." in model else "a"
    return {
        "register": register(model, commit_of(model), interface={"embedding_space": space}),
        "place": place(model),
        "production": promote(model),
        "emergency": promote(model, emergency=True, re_enrolment="in March"),
        "rollout": roll_out(model, percent, strategy),
        "urgent rollout": roll_out(
            model, percent, strategy, emergency=True, re_enrolment="in March"
        ),
        "withdraw": withdraw(model),
        "retire": deprecate(model, retire=True),
    }.get(act) or move(model, act)  # type: ignore[arg-type]


def play(moves: list[tuple[str, int, str, str, int]]) -> Iterator[Ledger]:
    """The history after each act that was legal; the first versions are there from the start."""
    ledger = Ledger()
    for family in FAMILIES:
        for number in (1, 2):
            model = f"{family}-v{number}.0.0"
            for act in ("register", "staging"):
                ledger.add(plan_of(model, act, "", 0))
        ledger.add(promote(f"{family}-v1.0.0"))
    yield ledger
    for family, number, act, strategy, percent in moves:
        model = f"{family}-v{number}.0.0"
        if act in ENDS:  # they speak of whoever is on the way
            model = candidate(ledger.state, FAMILIES[family]) or model
        with suppress(FacemodelsError):
            ledger.add(plan_of(model, ENDS.get(act, act), strategy, percent))
            yield ledger


def check_what_shall_serve(now: State) -> None:
    statuses = {entry.id: entry.status for entry in now.entries.values()}
    assert set(statuses.values()) <= set(STATUSES)
    running = [entry.model for entry in now.entries.values() if entry.status == "production"]
    assert sorted(running) == sorted(now.production)  # one a model, not more
    for environment in ("production", "staging"):
        for model, one in desired(now, environment).items():
            assert {statuses.get(identity) for identity in one.ids} <= {
                "production", "staging", "development",
            }  # fmt: skip
            assert sum(one.shares.values()) == 100
            assert min(one.shares.values()) >= 0
            assert one.stable not in one.warm
            assert (one.rollout is not None) == (
                environment == "production" and model in now.rollouts
            )
            assert one.rollout is None or one.rollout.id != one.stable
            assert one.event in {event.tag for event in now.events}


def check_every_way_back(ledger: Ledger) -> None:
    now = ledger.state
    for family, model in FAMILIES.items():
        for to_version in (None, "1.0.0", "2.0.0", "3.0.0", "4.0.0"):
            try:
                found = find_rollback(now, model, to_version)
            except FacemodelsError:
                continue
            assert to_version is None or found.to == f"{family}-v{to_version}"
            after = Ledger()
            after.events = list(ledger.events)
            after.add(found.proposal("it fails"))
            assert audit.audit(after.events, after.head) == []
            then = desired(after.state, "production")[model]
            assert (then.stable, then.rollout) == (found.to, None)
            assert found.taken_back not in (found.to, *then.shares)
            decision = decide(now, found, reason="it fails", time=NOW, record={})
            early = decision.overrule(desired(now, "production")[model])
            assert (early.stable, early.rollout) == (then.stable, None)
            named = to_version or found.withdrawn
            assert named or found.taken_back not in then.warm
            assert (decision.holds(now), decision.holds(after.state)) == (True, False)


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(MOVES)
def test_any_legal_history_asks_for_something_that_can_be_served_and_taken_back(
    moves: list[tuple[str, int, str, str, int]],
) -> None:
    for turn, ledger in enumerate(play(moves)):
        check_what_shall_serve(ledger.state)
        if turn % 6 == 0:
            check_every_way_back(ledger)
    assert audit.audit(ledger.events, ledger.head) == []
    assert audit.audit(ledger.events, None) == []
    check_every_way_back(ledger)


def test_the_random_histories_hold_every_act() -> None:
    """Else the property above would say nothing of the acts that were always refused."""
    seen: set[str] = set()

    @settings(max_examples=examples(100), deadline=None, derandomize=True, database=None)
    @given(MOVES)
    def collect(moves: list[tuple[str, int, str, str, int]]) -> None:
        ledger = list(play(moves))[-1]
        seen.update(event.act for event in ledger.events)

    collect()
    assert seen == {
        "register", "promote", "rollback", "deprecate", "place", "rollout", "withdraw",
    }  # fmt: skip


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(moves=MOVES, data=st.data())
def test_a_rollout_forged_anywhere_in_a_legal_history_is_named_alone(
    moves: list[tuple[str, int, str, str, int]], data: st.DataObject
) -> None:
    ledger = list(play(moves))[-1]
    found = [event for event in ledger.events if event.act in ("rollout", "withdraw", "place")]
    if not found:
        return
    event = data.draw(st.sampled_from(found))
    forged = data.draw(
        st.sampled_from(
            [
                again(event, record={"rollout": {"strategy": "canary", "percent": 99, "x": 1}}),
                again(event, record={"reason": "forged"}),
                again(event, record={"emergency": "yes"}),
                replace(event, record=None, inner_tag=""),
                None,
            ]
        )
    )
    rest = [other for other in ledger.events if other is not event]
    attacked = rest if forged is None else [*rest, forged]
    findings = audit.audit(attacked, ledger.head, {event.object: event})
    assert {finding.tag for finding in findings} == {event.tag}
