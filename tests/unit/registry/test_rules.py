"""Which moves are legal: every pair of statuses, and random walks against a second model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.errors import FacemodelsError, InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.events import to_text
from facemodels.registry.policy import role_of
from facemodels.registry.state import STATUSES, Status

from .conftest import V1, V2, Ledger, commit_of, deprecate, move, register

WAY: dict[str, list[Status]] = {
    "development": [],
    "staging": ["staging"],
    "production": ["staging", "production"],
    "deprecated": ["staging", "deprecated"],
}


def in_status(status: str) -> Ledger:
    ledger = Ledger()
    ledger.add(register(V1, commit_of(V1)))
    for step in WAY[status]:
        ledger.add(move(V1, step))
    return ledger


@pytest.mark.parametrize("target", STATUSES)
@pytest.mark.parametrize("source", STATUSES)
def test_only_the_steps_of_the_way_are_legal(source: str, target: Status) -> None:
    ledger = in_status(source)
    legal = {
        ("development", "staging"), ("staging", "production"), ("development", "deprecated"),
        ("staging", "deprecated"),
    }  # fmt: skip
    if (source, target) in legal:
        ledger.add(move(V1, target))
        assert ledger.state.entry(V1).status == target
        return
    before = list(ledger.events)
    with pytest.raises((RuleError, InputError)) as refused:
        ledger.add(move(V1, target))
    assert refused.value.remedy
    assert ledger.events == before


@pytest.mark.parametrize("status", ["", "Production", "canary", "none"])
def test_there_are_no_other_statuses(status: str) -> None:
    for source in STATUSES:
        with pytest.raises(FacemodelsError):
            in_status(source).add(move(V1, status))  # type: ignore[arg-type]


def test_a_version_is_registered_once_and_each_has_its_own_commit() -> None:
    ledger = in_status("development")
    with pytest.raises(InputError, match="registered already"):
        ledger.add(register(V1, "b" * 40))
    with pytest.raises(RuleError, match="its own commit"):
        ledger.add(register(V2, commit_of(V1)))
    ledger.add(register("det-yolov8-v1.0.0", commit_of(V1)))


def test_what_is_not_registered_cannot_be_moved() -> None:
    with pytest.raises(InputError, match="not registered"):
        Ledger().add(move(V1, "staging"))


def promoted() -> Ledger:
    ledger = in_status("production")
    ledger.add(register(V2, commit_of(V2)))
    ledger.add(move(V2, "staging"))
    ledger.add(move(V2, "production", reason=""))
    return ledger


def test_going_back_to_a_version_that_was_in_production_is_a_rollback_with_a_reason() -> None:
    ledger = promoted()
    with pytest.raises(InputError, match="needs a reason"):
        ledger.add(move(V1, "production", reason=""))
    event = ledger.add(move(V1, "production", reason="v1.1.0 is slow"))
    assert (event.act, event.tag) == ("rollback", "recognition-facenet#production#5")
    assert ledger.state.production == {"recognition-facenet": V1}
    assert ledger.state.entry(V2).status == "staging"
    assert ledger.add(move(V2, "production")).act == "promote"  # it was taken back: a new try


def test_a_deprecation_needs_a_reason_and_production_must_be_retired_on_purpose() -> None:
    ledger = in_status("production")
    with pytest.raises(InputError, match="needs a reason"):
        ledger.add(lambda now: rules.deprecate(now, ModelId.parse(V1), reason="", retire=True))
    with pytest.raises(RuleError, match="--retire"):
        ledger.add(deprecate(V1))
    event = ledger.add(deprecate(V1, retire=True))
    assert event.record is not None
    assert event.record["retire"] is True
    said = f"deprecated already: {event.tagger} did that on {to_text(event.time)}"
    with pytest.raises(InputError, match=said):
        ledger.add(deprecate(V1, retire=True))


def test_another_embedding_space_needs_a_plan_for_the_galleries() -> None:
    ledger = Ledger()
    for model, space in ((V1, "a"), (V2, "b")):
        ledger.add(register(model, commit_of(model), interface={"embedding_space": space}))
        ledger.add(move(model, "staging"))
    ledger.add(move(V1, "production"))
    with pytest.raises(RuleError, match="galleries become useless"):
        ledger.add(move(V2, "production"))
    plan = "everyone enrols again in March"
    event = ledger.add(
        lambda now: rules.move(now, ModelId.parse(V2), "production", reason="", re_enrolment=plan)
    )
    assert event.record is not None
    assert event.record["re_enrolment"] == plan
    with pytest.raises(RuleError, match="galleries become useless"):
        ledger.add(move(V1, "production"))  # back is as far as there


def test_registering_asks_for_one_role_and_every_other_act_for_the_other() -> None:
    roles = {act: role_of(act) for act in ("register", "promote", "rollback", "deprecate")}
    assert roles.pop("register") == "register"
    assert set(roles.values()) == {"promote"}


def test_a_version_that_was_deregistered_is_not_registered_under_the_same_tag() -> None:
    from facemodels.registry.state import fold

    from .test_state import V1_THERE, A, by_gto

    folded = fold(by_gto(V1_THERE, ("recognition-facenet@v1.0.0!#1", A)))
    taken = {event.tag for event in folded.events}
    try:
        change = register(V1, "b" * 40)(folded)
    except FacemodelsError:
        return
    assert change.tag not in taken


acts = st.lists(
    st.tuples(
        st.sampled_from(["rec-facenet", "det-yolov8"]), st.integers(1, 3),
        st.sampled_from(["register", *STATUSES, "production", "retire"]), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


class Walk:
    """The rules once more, as a table of statuses; knows nothing of tags."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.ran: set[str] = set()

    def allows(self, model: str, act: str, reason: str) -> bool:
        now = self.status.get(model)
        if act == "register":
            return now is None
        if now is None or now == "deprecated":
            return False
        if act == "staging":
            return now == "development"
        if act == "production":
            return now == "staging" and (model not in self.ran or bool(reason))
        if act == "deprecated":
            return now != "production" and bool(reason)
        return act == "retire" and bool(reason)

    def do(self, model: str, act: str) -> None:
        if act == "production":
            family = model.split("-v", maxsplit=1)[0]
            for other, status in self.status.items():
                if other.startswith(family) and status == "production":
                    self.status[other] = "staging"
            self.ran.add(model)
        self.status[model] = {"register": "development", "retire": "deprecated"}.get(act, act)


@settings(max_examples=examples(200), deadline=None, derandomize=True)
@given(acts)
def test_random_walks_keep_to_the_table_and_refusals_change_nothing(
    walk: list[tuple[str, int, str, bool]],
) -> None:
    ledger, table = Ledger(), Walk()
    for family, number, act, with_reason in walk:
        model, reason = f"{family}-v{number}.0.0", "because" if with_reason else ""
        identity = ModelId.parse(model)
        before, refusal = ledger.head, None
        try:
            if act == "register":
                ledger.add(register(model, commit_of(model)))
            elif act == "retire":
                ledger.add(
                    lambda now, i=identity, r=reason: rules.deprecate(now, i, reason=r, retire=True)
                )
            else:
                ledger.add(move(model, act, reason=reason))  # type: ignore[arg-type]
        except FacemodelsError as error:
            refusal = error
        assert (refusal is None) == table.allows(model, act, reason), f"{act} {model}: {refusal}"
        if refusal is None:
            table.do(model, act)
        else:
            assert refusal.remedy
            assert ledger.head == before
        now = ledger.state
        assert {entry.id: entry.status for entry in now.entries.values()} == table.status
        running = [entry.model for entry in now.entries.values() if entry.status == "production"]
        assert len(running) == len(set(running))
        assert set(now.production) == set(running)
    names = [event.tag for event in ledger.events]
    assert len(names) == len(set(names))
