"""What is kept and why; and, for any history, that nothing goes which somebody needs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples
from tests.unit.deployment.plans import place, roll_out, withdraw
from tests.unit.registry.conftest import NOW, Ledger, commit_of, deprecate, move

from facemodels.errors import FacemodelsError, InputError
from facemodels.names import ModelId
from facemodels.registry import rules
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.registry import previous_production
from facemodels.registry.state import State
from facemodels.storage.retention.plan import decide, plan
from facemodels.storage.retention.settings import RetentionSettings
from facemodels.storage.stores.object_store import FolderFile
from facemodels.storage.stores.objects import VersionObjects, folder_of

DAY = 24 * 3600
LATER = NOW + 1000 * DAY
MODELS = ("rec-facenet", "det-yolov8")


def oid(word: str) -> str:
    return hashlib.md5(word.encode(), usedforsecurity=False).hexdigest()


def register(model: str, **entry: Any) -> Proposal:
    evidence = {"package": "sha256:" + "0" * 64, "dvc": f"md5:{oid(model)}.dir"}
    return lambda now: rules.register(
        now, ModelId.parse(model), commit_of(model), reason="new", evidence=evidence, entry=entry
    )


def archive(model: str) -> Proposal:
    facts = {"sha256": "0" * 64, "path": f"archive/{model}.tar.zst"}
    return lambda now: rules.archive(now, ModelId.parse(model), facts, reason="old")


def restore(model: str) -> Proposal:
    return lambda now: rules.restore(now, ModelId.parse(model), reason="needed")


def line(count: int) -> Ledger:
    """So many versions, in production one after the other."""
    ledger = Ledger()
    for number in range(1, count + 1):
        model = f"rec-facenet-v{number}.0.0"
        for one in (register(model), move(model, "staging"), move(model, "production")):
            ledger.add(one)
    return ledger


def actions(ledger: Ledger, now: float = LATER, **values: Any) -> dict[str, str]:
    return {one.id: one.action for one in decide(ledger.state, RetentionSettings(**values), now)}


def reason(ledger: Ledger, model: str, now: float = LATER, **values: Any) -> str:
    return {one.id: one.reason for one in decide(ledger.state, RetentionSettings(**values), now)}[
        model
    ]


def v(number: int) -> str:
    return f"rec-facenet-v{number}.0.0"


# --- rules ----------------------------------------------------------------------------------------


def test_the_last_versions_of_production_stay_and_older_ones_go() -> None:
    assert actions(line(5)) == {
        v(1): "archive", v(2): "archive", v(3): "keep", v(4): "keep", v(5): "keep",
    }  # fmt: skip


def test_last_is_who_was_in_production_last_not_who_has_the_highest_number() -> None:
    ledger = line(5)
    ledger.add(move(v(1), "production", reason="back"))
    kept = {one for one, action in actions(ledger).items() if action == "keep"}
    assert kept == {v(1), v(5), v(4)}


def test_each_model_has_its_own_last_versions() -> None:
    ledger = line(4)
    for number in (1, 2):
        model = f"det-yolov8-v{number}.0.0"
        for one in (register(model), move(model, "staging"), move(model, "production")):
            ledger.add(one)
    found = actions(ledger)
    assert [one for one, action in found.items() if action == "archive"] == [v(1)]


def test_what_a_rollback_would_go_to_stays_even_if_one_version_is_kept() -> None:
    ledger = line(3)
    assert actions(ledger, keep_production=1) == {v(1): "archive", v(2): "keep", v(3): "keep"}
    assert previous_production(ledger.state, "recognition-facenet").id == v(2)
    ledger.add(deprecate(v(2)))
    assert reason(ledger, v(1), keep_production=1) == "what a rollback would go to"


def test_a_version_on_its_way_to_production_stays() -> None:
    ledger = line(4)
    ledger.add(roll_out(v(1), 10))
    assert "on its way to production" in reason(ledger, v(1), keep_production=1)
    ledger.add(withdraw(v(1)))
    assert actions(ledger, keep_production=1)[v(1)] == "archive"


def test_the_version_of_stagings_environment_stays() -> None:
    ledger = line(4)
    ledger.add(place(v(1)))
    assert reason(ledger, v(1), keep_production=1) == "in staging's environment"


def test_a_young_version_stays() -> None:
    ledger = line(5)
    born = ledger.state.entry(v(1)).event.time
    assert actions(ledger, born + 30 * DAY - 1)[v(1)] == "keep"
    assert actions(ledger, born + 30 * DAY)[v(1)] == "archive"


def test_a_deprecated_version_goes_after_the_grace_period_and_not_before() -> None:
    ledger = line(3)
    ledger.add(deprecate(v(2)))
    ended = ledger.events[-1].time
    more = {"keep_days": 0}
    assert actions(ledger, ended + 14 * DAY - 1, **more)[v(2)] == "keep"
    assert actions(ledger, ended + 14 * DAY, **more)[v(2)] == "archive"
    assert actions(ledger, ended + 14 * DAY, **more)[v(1)] == "keep"  # counts in its place


def test_a_version_that_nobody_deprecated_and_that_was_never_in_production_stays() -> None:
    ledger = line(3)
    ledger.add(register(v(9)))
    assert reason(ledger, v(9)) == "not deprecated, never in production"


@pytest.mark.parametrize(
    "written", ["rec-facenet-v1.0.0", "recognition-facenet-v1.0.0", "recognition-facenet@v1.0.0"]
)
def test_a_version_listed_by_hand_stays_however_it_is_written(written: str) -> None:
    assert actions(line(5), keep=(written,))[v(1)] == "keep"


def test_an_id_listed_by_hand_that_nobody_registered_stops_everything() -> None:
    with pytest.raises(InputError, match=r"rec-facenet-v7\.0\.0, which nobody registered"):
        actions(line(5), keep=(v(7),))


def test_a_restored_version_is_as_young_as_a_new_one() -> None:
    ledger = line(5)
    ledger.add(archive(v(1)))
    assert actions(ledger)[v(1)] == "archived"
    ledger.add(restore(v(1)))
    back = ledger.events[-1].time
    assert actions(ledger, back + 30 * DAY - 1)[v(1)] == "keep"
    assert actions(ledger, back + 30 * DAY)[v(1)] == "archive"


def test_a_version_without_a_folder_of_dvc_stays() -> None:
    ledger = Ledger()
    for number in range(1, 6):
        bare = {"package": "sha256:" + "0" * 64}

        def new(now: State, model: str = v(number), evidence: Any = bare) -> ProposedEvent:
            parsed = ModelId.parse(model)
            return rules.register(
                now, parsed, commit_of(model), reason="", evidence=evidence, entry={}
            )

        for one in (new, move(v(number), "staging"), move(v(number), "production")):
            ledger.add(one)
    assert "registered without a folder" in reason(ledger, v(1))


def test_bytes_count_once_and_lists_go_after_their_files() -> None:
    ledger = line(5)
    shared, own = oid("shared"), oid("own")
    objects = {
        v(number): VersionObjects(v(number), f"{oid(v(number))}.dir", (FolderFile(shared, "a"),))
        for number in range(2, 6)
    }
    first = VersionObjects(
        v(1),
        f"{oid(v(1))}.dir",
        (FolderFile(own, "a"), FolderFile(own, "b"), FolderFile(shared, "c")),
    )
    objects[v(1)] = first
    sizes = {shared: 10, own: 100, **{one.folder: 1000 for one in objects.values()}}
    made = plan(ledger.state, RetentionSettings(), LATER, objects, sizes)
    assert {one.id: (one.bytes, one.frees) for one in made.decisions}[v(1)] == (1110, 1100)
    assert made.objects[0] == own
    assert set(made.objects[1:]) == {objects[v(1)].folder, objects[v(2)].folder}
    assert made.bytes == 2100


def test_a_version_that_shares_its_weights_with_a_kept_one_stays_as_its_archive_would_not_pay() -> (
    None
):
    ledger = line(5)
    weights = oid("weights")
    objects = {
        v(number): VersionObjects(v(number), f"{oid(v(number))}.dir", (FolderFile(weights, "a"),))
        for number in range(1, 6)
    }
    sizes = {weights: 1000, **{one.folder: 10 for one in objects.values()}}
    made = plan(ledger.state, RetentionSettings(), LATER, objects, sizes)
    assert (made.to_archive, made.objects) == ((), ())
    decisions = {one.id: one for one in made.decisions}
    assert (decisions[v(1)].action, decisions[v(1)].frees) == ("keep", 0)
    assert "shares its bytes" in decisions[v(1)].reason


# --- properties -----------------------------------------------------------------------------------

ACTS: Mapping[str, Callable[[str], Proposal]] = {
    "register": register,
    "staging": lambda one: move(one, "staging"),
    "production": lambda one: move(one, "production"),
    "deprecate": deprecate,
    "retire": lambda one: deprecate(one, retire=True),
    "place": place,
    "roll out": roll_out,
    "withdraw": withdraw,
    "archive": archive,
    "restore": restore,
}
moves = st.lists(
    st.tuples(st.sampled_from(MODELS), st.integers(1, 6), st.sampled_from(sorted(ACTS))),
    max_size=60,
)
names = st.sampled_from([oid(f"file {number}") for number in range(12)])
files = st.lists(names, min_size=1, max_size=4)


@st.composite
def histories(
    draw: st.DrawFn,
) -> tuple[Ledger, dict[str, VersionObjects], dict[str, int], set[str]]:
    """Any history that the rules allow; versions that share files; what datasets need."""
    ledger = Ledger()
    # Most histories that are drawn freely get nowhere.
    for family in MODELS:
        for number in range(1, draw(st.integers(1, 6)) + 1):
            model = f"{family}-v{number}.0.0"
            for one in (register(model), move(model, "staging"), move(model, "production")):
                ledger.add(one)
    for family, number, act in draw(moves):
        try:
            ledger.add(ACTS[act](f"{family}-v{number}.0.0"))
        except FacemodelsError:
            continue
    objects = {
        key: VersionObjects(
            key, str(folder_of(entry)), tuple(FolderFile(one, one) for one in draw(files))
        )
        for key, entry in ledger.state.entries.items()
    }
    every = sorted({one for own in objects.values() for one in own.oids})
    missing = draw(st.sets(st.sampled_from(every), max_size=3))
    sizes = {one: number + 1 for number, one in enumerate(every) if one not in missing}
    return ledger, objects, sizes, draw(st.sets(names, max_size=3))


ages = st.integers(0, 60)
counts = st.integers(1, 5)


def policy(keep: int, days: int = 0) -> RetentionSettings:
    return RetentionSettings(keep_production=keep, keep_days=days, grace_days=days)


@settings(max_examples=examples(150), deadline=None)
@given(histories(), counts, ages)
def test_nothing_goes_that_serves_or_that_a_kept_version_or_a_dataset_needs(
    history: Any, keep: int, days: int
) -> None:
    ledger, objects, sizes, needed = history
    state: State = ledger.state
    now = ledger.events[-1].time + 30 * DAY
    made = plan(state, policy(keep, days), now, objects, sizes, needed=needed)
    serving = {*state.production.values()}
    serving |= {str(state.id_of(one)) for one in state.rollouts.values()}
    serving |= {str(state.id_of(one)) for one in state.in_staging.values()}
    serving -= set(state.archived)
    kept = {one.id for one in made.decisions if one.action == "keep"}
    assert serving <= kept
    assert {one.id for one in made.decisions} == set(state.entries)
    gone = set(made.objects)
    assert len(gone) == len(made.objects)
    assert gone <= sizes.keys()
    assert not gone & needed
    for identity in kept:
        assert not gone & set(objects[identity].oids)
    assert made.bytes == sum(sizes[one] for one in gone)


@settings(max_examples=examples(100), deadline=None)
@given(histories(), counts)
def test_once_it_is_done_there_is_nothing_left_to_do(history: Any, keep: int) -> None:
    ledger, objects, sizes, needed = history
    now = ledger.events[-1].time + 30 * DAY
    made = plan(ledger.state, policy(keep), now, objects, sizes, needed=needed)
    for identity in made.to_archive:
        ledger.add(archive(identity))  # no rule refuses what the plan says
    left = {one: size for one, size in sizes.items() if one not in made.objects}
    again = plan(ledger.state, policy(keep), now, objects, left, needed=needed)
    assert (again.to_archive, again.objects) == ((), ())


@settings(max_examples=examples(100), deadline=None)
@given(histories(), counts, ages)
def test_who_keeps_more_deletes_no_more(history: Any, keep: int, days: int) -> None:
    ledger, objects, sizes, needed = history
    now = ledger.events[-1].time + 30 * DAY

    def gone(settings: RetentionSettings) -> tuple[set[str], set[str]]:
        made = plan(ledger.state, settings, now, objects, sizes, needed=needed)
        return set(made.to_archive), set(made.objects)

    versions, oids = gone(policy(keep, days))
    for more in (policy(keep + 1, days), policy(keep, days + 7)):
        fewer, left = gone(more)
        assert fewer <= versions
        assert left <= oids


def test_the_plan_is_written_for_programs_too() -> None:
    made = plan(line(4).state, RetentionSettings(), LATER, {}, {})
    value = made.as_json()
    assert [one["model_id"] for one in value["versions"]] == [v(n) for n in range(1, 5)]
    assert value["versions"][0]["action"] == "archive"


def test_a_member_stays_as_long_as_a_system_in_use_pins_it() -> None:
    ledger = line(5)
    member = "rec-facenet-v1.0.0"
    pin = {"id": member, "digest": "sha256:" + "0" * 64}
    systems = [f"sys-faces-v{number}.0.0" for number in range(1, 6)]
    for system in systems:
        ledger.add(register(system, members={"recognition": pin}))
        for status in ("staging", "production"):
            ledger.add(move(system, status))

    def decided() -> dict[str, tuple[str, str]]:
        found = decide(ledger.state, RetentionSettings(), LATER)
        return {one.id: (one.action, one.reason) for one in found}

    first = decided()
    assert first[systems[0]] == ("archive", "4 newer versions were in production")
    assert first[systems[2]] == ("keep", "among the last 3 of production")
    action, reason = first[member]
    assert (action, reason.startswith("a member of sys-faces")) == ("keep", True)
    for system in systems[:2]:
        ledger.add(archive(system))
    assert decided()[member][0] == "keep"  # the others still pin it
    for system in systems[2:4]:
        ledger.add(deprecate(system))
    assert decided()[member] == ("keep", f"a member of {systems[4]}")
    ledger.add(deprecate(systems[4], retire=True))
    assert decided()[member][0] == "archive"
