"""Random histories of three clones, with kills and overtaking between any two git commands."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from facemodels.errors import ConflictError, InputError, RuleError
from facemodels.git import Git
from facemodels.registry import reading, state
from facemodels.registry.proposals import ProposedEvent
from facemodels.registry.state import State

from .site import (
    COMMITS,
    NAMES,
    Killed,
    RegistrySite,
    by_the_book,
    git,
    move,
    one_production,
    register,
    retire,
    version,
)

CLONES = ("one", "two", "three")
_NEXT = {"development": "staging", "staging": "production", "production": "deprecated"}

# A command of 17 to some 30 git commands; an index past its end does nothing.
_INDEX = st.integers(0, 24)
_KIND = st.sampled_from(
    [*["register"] * 4, *["next"] * 6, *["production"] * 5, "deprecated", "retire", "sync", "fetch"]
)
_ACT = st.fixed_dictionaries(
    {
        "clone": st.sampled_from(CLONES),
        "kind": _KIND,
        "model": st.sampled_from(["rec", "det"]),
        "number": st.integers(0, 7),  # modulo what there is
        "shift": st.sampled_from([0, 0, 0, 0, 1]),
        "kill": st.none() | _INDEX,
    }
)


def _kill() -> None:
    raise Killed


class Fleet(RuleBasedStateMachine):
    """What must hold is checked on the remote after every step and on every clone at the end."""

    template: RegistrySite
    folder: Path
    counter = itertools.count()
    steps: dict[str, int]

    def __init__(self) -> None:
        super().__init__()
        self.site = self.template.copy(self.folder / f"site-{next(self.counter)}")
        self.acknowledged: dict[str, str] = {}
        self.seen: dict[str, str] = {}
        self.main = 0

    @initialize(staged=st.integers(0, 3), clone=st.sampled_from(CLONES))
    def start(self, staged: int, clone: str) -> None:
        for number in range(staged):
            self.perform({"kind": "register"}, clone, "rec", number)
            self.perform({"kind": "next"}, clone, "rec", number)
            self.perform({"kind": "register"}, clone, "det", number)

    def perform(
        self, act: dict[str, Any], name: str, model: str, number: int, **hooks: Any
    ) -> None:
        clone = self.site.clone(name)
        self.count(act["kind"])
        # As its user, who sees what this clone knows.
        registered = len(clone.state().of_model(NAMES[model]))
        if act["kind"] == "register":
            number = registered - act.get("shift", 0)
        else:
            number %= max(registered, 1)
        identity = version(model, max(number, 0))

        def plan(now: State) -> ProposedEvent:
            kind = act["kind"]
            if kind == "register":
                return register(identity, clone.commit(identity.version.patch % COMMITS))(now)
            if kind == "retire":
                return retire(identity)(now)
            status = _NEXT.get(now.entry(identity).status, "production")
            return move(identity, status if kind == "next" else kind)(now)  # type: ignore[arg-type]

        clone.reset({int(key): hook for key, hook in hooks.items()})
        try:
            if act["kind"] == "sync":
                clone.sync()
            elif act["kind"] == "fetch":
                clone.git("fetch", "--quiet", "--tags")
            else:
                event = clone.add(plan)
                self.acknowledged[f"refs/tags/{event.tag}"] = event.object
                self.count(f"done: {event.act}")
        except (ConflictError, InputError, RuleError) as error:
            self.count(type(error).__name__)
        except Killed:
            self.count("killed")

    def count(self, what: str) -> None:
        self.steps[what] = self.steps.get(what, 0) + 1

    def run_act(self, act: dict[str, Any], **hooks: Any) -> None:
        if act["kill"] is not None:
            hooks[str(act["kill"])] = _kill
        self.perform(act, act["clone"], act["model"], act["number"], **hooks)

    @rule(act=_ACT)
    def alone(self, act: dict[str, Any]) -> None:
        self.run_act({**act, "kill": None})

    @rule(act=_ACT)
    def killed(self, act: dict[str, Any]) -> None:
        self.run_act(act)

    @rule(act=_ACT, other=_ACT, index=_INDEX)
    def overtaken(self, act: dict[str, Any], other: dict[str, Any], index: int) -> None:
        """By another clone, or by another process of the same one, on the same model or not."""
        self.run_act(act, **{str(index): lambda: self.run_act(other)})

    @rule(act=_ACT, kind=_KIND, clone=st.sampled_from(CLONES), index=st.integers(1, 14))
    def contended(self, act: dict[str, Any], kind: str, clone: str, index: int) -> None:
        """Two want to change the same version."""
        other = {**act, "clone": clone, "kind": kind, "kill": None}
        self.run_act({**act, "kill": None}, **{str(index): lambda: self.run_act(other)})

    @rule(act=_ACT, others=st.lists(_ACT, min_size=2, max_size=3), indices=st.data())
    def overtaken_again_and_again(
        self, act: dict[str, Any], others: list[dict[str, Any]], indices: st.DataObject
    ) -> None:
        hooks = {}
        for other in others:
            index = indices.draw(st.integers(0, 40))
            hooks[str(index)] = lambda other=other: self.run_act(other)
        self.run_act({**act, "kill": None}, **hooks)

    @rule(clone=st.sampled_from(CLONES))
    def pull(self, clone: str) -> None:
        """A plain `git pull` of new commits, which brings the tags on them."""
        self.main = min(self.main + 1, COMMITS - 1)
        target = f"all~{COMMITS - 1 - self.main}"
        git(self.site.origin, "update-ref", "refs/heads/main", target)
        self.site.clone(clone).git("pull", "--quiet", "--ff-only")

    @invariant()
    def nothing_is_lost(self) -> None:
        now = self.site.refs()
        now.pop(reading.HEAD, None)
        assert self.seen.items() <= now.items()
        assert self.acknowledged.items() <= now.items()
        self.seen = now

    @invariant()
    def one_version_is_in_production(self) -> None:
        now = state.fold(reading.read_events(Git(self.site.origin)))
        one_production(now)
        assert {key: entry.status for key, entry in now.entries.items()} == by_the_book(now)

    def teardown(self) -> None:
        self.site.assert_sound(*(self.site.clone(name) for name in CLONES))
        shutil.rmtree(self.site.folder)


def _campaign(
    template: RegistrySite, folder: Path, *, seed: int, examples: int, steps: int
) -> None:
    counts: dict[str, int] = {}
    places = {"template": template, "folder": folder, "steps": counts}
    machine = hypothesis.seed(seed)(type("Fleet", (Fleet,), places))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(sorted(counts.items()))
    # The campaign is worth nothing if it does not come to these.
    for what in ("done: register", "done: promote", "ConflictError", "killed"):
        assert counts[what]


def test_random_histories_with_kills_and_overtaking_lose_nothing(
    template: RegistrySite, tmp_path: Path
) -> None:
    _campaign(template, tmp_path, seed=1, examples=3, steps=30)


@pytest.mark.full
@pytest.mark.parametrize("seed", [101, 102, 103])
def test_long_random_histories_with_kills_and_overtaking_lose_nothing(
    template: RegistrySite, tmp_path: Path, seed: int
) -> None:
    _campaign(template, tmp_path, seed=seed, examples=24, steps=60)
