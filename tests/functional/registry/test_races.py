"""Two at once: one wins, the other is told, and nothing of the loser is left."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from facemodels.errors import ConflictError, FacemodelsError, InputError, RuleError
from facemodels.registry import tag_store
from facemodels.registry.events import Event
from facemodels.registry.proposals import Proposal
from tests.bounded import STRIDES, bounded, points

from .site import Clone, RegistrySite, by_the_book, move, register, retire, version

REC = [version("rec", number) for number in range(6)]
DET = [version("det", number) for number in range(6)]
ROUNDS = [pytest.param(3, id="some rounds"), pytest.param(6, id="rounds", marks=pytest.mark.full)]
Copies = Callable[[RegistrySite], RegistrySite]


@dataclass
class Race:
    """What is there before, and what the two do."""

    before: tuple[Callable[[Clone], Proposal], ...]
    first: Callable[[Clone], Proposal]
    second: Callable[[Clone], Proposal]
    both_in_turn: bool = False  # legal one after the other


def _registered(*numbers: int) -> tuple[Callable[[Clone], Proposal], ...]:
    return tuple(lambda c, n=n: register(REC[n], c.commit(n)) for n in numbers)


def _staged(*numbers: int) -> tuple[Callable[[Clone], Proposal], ...]:
    return tuple(lambda c, n=n: move(REC[n], "staging") for n in numbers)


RACES = {
    "register the same version at one commit": Race(
        (), lambda c: register(REC[1], c.commit(1)), lambda c: register(REC[1], c.commit(1))
    ),
    "register the same version at two commits": Race(
        (), lambda c: register(REC[1], c.commit(1)), lambda c: register(REC[1], c.commit(2))
    ),
    "register two versions at one commit": Race(
        (), lambda c: register(REC[1], c.commit(1)), lambda c: register(REC[2], c.commit(1))
    ),
    "promote the same version": Race(
        _registered(1), lambda c: move(REC[1], "staging"), lambda c: move(REC[1], "staging")
    ),
    "promote two versions to production": Race(
        _registered(1, 2) + _staged(1, 2),
        lambda c: move(REC[1], "production"),
        lambda c: move(REC[2], "production"),
        both_in_turn=True,
    ),
    "promote what the other deprecates": Race(
        _registered(1) + _staged(1),
        lambda c: move(REC[1], "deprecated"),
        lambda c: move(REC[1], "production"),
    ),
}
ALWAYS = (
    "register the same version at two commits",
    "promote two versions to production",
    "promote what the other deprecates",
)


def _try(clone: Clone, plan: Proposal) -> Event | FacemodelsError:
    try:
        return clone.add(plan)
    except FacemodelsError as error:
        return error


def _assert_told(answer: Event | FacemodelsError) -> None:
    assert isinstance(answer, (ConflictError, InputError, RuleError)), repr(answer)
    assert answer.what
    assert answer.remedy


def _prepare(site: RegistrySite, race: Race) -> None:
    clone = site.clone("one")
    for plan in race.before:
        clone.add(plan(clone))
    for name in ("two", "three"):
        site.clone(name).sync()


def _commands(
    site: RegistrySite,
    sites: Callable[[RegistrySite], RegistrySite],
    plan: Callable[[Clone], Proposal],
) -> list:
    clone = sites(site).clone("one")
    clone.add(plan(clone))
    return clone.commands


def _index(commands: list[tuple[str, ...]], word: str) -> int:
    return next(index for index, command in enumerate(commands) if command[0] == word)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("name", bounded(RACES, ALWAYS))
def test_whole_operation_of_another_clone_at_any_point_leaves_one_winner(
    site: RegistrySite, sites: Copies, name: str, stride: int
) -> None:
    race = RACES[name]
    _prepare(site, race)
    commands = _commands(site, sites, race.first)
    fetched, pushed = _index(commands, "ls-remote"), _index(commands, "push")
    decisive = (fetched, fetched + 1, pushed, pushed + 1)
    for index in points(len(commands), stride, decisive):
        here = sites(site)
        one, two = here.clone("one"), here.clone("two")
        before = here.refs()
        told: list[Event | FacemodelsError] = []
        plan = race.second(two)
        one.reset({index: lambda two=two, plan=plan, told=told: told.append(_try(two, plan))})
        own = _try(one, race.first(one))
        answers = [own, *told]
        won = [answer for answer in answers if isinstance(answer, Event)]
        overlapped = fetched < index <= pushed
        if race.both_in_turn and not overlapped:
            assert len(won) == 2
        else:
            assert len(won) == 1
            _assert_told(next(answer for answer in answers if answer is not won[0]))
        if overlapped:
            assert isinstance(own, ConflictError)
            assert f"{won[0].tag} (" in own.what
        expected = set(before) | {f"refs/tags/{event.tag}" for event in won}
        assert set(here.refs()) - {"refs/facemodels/head"} == expected - {"refs/facemodels/head"}
        here.assert_agree(one, two)
        assert by_the_book(one.state()) == one.statuses()
        if index == pushed:
            here.assert_sound(one, two)
            # Both go on working.
            one.add(register(DET[1], one.commit(1)))
            two.add(register(DET[2], two.commit(2)))
            here.assert_agree(one, two)


def test_loser_has_no_ref_of_its_own_before_it_fetches_anything(site: RegistrySite) -> None:
    one, two = site.clone("one"), site.clone("two")
    one.add(register(REC[0], one.commit(0)))
    one.reset()
    one.add(register(DET[0], one.commit(0)))
    push = _index(one.commands, "push")
    seen: list[set[str]] = []

    def overtake() -> None:
        seen.append(set(one.refs()))
        two.add(register(REC[1], two.commit(1)))

    one.reset({push: overtake})
    before = set(one.refs())
    with pytest.raises(ConflictError, match=r"recognition-facenet@v1\.0\.1"):
        one.add(register(REC[1], one.commit(2)))
    assert seen == [before]
    assert set(one.refs()) - before == {"refs/tags/recognition-facenet@v1.0.1"}
    assert one.refs() == site.refs()


@pytest.mark.parametrize("stride", STRIDES)
def test_whole_operation_on_another_model_at_any_point_lets_both_win(
    site: RegistrySite, sites: Copies, stride: int
) -> None:
    def mine(clone: Clone) -> Proposal:
        return register(REC[1], clone.commit(1))

    commands = _commands(site, sites, mine)
    for index in points(len(commands), stride, (_index(commands, "push"),)):
        here = sites(site)
        one, two = here.clone("one"), here.clone("two")
        one.reset({index: lambda two=two: two.add(register(DET[1], two.commit(1)))})
        one.add(mine(one))
        here.assert_agree(one, two)
        assert one.statuses() == {str(REC[1]): "development", str(DET[1]): "development"}


def test_two_others_in_a_row_on_other_models_do_not_stop_an_operation(site: RegistrySite) -> None:
    one, two, three = (site.clone(name) for name in ("one", "two", "three"))
    one.reset(
        {
            4: lambda: two.add(register(DET[1], two.commit(1))),
            14: lambda: three.add(register(DET[2], three.commit(2))),
            24: lambda: two.add(move(DET[1], "staging")),
        }
    )
    one.add(register(REC[1], one.commit(1)))
    assert one.hooks == {}
    site.assert_sound(one, two, three)


def test_somebody_always_faster_ends_in_a_clear_error(
    site: RegistrySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tag_store, "_ATTEMPTS", 8)
    one, two = site.clone("one"), site.clone("two")
    acts = iter(
        [
            *(register(DET[n], two.commit(n)) for n in range(4)),
            *(move(DET[n], "staging") for n in range(4)),
        ]
    )

    class Unlucky(Clone):
        def _before(self, arguments: object) -> None:
            words = tuple(arguments)  # type: ignore[call-overload]
            if words[0] == "push":
                two.add(next(acts))

    unlucky = Unlucky(one.folder)
    with pytest.raises(ConflictError, match=r"8 times.*Run it again"):
        unlucky.add(register(REC[1], one.commit(1)))
    site.assert_sound(one, two)
    assert str(REC[1]) not in one.statuses()


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("remote", bounded(("origin", ""), ("origin",)))
@pytest.mark.parametrize("name", bounded(RACES, ALWAYS))
def test_two_processes_in_one_clone_leave_one_winner(
    site: RegistrySite, sites: Copies, name: str, remote: str, stride: int
) -> None:
    race = RACES[name]
    clone = Clone(site.clone("one").folder, remote=remote)
    for plan in race.before:
        clone.add(plan(clone))
    trial = Clone(sites(site).clone("one").folder, remote=remote)
    trial.add(race.first(trial))
    for index in points(len(trial.commands), stride):
        here = sites(site)
        one = Clone(here.clone("one").folder, remote=remote)
        twin = Clone(one.folder, remote=remote)
        told: list[Event | FacemodelsError] = []
        plan = race.second(twin)
        one.reset({index: lambda twin=twin, plan=plan, told=told: told.append(_try(twin, plan))})
        own = _try(one, race.first(one))
        answers = [own, *told]
        won = [answer for answer in answers if isinstance(answer, Event)]
        assert len(won) == 1 or (race.both_in_turn and len(won) == 2), (index, answers)
        for answer in answers:
            if answer not in won:
                _assert_told(answer)
        assert one.findings() == [], index
        assert one.state().last("recognition-facenet") in won
        twin.add(register(DET[1], twin.commit(1)))
        assert one.findings() == [], index
        if remote:
            here.assert_agree(one)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("remote", bounded(("origin", ""), ("origin",)))
def test_two_processes_in_one_clone_on_two_models_both_win(
    site: RegistrySite, sites: Copies, remote: str, stride: int
) -> None:
    trial = Clone(sites(site).clone("one").folder, remote=remote)
    trial.add(register(REC[1], trial.commit(1)))
    for index in points(len(trial.commands), stride):
        here = sites(site)
        one = Clone(here.clone("one").folder, remote=remote)
        twin = Clone(one.folder, remote=remote)

        def others(twin: Clone = twin) -> None:
            twin.add(register(DET[1], twin.commit(1)))
            twin.add(move(DET[1], "staging"))

        one.reset({index: others})
        one.add(register(REC[1], one.commit(1)))
        one.add(move(REC[1], "staging"))
        assert one.findings() == [], index
        assert set(one.statuses().values()) == {"staging"}
        if remote:
            here.assert_agree(one)


# --- really at the same time ---------------------------------------------------------------


def _at_once(*acts: Callable[[], object]) -> list[object]:
    """Run them in threads that start together; what each gave, or the error it met."""
    barrier = threading.Barrier(len(acts))
    answers: list[object] = [None] * len(acts)

    def work(index: int, act: Callable[[], object]) -> None:
        barrier.wait(timeout=60)
        try:
            answers[index] = act()
        except Exception as error:  # noqa: BLE001  (handed to the test)
            answers[index] = error

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(acts)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    return answers


@pytest.mark.parametrize("rounds", ROUNDS)
def test_three_clones_at_the_same_time_leave_one_winner_in_every_round(
    site: RegistrySite, rounds: int
) -> None:
    clones = [site.clone(name) for name in ("one", "two", "three")]
    for number in range(rounds):
        for plan_of in (
            lambda c, n=number: register(REC[n], c.commit(n)),
            lambda c, n=number: move(REC[n], "staging"),
        ):
            answers = _at_once(
                *(
                    lambda clone=clone, plan_of=plan_of: clone.add(plan_of(clone))
                    for clone in clones
                )
            )
            won = [answer for answer in answers if isinstance(answer, Event)]
            assert len(won) == 1, answers
            for answer in answers:
                if answer is not won[0]:
                    _assert_told(answer)  # type: ignore[arg-type]
    site.assert_sound(*clones)


@pytest.mark.parametrize("rounds", ROUNDS)
def test_promotions_at_the_same_time_leave_one_version_in_production(
    site: RegistrySite, rounds: int
) -> None:
    clones = [site.clone(name) for name in ("one", "two", "three")]
    for number in range(3):
        clones[0].add(register(REC[number], clones[0].commit(number)))
        clones[0].add(move(REC[number], "staging"))
    for _ in range(rounds):
        answers = _at_once(
            *(
                lambda clone=clone, number=number: clone.add(move(REC[number], "production"))
                for number, clone in enumerate(clones)
            )
        )
        won = [answer for answer in answers if isinstance(answer, Event)]
        assert won
        for answer in answers:
            if answer not in won:
                _assert_told(answer)  # type: ignore[arg-type]
        site.assert_sound(*clones)
        now = clones[0].state()
        last = now.last("recognition-facenet")
        assert last in won
        assert now.production == {"recognition-facenet": now.id_of(last)}


@pytest.mark.parametrize("remote", ["origin", ""])
@pytest.mark.parametrize("rounds", ROUNDS)
def test_processes_in_one_clone_at_the_same_time_leave_one_winner_and_a_whole_chain(
    site: RegistrySite, remote: str, rounds: int
) -> None:
    folder = site.clone("one").folder
    clones = [Clone(folder, remote=remote) for _ in range(3)]
    for number in range(rounds):
        answers = _at_once(
            *(
                lambda clone=clone, n=number: clone.add(register(REC[n], clone.commit(n)))
                for clone in clones
            )
        )
        won = [answer for answer in answers if isinstance(answer, Event)]
        assert len(won) == 1, answers
        for answer in answers:
            if answer is not won[0]:
                _assert_told(answer)  # type: ignore[arg-type]
        assert clones[0].findings() == []


@pytest.mark.parametrize("rounds", ROUNDS)
def test_three_clones_on_three_models_at_the_same_time_all_win(
    site: RegistrySite, rounds: int
) -> None:
    models = {"one": "rec-facenet", "two": "det-yolov8", "three": "lmk-dlib"}

    def work(name: str) -> list[Event]:
        from facemodels.names import ModelId

        clone, made = site.clone(name), []
        for number in range(rounds):
            model = ModelId.parse(f"{models[name]}-v1.0.{number}")
            made += [
                clone.add(register(model, clone.commit(number))),
                clone.add(move(model, "staging")),
            ]
        return [*made, clone.add(retire(model))]

    answers = _at_once(*(lambda name=name: work(name) for name in models))
    made = 2 * rounds + 1
    assert [len(one) for one in answers if isinstance(one, list)] == [made] * 3, answers
    clones = [site.clone(name) for name in models]
    site.assert_sound(*clones)
    assert len(clones[0].state().events) == 3 * made


def test_process_of_the_same_clone_that_adds_during_every_sync_is_no_alarm(
    site: RegistrySite,
) -> None:
    """What it adds is here after the list of the remote's tags was read, and is not on that list."""
    one = site.clone("one")
    twin = Clone(one.folder)
    acts = iter(register(DET[n], one.commit(n)) for n in range(6))

    class Overtaken(Clone):
        listed = 0

        def _before(self, arguments: object) -> None:
            words = tuple(arguments)  # type: ignore[call-overload]
            if self.listed and self.listed <= 3:
                self.listed += 1
                twin.add(next(acts))
            if words[0] == "ls-remote":
                self.listed = max(self.listed, 1)

    Overtaken(one.folder).add(register(REC[1], one.commit(1)))
    site.assert_sound(one)
    assert len(one.statuses()) == 4
