"""Attacks on real registries with real git commands, and on many more without Git."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bounded import bounded, examples

from facemodels.errors import IntegrityError
from facemodels.registry import audit, reading
from facemodels.registry.audit import AuditFinding
from facemodels.registry.events import Event
from facemodels.registry.policy import RegistryPolicy

from .conftest import (
    NOW,
    V2,
    V3,
    Clone,
    Ledger,
    again,
    commit_of,
    each,
    kinds,
    move,
    play,
    start,
    tagged,
    write,
)

FIRST = "recognition-facenet@v1.0.0"
STAGED = "recognition-facenet#staging#1"
MIDDLE = "recognition-facenet#production#4"  # v1.1.0 goes to production
LAST = "recognition-facenet@v2.0.0"
OTHER = "detection-yolov8@v1.0.0"


def both(clone: Clone) -> list[list[AuditFinding]]:
    """What is found where the old objects still are, and where they are not."""
    return [clone.audit(), clone.fresh().audit()]


def test_a_registry_that_nobody_attacked_has_no_finding(clone: Clone) -> None:
    assert len(clone.events()) == 11
    assert both(clone) == [[], []]


def test_an_empty_registry_has_no_finding(empty: Clone) -> None:
    assert empty.audit() == []


# --- deleted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gone",
    [
        [FIRST], [MIDDLE], [LAST], [OTHER], [FIRST, MIDDLE], [STAGED, MIDDLE, LAST],
        [FIRST, OTHER, MIDDLE, LAST],
    ],
    ids=len,
)  # fmt: skip
def test_deleted_tags_are_named_and_no_others(clone: Clone, gone: list[str]) -> None:
    clone.run("tag", "--delete", *gone)
    for findings in both(clone):
        assert kinds(findings) == each(gone, "deleted")


def test_of_a_row_of_deleted_tags_the_original_objects_name_each(clone: Clone) -> None:
    row = [event.tag for event in clone.chain()[2:6]]
    clone.run("tag", "--delete", *row)
    assert kinds(clone.audit()) == each(row, "deleted")


def test_of_a_row_of_deleted_tags_the_chain_names_the_last_and_counts_the_others(
    clone: Clone,
) -> None:
    row = [event.tag for event in clone.chain()[2:6]]
    clone.run("tag", "--delete", *row)
    [finding] = clone.fresh().audit()
    assert (finding.kind, finding.tag) == ("deleted", row[-1])
    assert "3 before it are gone without a name" in finding.text


def test_all_tags_deleted_but_one_still_shows(clone: Clone) -> None:
    gone = [event.tag for event in clone.chain()[:-1]]
    clone.run("tag", "--delete", *gone)
    assert kinds(clone.audit()) == each(gone, "deleted")
    [finding] = clone.fresh().audit()
    assert (finding.kind, finding.tag) == ("deleted", gone[-1])


def test_all_tags_deleted_shows_by_the_head(clone: Clone) -> None:
    gone = list(clone.events())
    clone.run("tag", "--delete", *gone)
    assert kinds(clone.audit()) == each(gone, "deleted")


# --- moved, re-dated, forged -------------------------------------------------------------------


@pytest.mark.parametrize("tag", [FIRST, MIDDLE, LAST])
def test_a_tag_moved_to_another_commit_is_named(clone: Clone, tag: str) -> None:
    clone.rewrite(tag, commit=clone.commit())
    for findings in both(clone):
        assert set(kinds(findings)) == {tag}
        assert "moved" in kinds(findings)[tag]


def test_a_tag_moved_with_its_record_is_known_by_the_original(clone: Clone) -> None:
    commit = clone.commit()
    clone.rewrite(MIDDLE, commit=commit, record={"commit": commit})
    assert kinds(clone.audit()) == {MIDDLE: {"moved"}}
    assert kinds(clone.fresh().audit()) == {MIDDLE: {"rewritten"}}


@pytest.mark.parametrize("tag", [FIRST, MIDDLE, LAST])
def test_a_tag_with_another_date_is_named(clone: Clone, tag: str) -> None:
    clone.rewrite(tag, seconds=NOW - 86_400)
    for findings in both(clone):
        assert set(kinds(findings)) == {tag}
        assert "re-dated" in kinds(findings)[tag]


@pytest.mark.parametrize("tag", [FIRST, MIDDLE, LAST])
@pytest.mark.parametrize("days", [-1, 1])
def test_a_tag_with_another_date_in_its_record_too_is_named(
    clone: Clone, tag: str, days: int
) -> None:
    day = NOW + days * 86_400
    text = f"{'2025-12-31' if days < 0 else '2026-01-02'}T00:00:00Z"
    clone.rewrite(tag, seconds=day, record={"time": text})
    assert "re-dated" in kinds(clone.audit())[tag]
    fresh = clone.fresh().audit()
    assert set(kinds(fresh)) == set(kinds(clone.audit())) == {tag}
    assert kinds(fresh)[tag] & {"rewritten", "re-dated"}


@pytest.mark.parametrize("tag", bounded((FIRST, MIDDLE, LAST), (MIDDLE,)))
@pytest.mark.parametrize(
    "record",
    [
        {"reason": "nothing to see here"},
        {"evidence": {"package": "sha256:" + "0" * 64}},
        {"entry": {"metrics": {"accuracy": 1.0}}},
        {"sequence": 77},
        {"previous": {"tag": LAST, "object": "0" * 40}},
        {"previous": {"tag": LAST, "object": "0" * 40}, "sequence": 6},
        {"previous": None},
    ],
    ids=str,
)
def test_an_edited_record_is_named(clone: Clone, tag: str, record: dict[str, object]) -> None:
    clone.rewrite(tag, record=record)
    changed = tag != FIRST or "previous" not in record or record["previous"] is not None
    for findings, kind in zip(both(clone), ["forged", "rewritten"], strict=True):
        if changed:
            assert set(kinds(findings)) == {tag}
            assert kinds(findings)[tag] & {kind, "forged"}
        else:
            assert findings == []  # the first names no event before it anyway


@pytest.mark.parametrize("tag", bounded((FIRST, MIDDLE, LAST), (MIDDLE,)))
@pytest.mark.parametrize("record", [None, {"actor": "Mallory <test@example.invalid>"}], ids=str)
def test_a_tag_of_another_tagger_is_named(
    clone: Clone, tag: str, record: dict[str, object] | None
) -> None:
    clone.rewrite(tag, who="Mallory", record=record)
    for findings in both(clone):
        assert set(kinds(findings)) == {tag}
        assert kinds(findings)[tag] & {"forged", "rewritten"}


def test_an_actor_who_is_not_the_tagger_is_named(clone: Clone) -> None:
    clone.rewrite(MIDDLE, record={"actor": "Somebody <else@example.invalid>"})
    assert kinds(clone.fresh().audit()) == {MIDDLE: {"forged", "rewritten"}}


@pytest.mark.parametrize("message", ["", "{}", "[]", "Registered.", "{" * 5000])
def test_a_record_replaced_by_words_is_named(clone: Clone, message: str) -> None:
    clone.tag(MIDDLE, clone.events()[MIDDLE].commit, message or "\n", seconds=NOW + 6)
    assert "inserted" in kinds(clone.audit())[MIDDLE]
    assert set(kinds(clone.fresh().audit())) == {MIDDLE}


def test_a_record_of_a_broken_shape_is_named_and_does_no_harm(clone: Clone) -> None:
    shapes: list[dict[str, object]] = [
        {"entry": []},
        {"entry": {"interface": [1]}},
        {"previous": {"tag": 1, "object": "--help"}},
        {"previous": {"tag": "x", "object": "--batch"}},
        {"commit": "../../etc/passwd"},
        {"model_id": "rec-../../x-v1.0.0"},
        {"status": "none"},
        {"act": "own"},
        {"time": ""},
    ]
    for record in shapes:
        clone.rewrite(LAST, record=record)
        clone.repository.state()
        assert set(kinds(clone.audit())) == {LAST}, record


# --- inserted, renamed -------------------------------------------------------------------------


def test_a_tag_that_gto_made_is_inserted(clone: Clone) -> None:
    gto = pytest.importorskip("gto.api")
    gto.register(clone.root, "recognition-facenet", clone.commit(), version="v3.0.0")
    gto.assign(clone.root, "recognition-facenet", "production", version="v3.0.0")
    for findings in both(clone):
        made = ["recognition-facenet@v3.0.0", "recognition-facenet#production#7"]
        assert kinds(findings) == each(made, "inserted")


def test_tags_in_words_and_lightweight_tags_are_inserted(clone: Clone) -> None:
    tags = (
        "recognition-facenet@v9.0.0", "recognition-facenet@v9.0.0!", "recognition-facenet@v9.0.0#9",
        "recognition-facenet#production#99", "recognition-facenet#production!#99",
        "recognition-facenet#QA_eu", "recognition-facenet@v9.0.0-rc.1", "recognition-facenet@created",
        "recognition-facenet@v1000000.0.0", "recognition-facenet#production#12345678901",
        "recognition-facenet@deprecated", "landmark-dlib@v1.0.0",
    )  # fmt: skip
    for tag in tags:
        clone.run("tag", "--annotate", "--message=by hand", tag)
    assert [kinds(findings) for findings in both(clone)] == [each(tags, "inserted")] * 2
    for tag in tags:
        clone.run("tag", "--force", tag)
    assert [kinds(findings) for findings in both(clone)] == [each(tags, "inserted")] * 2


def test_a_record_that_forks_the_chain_is_inserted(clone: Clone) -> None:
    before = clone.events()[MIDDLE]
    clone.insert("recognition-facenet@v9.0.0", clone.commit(), before)
    for findings in both(clone):
        assert kinds(findings) == {"recognition-facenet@v9.0.0": {"inserted"}}


def test_a_branch_that_forks_the_chain_is_inserted_as_a_whole(clone: Clone) -> None:
    clone.insert("landmark-dlib@v1.0.0", clone.commit(), clone.events()[FIRST])
    clone.insert("landmark-dlib@v2.0.0", clone.commit(), clone.events()["landmark-dlib@v1.0.0"])
    inserted = {"landmark-dlib@v1.0.0": {"inserted"}, "landmark-dlib@v2.0.0": {"inserted"}}
    assert [kinds(findings) for findings in both(clone)] == [inserted, inserted]
    clone.run("update-ref", "-d", reading.HEAD)
    assert kinds(clone.audit()) == inserted


@pytest.mark.parametrize("sequence", [2, 7, 12, 10**9])
def test_a_record_that_names_an_event_that_never_was_is_inserted(
    clone: Clone, sequence: int
) -> None:
    nothing = {"tag": "recognition-facenet@v8.0.0", "object": "1" * 40}
    tag = "recognition-facenet@v9.0.0"
    clone.insert(tag, clone.commit(), None, previous=nothing, sequence=sequence)
    assert [kinds(findings) for findings in both(clone)] == [{tag: {"inserted"}}] * 2


@pytest.mark.parametrize("sequence", [1, 12])
def test_a_second_first_event_is_inserted(clone: Clone, sequence: int) -> None:
    clone.insert("landmark-dlib@v1.0.0", clone.commit(), None, sequence=sequence)
    for findings in both(clone):
        assert kinds(findings) == {"landmark-dlib@v1.0.0": {"inserted"}}


def test_two_events_after_the_head_are_a_fork_of_which_neither_is_believed(clone: Clone) -> None:
    before = clone.events()[LAST]
    for version in (1, 2):
        clone.insert(f"landmark-dlib@v{version}.0.0", clone.commit(), before)
    found = each(["landmark-dlib@v1.0.0", "landmark-dlib@v2.0.0"], "inserted")
    assert kinds(clone.audit()) == found
    clone.run("update-ref", "-d", reading.HEAD)
    assert kinds(clone.audit()) == found


def test_an_inserted_record_is_told_from_the_deletion_elsewhere(clone: Clone) -> None:
    clone.insert("landmark-dlib@v1.0.0", clone.commit(), clone.events()[STAGED])
    clone.run("tag", "--delete", MIDDLE)
    for findings in both(clone):
        assert kinds(findings) == {MIDDLE: {"deleted"}, "landmark-dlib@v1.0.0": {"inserted"}}


def test_a_copy_of_a_tag_under_another_name_is_named(clone: Clone) -> None:
    copy = "recognition-facenet@v0.0.1"  # before its original in the order of names
    clone.run("update-ref", f"refs/tags/{copy}", clone.events()[FIRST].object)
    assert [kinds(findings) for findings in both(clone)] == [{copy: {"moved"}}] * 2
    clone.run("update-ref", "-d", reading.HEAD)
    assert kinds(clone.audit()) == {copy: {"moved"}}


@pytest.mark.parametrize("copy", ["recognition-facenet@v0.0.1", "recognition-facenet@v9.9.9"])
def test_of_a_tag_and_its_copy_the_chain_holds_the_tag(clone: Clone, copy: str) -> None:
    clone.run("update-ref", f"refs/tags/{copy}", clone.events()[FIRST].object)
    linked = audit.link(reading.read_events(clone.git), reading.read_head(clone.git))
    assert linked.events[0].tag == FIRST
    assert (len(linked.events), linked.outside) == (11, ())


def test_without_a_head_a_number_that_follows_nothing_ends_no_chain(clone: Clone) -> None:
    clone.run("update-ref", "-d", reading.HEAD)
    fork, second = "landmark-dlib@v1.0.0", "landmark-dlib@v2.0.0"
    clone.insert(fork, clone.commit(), clone.events()[FIRST], sequence=10**6)
    clone.insert(second, clone.commit(), None, sequence=10**7)
    assert kinds(clone.audit()) == each([fork, second], "inserted")


def test_a_first_event_that_is_not_number_one_is_forged(empty: Clone) -> None:
    tag = "landmark-dlib@v1.0.0"
    oid = empty.insert(tag, empty.commit(), None, sequence=5)
    empty.run("update-ref", reading.HEAD, oid)
    assert kinds(empty.audit()) == {tag: {"forged"}}


def test_a_renamed_tag_is_named(clone: Clone) -> None:
    clone.run("update-ref", "refs/tags/recognition-facenet@v9.9.9", clone.events()[FIRST].object)
    clone.run("tag", "--delete", FIRST)
    for findings in both(clone):
        assert kinds(findings) == {"recognition-facenet@v9.9.9": {"moved"}}
        assert FIRST in findings[0].text


def test_two_tags_that_changed_places_are_named(clone: Clone) -> None:
    events = clone.events()
    clone.run("update-ref", f"refs/tags/{FIRST}", events[LAST].object)
    clone.run("update-ref", f"refs/tags/{LAST}", events[FIRST].object)
    for findings in both(clone):
        assert kinds(findings) == {FIRST: {"moved"}, LAST: {"moved"}}


# --- the head ----------------------------------------------------------------------------------


def test_a_head_that_is_no_event_is_named(clone: Clone) -> None:
    clone.run("tag", "--annotate", "--message=by hand", "landmark-dlib@v1.0.0")
    for target in ("HEAD", "HEAD^{tree}", "landmark-dlib@v1.0.0"):
        clone.run("update-ref", reading.HEAD, target)
        assert "head" in kinds(clone.audit())[""]
        assert set(kinds(clone.audit())) == {"", "landmark-dlib@v1.0.0"}


def test_a_head_moved_to_a_forged_event_shows_what_it_leaves_out(clone: Clone) -> None:
    oid = clone.insert("landmark-dlib@v1.0.0", clone.commit(), clone.chain()[-3])
    clone.run("update-ref", reading.HEAD, oid)
    left_out = [event.tag for event in clone.chain()[-2:]]
    assert len(left_out) == 2
    assert set(kinds(clone.audit())) >= {LAST}


@pytest.mark.parametrize("head", ["", FIRST, MIDDLE])
def test_without_a_head_or_behind_it_all_tags_still_make_the_chain(clone: Clone, head: str) -> None:
    """A clone that fetched tags without the head looks the same, so this is no finding."""
    if head:
        clone.run("update-ref", reading.HEAD, clone.events()[head].object)
    else:
        clone.run("update-ref", "-d", reading.HEAD)
    assert clone.audit() == []


@pytest.mark.parametrize("tag", [FIRST, MIDDLE])
def test_without_a_head_a_deletion_before_the_last_event_is_found(clone: Clone, tag: str) -> None:
    clone.run("update-ref", "-d", reading.HEAD)
    clone.run("tag", "--delete", tag)
    for findings in both(clone):
        assert kinds(findings) == {tag: {"deleted"}}


# --- illegal -----------------------------------------------------------------------------------


def forge_on(clone: Clone, tag: str, commit: str, **record: object) -> dict[str, set[str]]:
    """Append a well-linked event and move the head to it, as the registry itself would."""
    clone.run("update-ref", reading.HEAD, clone.insert(tag, commit, clone.chain()[-1], **record))
    return kinds(clone.audit())


def test_production_without_staging_is_illegal(clone: Clone) -> None:
    tag = "recognition-facenet#production#7"
    found = forge_on(clone, tag, clone.events()[LAST].commit, model_id=V3)
    assert found == {tag: {"illegal"}}


def test_deprecating_what_is_deprecated_is_illegal(clone: Clone) -> None:
    commit = clone.events()["recognition-facenet@v1.1.0"].commit
    tag = "recognition-facenet#deprecated#7"
    assert forge_on(clone, tag, commit, model_id=V2, act="deprecate") == {tag: {"illegal"}}


def test_deprecating_what_is_in_production_is_illegal_unless_it_was_retired(clone: Clone) -> None:
    commit = clone.events()[FIRST].commit
    tag = "recognition-facenet#deprecated#7"
    assert forge_on(clone, tag, commit, act="deprecate") == {tag: {"illegal"}}
    clone.run("update-ref", reading.HEAD, clone.events()[LAST].object)
    clone.run("tag", "--delete", tag)
    assert forge_on(clone, tag, commit, act="deprecate", retire=True) == {}


def test_a_status_for_a_commit_of_another_version_is_illegal(clone: Clone) -> None:
    tag = "recognition-facenet#staging#7"
    commit = clone.events()[FIRST].commit
    assert forge_on(clone, tag, commit, model_id=V3) == {tag: {"illegal"}}


def test_registering_a_version_twice_is_illegal(clone: Clone) -> None:
    tag = f"{LAST}#9"
    assert forge_on(clone, tag, clone.commit()) == {tag: {"illegal"}}


def test_a_rollback_called_a_promotion_or_without_a_reason_is_illegal(clone: Clone) -> None:
    clone.add(move(V3, "staging"), move(V3, "production"))
    tag, commit = "recognition-facenet#production#9", clone.events()[FIRST].commit
    assert forge_on(clone, tag, commit) == {tag: {"illegal"}}
    clone.run("update-ref", reading.HEAD, clone.chain()[-2].object)
    clone.run("tag", "--delete", tag)
    assert forge_on(clone, tag, commit, act="rollback", reason="") == {tag: {"illegal"}}


def test_a_record_that_speaks_of_another_model_is_forged(clone: Clone) -> None:
    tag = "detection-yolov8#production#9"
    assert "forged" in forge_on(clone, tag, clone.events()[FIRST].commit)[tag]


def test_a_number_that_counts_on_wrongly_is_forged(clone: Clone) -> None:
    tag = "landmark-dlib@v1.0.0"
    assert forge_on(clone, tag, clone.commit(), sequence=99) == {tag: {"forged"}}


def test_an_event_before_the_one_it_follows_is_re_dated(clone: Clone) -> None:
    tag = "landmark-dlib@v1.0.0"
    assert forge_on(clone, tag, clone.commit(), seconds=NOW) == {tag: {"re-dated"}}


def test_a_date_beyond_the_calendar_does_no_harm(clone: Clone) -> None:
    tag = "landmark-dlib@v1.0.0"
    clone.tag(tag, clone.commit(), "by hand", seconds=2**55)
    assert kinds(clone.audit()) == {tag: {"inserted"}}


def test_an_object_that_git_was_told_to_replace_is_found_or_ignored(clone: Clone) -> None:
    event = clone.events()[MIDDLE]
    forged = clone.rewrite(MIDDLE, record={"reason": "forged"})
    clone.run("update-ref", f"refs/tags/{MIDDLE}", event.object)
    clone.run("replace", event.object, forged)
    assert clone.audit() or clone.events()[MIDDLE].reason == event.reason


# --- what the chain cannot show ------------------------------------------------------------------


def relink(clone: Clone, onto: Event, later: list[Event]) -> None:
    """Write all later events anew, so that each names the one before again."""
    before = onto
    for event in later:
        clone.rewrite(event.tag, record={"previous": {"tag": before.tag, "object": before.object}})
        before = clone.events()[event.tag]
    clone.run("update-ref", reading.HEAD, before.object)


@pytest.fixture
def shared(clone: Clone, tmp_path: Path) -> tuple[Clone, Clone]:
    """The attacker's clone and another that saw the registry before, of one remote."""
    remote = tmp_path / "remote.git"
    clone.run("clone", "--quiet", "--bare", str(clone.root), str(remote))
    clone.run("remote", "add", "origin", str(remote))
    clone.run("push", "--quiet", "origin", f"{reading.HEAD}:{reading.HEAD}")
    witness = tmp_path / "witness"
    clone.run("clone", "--quiet", str(remote), str(witness))
    other = Clone(witness)
    other.repository.sync()
    assert reading.read_head(other.git) == reading.read_head(clone.git)
    return clone, other


def push(clone: Clone) -> None:
    clone.run("push", "--quiet", "--force", "--prune", "origin", "refs/tags/*:refs/tags/*")
    clone.run("push", "--quiet", "--force", "origin", f"{reading.HEAD}:{reading.HEAD}")


def test_a_history_rewritten_to_its_end_passes_the_audit_and_not_the_other_clones(
    shared: tuple[Clone, Clone],
) -> None:
    attacker, witness = shared
    events = attacker.chain()
    attacker.rewrite(events[4].tag, record={"reason": "forged"})
    relink(attacker, attacker.events()[events[4].tag], events[5:])
    push(attacker)
    assert attacker.audit() == []
    with pytest.raises(IntegrityError) as refused:
        witness.repository.sync()
    assert set(refused.value.changed) == {event.tag for event in events[4:]}
    assert witness.audit() == []


@pytest.mark.parametrize("count", [1, 3])
def test_an_end_cut_off_with_its_head_passes_the_audit_and_not_the_other_clones(
    shared: tuple[Clone, Clone], count: int
) -> None:
    attacker, witness = shared
    events = attacker.chain()
    gone = [event.tag for event in events[-count:]]
    attacker.run("tag", "--delete", *gone)
    attacker.run("update-ref", reading.HEAD, events[-count - 1].object)
    push(attacker)
    assert attacker.audit() == []
    with pytest.raises(IntegrityError) as refused:
        witness.repository.sync()
    assert set(refused.value.missing) == set(gone)


def test_a_chain_begun_anew_passes_the_audit_and_not_the_other_clones(
    shared: tuple[Clone, Clone],
) -> None:
    attacker, witness = shared
    attacker.run("tag", "--delete", *attacker.events())
    attacker.run("update-ref", "-d", reading.HEAD)
    Clone(attacker.root, RegistryPolicy(remote="")).register("lmk-dlib-v1.0.0")
    push(attacker)
    assert attacker.audit() == []
    with pytest.raises(IntegrityError):
        witness.repository.sync()


# --- random histories and random attacks -----------------------------------------------------------

MOVES = st.lists(
    st.tuples(
        st.integers(0, 1), st.integers(1, 3),
        st.sampled_from(["register", "staging", "production", "production", "deprecated", "retire"]),
    ),
    max_size=40,
)  # fmt: skip


def ways(event: Event) -> dict[str, Event | None]:
    """What an attacker makes of one tag; None deletes it."""
    words = tagged(event.tag, event.commit, "by hand", event.time)
    return {
        "delete": None,
        "move": again(event, commit="f" * 40),
        "move with record": again(event, commit="f" * 40, record={"commit": "f" * 40}),
        "re-date": again(event, time=event.time + 3),
        "re-date far": again(event, time=event.time - 86_400),
        "forge reason": again(event, record={"reason": "forged"}),
        "forge tagger": again(event, tagger="Mallory <m@example.invalid>"),
        "forge both": again(event, tagger="M <m@x>", record={"actor": "M <m@x>"}),
        "forge evidence": again(event, record={"evidence": {"package": "forged"}}),
        "forge previous": again(event, record={"previous": {"tag": "x", "object": "e" * 40}}),
        "words": words,
    }


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(moves=MOVES, data=st.data())
def test_one_attack_on_any_legal_history_names_its_tag_alone(
    moves: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    ledger = Ledger()
    play(ledger.add, moves, commit_of)
    assert audit.audit(ledger.events, ledger.head) == []
    assert audit.audit(ledger.events, None) == []
    if not ledger.events:
        return
    event = data.draw(st.sampled_from(ledger.events))
    way = data.draw(st.sampled_from(sorted(ways(event))))
    forged = ways(event)[way]
    rest = [other for other in ledger.events if other is not event]
    attacked = data.draw(st.permutations(rest if forged is None else [*rest, forged]))
    originals = {event.object: event}
    assert set(kinds(audit.audit(attacked, ledger.head, originals))) == {event.tag}
    known = originals if event is ledger.events[-1] else {}  # the head keeps its object alive
    assert set(kinds(audit.audit(attacked, ledger.head, known))) == {event.tag}


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(moves=MOVES, data=st.data())
def test_an_event_put_into_any_legal_history_is_named_alone(
    moves: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    ledger = Ledger()
    play(ledger.add, moves, commit_of)
    before = data.draw(st.sampled_from([None, *ledger.events[:-1]]))
    tag = data.draw(st.sampled_from(["landmark-dlib@v1.0.0", "landmark-dlib#production#1"]))
    seconds = before.time + 1 if before else NOW + 1
    forged = tagged(tag, "f" * 40, write(tag, "f" * 40, before, seconds), seconds)
    found = audit.audit([*ledger.events, forged], ledger.head)
    if ledger.events:
        assert set(kinds(found)) == {tag}


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(moves=MOVES, data=st.data())
def test_several_deletions_name_only_deleted_tags_and_the_end_of_each_row(
    moves: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    ledger = Ledger()
    play(ledger.add, moves, commit_of)
    if not ledger.events:
        return
    gone = data.draw(st.sets(st.sampled_from(range(len(ledger.events))), min_size=1))
    left = [event for place, event in enumerate(ledger.events) if place not in gone]
    lost = {ledger.events[place].object: ledger.events[place] for place in gone}
    named = {event.tag: {"deleted"} for event in lost.values()}
    assert kinds(audit.audit(left, ledger.head, lost)) == named
    last = {key: event for key, event in lost.items() if key == ledger.head}
    rows = [ledger.events[place].tag for place in gone if place + 1 not in gone]
    found = kinds(audit.audit(left, ledger.head, last))
    if len(ledger.events) - 1 in gone and len(ledger.events) - 2 in gone:
        rows.append(ledger.events[-2].tag)  # named by the last one, which the head keeps alive
    assert found == each(rows, "deleted")


@settings(max_examples=examples(100), deadline=None, derandomize=True)
@given(
    moves=MOVES, seed=st.integers(0, 2**32), count=st.integers(1, 6),
    head=st.sampled_from(["head", "none", "old", "nowhere"]),
)  # fmt: skip
def test_many_attacks_at_once_never_make_the_audit_fail(
    moves: list[tuple[int, int, str]], seed: int, count: int, head: str
) -> None:
    ledger, choice = Ledger(), random.Random(seed)
    play(ledger.add, moves, commit_of)
    events = list(ledger.events)
    for _ in range(min(count, len(events))):
        event = events.pop(choice.randrange(len(events)))
        forged = choice.choice(list(ways(event).values()))
        events += [forged] if forged else []
    old = ledger.events[0].object if ledger.events else None
    heads = {"head": ledger.head, "none": None, "old": old, "nowhere": "d" * 40}
    findings = audit.audit(events, heads[head])
    assert findings or head in ("none", "old") or not ledger.events


Attack = Callable[[Clone, Event, list[Event]], str]


def delete(clone: Clone, event: Event, events: list[Event]) -> str:
    clone.run("tag", "--delete", event.tag)
    return event.tag


def move_tag(clone: Clone, event: Event, events: list[Event]) -> str:
    clone.rewrite(event.tag, commit=clone.commit())
    return event.tag


def re_date(clone: Clone, event: Event, events: list[Event]) -> str:
    clone.rewrite(event.tag, seconds=event.time + 1)
    return event.tag


def forge(clone: Clone, event: Event, events: list[Event]) -> str:
    clone.rewrite(event.tag, record={"reason": "forged"})
    return event.tag


def fork(clone: Clone, event: Event, events: list[Event]) -> str:
    before = None if event is events[-1] else event
    clone.insert("landmark-dlib@v1.0.0", clone.commit(), before)
    return "landmark-dlib@v1.0.0"


def by_hand(clone: Clone, event: Event, events: list[Event]) -> str:
    clone.run("tag", "--annotate", "--message=by hand", "landmark-dlib@v1.0.0", event.commit)
    return "landmark-dlib@v1.0.0"


def copy(clone: Clone, event: Event, events: list[Event]) -> str:
    clone.run("update-ref", "refs/tags/landmark-dlib@v1.0.0", event.object)
    return "landmark-dlib@v1.0.0"


ATTACKS: list[Attack] = [delete, move_tag, re_date, forge, fork, by_hand, copy]


def campaign(folder: Path, seed: int) -> None:
    """One random history of a real repository, and every attack on one random event of it."""
    choice = random.Random(seed)
    clone = start(folder / f"r{seed}")
    acts = ["register", "staging", "production", "production", "deprecated"]
    moves = [(choice.randrange(2), choice.randint(1, 3), choice.choice(acts)) for _ in range(45)]
    play(clone.repository.add, moves, lambda model: clone.commit())
    events = clone.chain()
    assert events
    assert both(clone) == [[], []]
    for attack in ATTACKS:
        victim = Clone(clone.root.with_name("victim"))
        shutil.rmtree(victim.root, ignore_errors=True)
        shutil.copytree(clone.root, victim.root)
        attacked = attack(victim, choice.choice(events), events)
        for findings in both(victim):
            assert set(kinds(findings)) == {attacked}, (seed, attack.__name__)


@pytest.mark.parametrize("seed", bounded((1, 2, 3), (1,)))
def test_attacks_on_random_real_registries_are_named(tmp_path: Path, seed: int) -> None:
    campaign(tmp_path, seed)


@pytest.mark.full
def test_attacks_on_many_random_real_registries_are_named(tmp_path: Path) -> None:
    for seed in range(100, 140):
        campaign(tmp_path / str(seed), seed)


@pytest.mark.full
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(moves=MOVES, data=st.data())
def test_many_attacks_on_many_histories_name_their_tags(
    moves: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    inner = test_one_attack_on_any_legal_history_names_its_tag_alone
    inner.hypothesis.inner_test(moves, data)  # type: ignore[attr-defined]
