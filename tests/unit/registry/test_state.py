"""What events add up to, those of GTO included."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.errors import InputError, NameFormatError
from facemodels.registry import state, tag_names
from facemodels.registry.events import Event, to_text
from facemodels.registry.state import State, fold, production_history, production_line, went_back

from .conftest import NOW, V1, V2, V3, Ledger, commit_of, deprecate, move, register

A, B = "a" * 40, "b" * 40
MODEL = "recognition-facenet"


def by_gto(*acts: tuple[str, str]) -> list[Event]:
    """Tags with a message in words, a second apart: (tag, commit)."""
    made = []
    for number, (tag, commit) in enumerate(acts):
        name = tag_names.parse(tag)
        assert name is not None
        oid = f"{number:040x}"
        made.append(Event(tag, name, oid, commit, tag, "G <g@x>", NOW + number, None, "By gto.\n"))
    return made


def statuses(folded: State) -> dict[str, str]:
    return {identity: entry.status for identity, entry in folded.entries.items()}


V1_THERE = (f"{MODEL}@v1.0.0", A)
V2_THERE = (f"{MODEL}@v1.1.0", B)


def test_a_registered_version_is_in_development() -> None:
    assert statuses(fold(by_gto(V1_THERE))) == {V1: "development"}


def test_a_stage_speaks_of_the_version_at_its_commit() -> None:
    folded = fold(by_gto(V1_THERE, V2_THERE, (f"{MODEL}#staging#1", B)))
    assert statuses(folded) == {V1: "development", V2: "staging"}


@pytest.mark.parametrize("stage", ["staging", "production", "deprecated"])
def test_a_stage_without_a_version_changes_nothing_and_is_kept(stage: str) -> None:
    made = by_gto((f"{MODEL}#{stage}#1", B), V1_THERE)
    folded = fold(made)
    assert statuses(folded) == {V1: "development"}
    assert folded.production == {}
    assert folded.events == made
    assert folded.id_of(made[0]) is None


def test_a_version_that_only_gto_has_a_name_for_is_kept_and_changes_nothing() -> None:
    made = by_gto(V1_THERE, (f"{MODEL}@v9.0.0-rc.1", A), (f"{MODEL}@created", A))
    folded = fold(made)
    assert statuses(folded) == {V1: "development"}
    assert folded.events == made
    assert folded.entry(V1).events == made[:1]


def test_a_stage_of_another_model_at_the_same_commit_is_not_ours() -> None:
    folded = fold(by_gto(V1_THERE, ("detection-yolov8#production#1", A)))
    assert statuses(folded) == {V1: "development"}


def test_a_teams_own_stage_leaves_the_status_as_it_is() -> None:
    folded = fold(by_gto(V1_THERE, (f"{MODEL}#staging#1", A), (f"{MODEL}#QA_eu#2", A)))
    assert statuses(folded) == {V1: "staging"}
    assert [event.tag for event in folded.entry(V1).events][-1] == f"{MODEL}#QA_eu#2"


def test_who_comes_into_production_sends_the_one_before_back_to_staging() -> None:
    folded = fold(
        by_gto(V1_THERE, V2_THERE, (f"{MODEL}#production#1", A), (f"{MODEL}#production#2", B))
    )
    assert statuses(folded) == {V1: "staging", V2: "production"}
    assert folded.production == {MODEL: V2}


def test_of_two_stages_at_once_production_counts_until_it_is_taken() -> None:
    acts = [V1_THERE, (f"{MODEL}#production#1", A), (f"{MODEL}#staging#2", A)]
    assert statuses(fold(by_gto(*acts))) == {V1: "production"}
    acts.append((f"{MODEL}#production!#3", A))
    folded = fold(by_gto(*acts))
    assert statuses(folded) == {V1: "staging"}
    assert folded.production == {}


def test_a_stage_that_was_taken_does_not_come_back() -> None:
    acts = [
        V1_THERE, (f"{MODEL}#staging#1", A), (f"{MODEL}#production#2", A),
        (f"{MODEL}#staging!#3", A),
    ]  # fmt: skip
    assert statuses(fold(by_gto(*acts))) == {V1: "production"}
    acts.append((f"{MODEL}#production!#4", A))
    assert statuses(fold(by_gto(*acts))) == {V1: "development"}


def test_taking_a_stage_that_a_version_has_not_changes_nothing() -> None:
    acts = [V1_THERE, (f"{MODEL}#staging#1", A), (f"{MODEL}#production!#2", A)]
    assert statuses(fold(by_gto(*acts))) == {V1: "staging"}


def test_a_version_taken_from_staging_is_in_development() -> None:
    acts = [V1_THERE, (f"{MODEL}#staging#1", A), (f"{MODEL}#staging!#2", A)]
    assert statuses(fold(by_gto(*acts))) == {V1: "development"}


def test_a_deregistered_version_is_gone_and_leaves_production() -> None:
    acts = [V1_THERE, (f"{MODEL}#production#1", A), (f"{MODEL}@v1.0.0!#2", A)]
    folded = fold(by_gto(*acts))
    assert (folded.entries, folded.production) == ({}, {})
    assert folded.id_at(MODEL, A) is None
    with pytest.raises(InputError, match="registered no more"):
        folded.entry(V1)


def test_a_version_deregistered_leaves_the_other_at_its_commit_where_it_is() -> None:
    acts = [V1_THERE, (f"{MODEL}@v1.1.0", A), (f"{MODEL}@v1.1.0!#1", A), (f"{MODEL}#staging#2", A)]
    assert statuses(fold(by_gto(*acts))) == {V1: "staging"}


def test_a_version_can_be_registered_again_after_it_was_deregistered() -> None:
    acts = [
        V1_THERE,
        (f"{MODEL}@v1.0.0!#1", A),
        (f"{MODEL}@v1.0.0#2", B),
        (f"{MODEL}#staging#3", B),
    ]
    assert statuses(fold(by_gto(*acts))) == {V1: "staging"}


def test_a_second_registration_of_a_version_does_not_replace_the_first() -> None:
    folded = fold(by_gto(V1_THERE, (f"{MODEL}@v1.0.0#2", B)))
    assert folded.entry(V1).event.commit == A


def test_a_deprecated_model_has_nothing_in_production() -> None:
    acts = [
        V1_THERE, ("detection-yolov8@v1.0.0", A), ("detection-yolov8#production#1", A),
        (f"{MODEL}#production#1", A), (f"{MODEL}@deprecated", B), V2_THERE,
    ]  # fmt: skip
    folded = fold(by_gto(*acts))
    assert folded.production == {"detection-yolov8": "det-yolov8-v1.0.0"}
    assert folded.entry(V1).status == "deprecated"
    assert folded.entry(V2).status == "development"  # registered afterwards


def test_the_past_is_the_state_of_the_events_until_then(ledger: Ledger) -> None:
    for plan in (register(V1, A), move(V1, "staging"), move(V1, "production")):
        ledger.add(plan)
    times = [event.time for event in ledger.events]
    past = [statuses(fold(ledger.events, until=moment)) for moment in [times[0] - 1, *times]]
    assert past == [{}, {V1: "development"}, {V1: "staging"}, {V1: "production"}]


def test_events_of_one_second_count_by_their_place_in_the_chain(ledger: Ledger) -> None:
    names = [f"{MODEL}#staging#2", f"{MODEL}#production#10", f"{MODEL}@v1.0.0"]
    made = [
        Event(tag, name, str(n), A, tag, "", NOW, None, "")
        for n, tag in enumerate(names)
        if (name := tag_names.parse(tag))
    ]
    assert [event.tag for event in state.order(made)] == [names[2], names[0], names[1]]


def test_the_history_of_production_names_every_time_of_every_version(ledger: Ledger) -> None:
    for plan in (
        register(V1, A), move(V1, "staging"), move(V1, "production"),
        register(V2, B), move(V2, "staging"), move(V2, "production"), move(V1, "production"),
    ):  # fmt: skip
        ledger.add(plan)
    assert [identity for _, identity in production_history(ledger.state, MODEL)] == [V1, V2, V1]
    last = ledger.state.last(MODEL)
    assert last is ledger.events[-1]
    assert ledger.state.last("landmark-dlib") is None


def test_a_way_back_takes_off_what_came_after_and_the_next_one_goes_further_back(
    ledger: Ledger,
) -> None:
    c = "c" * 40
    for version, commit in ((V1, A), (V2, B), (V3, c)):
        for plan in (
            register(version, commit),
            move(version, "staging"),
            move(version, "production"),
        ):
            ledger.add(plan)
    lines = [(production_line(ledger.state, MODEL), went_back(ledger.state, MODEL))]
    for version in (V2, V3, V1, V3):
        ledger.add(move(version, "production"))
        lines.append((production_line(ledger.state, MODEL), went_back(ledger.state, MODEL)))
    assert lines == [
        ([V1, V2, V3], False),
        ([V1, V2], True),
        ([V1, V2, V3], False),  # once more, after it was taken back
        ([V1], True),
        ([V1, V3], False),
    ]


def test_an_entry_as_json_has_the_guides_keys_and_the_recorded_facts(ledger: Ledger) -> None:
    facts = {"storage_path": "s3://m", "parent_version": "1.0.0", "created_at": "2026-01-01"}
    ledger.add(register(V1, A, changelog="Faster.", **facts))
    ledger.add(move(V1, "staging"))
    ledger.add(move(V1, "production"))
    told = ledger.state.entry(V1).as_json()
    assert told == {
        "model_id": V1, "name": MODEL, "version": "1.0.0", "status": "production",
        "deployed_at": to_text(ledger.events[-1].time), "metrics": {"accuracy": 0.99},
        "tags": ["edge"], "changelog": "Faster.", **facts,
    }  # fmt: skip


def test_an_entry_of_gto_as_json_says_what_its_tag_says() -> None:
    told = fold(by_gto(V1_THERE)).entry(V1).as_json()
    assert told["changelog"] == "By gto."
    assert (told["created_at"], told["deployed_at"]) == (to_text(NOW), None)
    assert (told["metrics"], told["tags"], told["storage_path"]) == ({}, [], "")


@pytest.mark.parametrize("text", ["rec-facenet-v1.0.0; rm -rf /", "../x", "", "rec-facenet"])
def test_an_entry_is_asked_for_by_a_strict_id(text: str) -> None:
    with pytest.raises(NameFormatError):
        State().entry(text)


def test_versions_of_a_model_come_in_the_order_of_their_numbers(ledger: Ledger) -> None:
    for version in ("1.10.0", "1.9.0", "1.9.0-gpu", "0.1.0"):
        identity = f"rec-facenet-v{version}"
        ledger.add(register(identity, commit_of(identity)))
    found = [entry.id.removeprefix("rec-facenet-v") for entry in ledger.state.of_model(MODEL)]
    assert found == ["0.1.0", "1.9.0", "1.9.0-gpu", "1.10.0"]


tag_texts = st.builds(
    "{}{}".format,
    st.sampled_from([MODEL, "detection-yolov8"]),
    st.sampled_from(
        ["@v1.0.0", "@v1.0.0!", "@v1.1.0", "@v1.0.0#7", "@deprecated", "#staging#1", "#staging!#2",
         "#production#3", "#production!#4", "#deprecated#5", "#deprecated!#6", "#development#7",
         "#qa#8"]
    ),
)  # fmt: skip


@settings(max_examples=examples(300), deadline=None, derandomize=True)
@given(st.lists(st.tuples(tag_texts, st.sampled_from([A, B])), max_size=15))
def test_any_tags_at_all_add_up_to_at_most_one_production_version_a_model(
    acts: list[tuple[str, str]],
) -> None:
    folded = fold(by_gto(*acts))
    running = {e.id for e in folded.entries.values() if e.status == "production"}
    assert running == set(folded.production.values())
    assert all(
        folded.entries[identity].model == model for model, identity in folded.production.items()
    )
    assert len(folded.events) == len(acts)
    for identity, entry in folded.entries.items():
        assert identity == entry.id
        assert entry.as_json()["status"] in state.STATUSES


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(st.lists(st.tuples(tag_texts, st.sampled_from([A, B])), max_size=12), st.randoms())
def test_the_order_in_which_tags_are_read_does_not_matter(acts, random) -> None:  # type: ignore[no-untyped-def]
    made = by_gto(*acts)
    shuffled = list(made)
    random.shuffle(shuffled)
    assert statuses(fold(shuffled)) == statuses(fold(made))


def test_deprecating_a_version_in_production_leaves_none_there(ledger: Ledger) -> None:
    for plan in (register(V1, A), move(V1, "staging"), move(V1, "production")):
        ledger.add(plan)
    ledger.add(deprecate(V1, retire=True))
    assert ledger.state.production == {}
