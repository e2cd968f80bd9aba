"""The real gto and dvc on a registry of ours, and ours on tags of gto's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from dvc.repo import Repo

from facemodels.errors import InputError
from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.state import State

from ..dvc_here import dvc
from .site import CLOCK, NAMES, Clone, RegistrySite, git, move, register, retire, version

NAME = NAMES["rec"]
_GTO_EVENTS = {
    "register": "registration",
    "assign": "assignment",
    "unassign": "unassignment",
    "deregister": "deregistration",
    "deprecate-model": "deprecation",
}


def _shown(clone: Clone) -> dict[str, dict[str, object]]:
    """Latest version and version in production of every model, as gto has it."""
    shown = json.loads(clone.gto("show", "--json"))
    return {
        name: {"latest": told["version"], "production": told["stage"].get("production")}
        for name, told in shown.items()
    }


def _ours(now: State) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for name in sorted({entry.model for entry in now.entries.values()}):
        entries = now.of_model(name)
        production = now.entries.get(now.production.get(name, ""))
        found[name] = {
            "latest": f"v{entries[-1].version}",
            "production": f"v{production.version}" if production else None,
        }
    return found


def _assert_same_history(clone: Clone) -> None:
    told = json.loads(clone.gto("history", "--json"))
    theirs = [(e["ref"], e["event"], e["commit"], e["author"]) for e in reversed(told)]
    events: list[Event] = clone.state().events
    assert theirs == [
        (e.tag, _GTO_EVENTS[e.name.act], e.commit, e.tagger.split(" <")[0]) for e in events
    ]


def _versions(clone: Clone, *words: str) -> list[str]:
    return [row["version"] for row in json.loads(clone.gto("show", *words, "--json"))]


def test_gto_shows_what_we_made_and_a_rollback_too(site: RegistrySite) -> None:
    clone = site.clone("one")
    for number in range(3):
        clone.add(register(version("rec", number), clone.commit(number)))
        clone.add(move(version("rec", number), "staging"))
    clone.add(register(version("det", 0), clone.commit(0)))
    clone.add(move(version("rec", 0), "production"))
    clone.add(move(version("rec", 2), "production"))
    assert _shown(clone) == _ours(clone.state())
    assert _versions(clone, f"{NAME}#production") == ["v1.0.2"]

    clone.add(move(version("rec", 0), "production"))  # a rollback
    clone.add(move(version("rec", 1), "deprecated"))
    assert _shown(clone) == _ours(clone.state())
    assert _versions(clone, f"{NAME}#production") == ["v1.0.0"]
    assert _versions(clone, f"{NAME}@latest") == ["v1.0.2"]
    _assert_same_history(clone)


def test_gto_shows_the_last_promotion_after_ten_others_in_the_same_second(
    site: RegistrySite,
) -> None:
    """As text `#production#10` comes before `#production#9`, and the clock stands still."""
    clone = site.clone("one")
    for number in (0, 1):
        clone.add(register(version("rec", number), clone.commit(number)))
        clone.add(move(version("rec", number), "staging"))
    for turn in range(9):
        clone.add(move(version("rec", turn % 2), "production"))
        assert clone.state().production == {NAME: str(version("rec", turn % 2))}
    assert clone.state().events[-1].tag == f"{NAME}#production#11"
    assert _versions(clone, f"{NAME}#production") == ["v1.0.0"]
    clone.add(move(version("rec", 1), "production"))
    assert _versions(clone, f"{NAME}#production") == ["v1.0.1"]
    _assert_same_history(clone)


@pytest.mark.xfail(
    reason="GTO keeps a version in production until another comes or it is unassigned; "
    "retiring writes `#deprecated#N` alone",
    strict=True,
)
def test_gto_does_not_show_a_retired_version_in_production(site: RegistrySite) -> None:
    clone = site.clone("one")
    clone.add(register(version("rec", 0), clone.commit(0)))
    clone.add(move(version("rec", 0), "staging"))
    clone.add(move(version("rec", 0), "production"))
    clone.add(retire(version("rec", 0)))
    assert _shown(clone) == _ours(clone.state())


@pytest.fixture
def mixed(site: RegistrySite) -> tuple[Clone, Callable[..., None]]:
    """A clone, and gto in it, whose every call is later than all that was before."""
    clone = site.clone("one")
    clock = itertools.count(int(CLOCK) + 100, 100)

    def gto(*words: str) -> None:
        clone.gto(*words, at=next(clock))

    return clone, gto


def test_tags_of_gto_mean_the_same_to_us(mixed: tuple[Clone, Callable[..., None]]) -> None:
    clone, gto = mixed
    one, two, three = (clone.commit(number) for number in (1, 2, 3))

    def agree(production: str | None) -> None:
        assert _shown(clone) == _ours(clone.state())
        assert clone.state().production == (
            {NAME: f"rec-facenet-{production}"} if production else {}
        )

    gto("register", NAME, one, "--version", "v1.0.1")
    gto("register", NAME, two, "--version", "v1.0.2")
    gto("assign", NAME, "--version", "v1.0.1", "--stage", "staging")
    agree(None)
    assert clone.statuses() == {
        "rec-facenet-v1.0.1": "staging",
        "rec-facenet-v1.0.2": "development",
    }
    gto("assign", NAME, "--version", "v1.0.1", "--stage", "production")
    agree("v1.0.1")
    gto("assign", NAME, "--version", "v1.0.2", "--stage", "production")
    agree("v1.0.2")
    gto("assign", NAME, "--version", "v1.0.1", "--stage", "production", "--force")
    agree("v1.0.1")
    gto("deprecate", NAME, "v1.0.2")
    agree("v1.0.1")
    assert set(clone.statuses()) == {"rec-facenet-v1.0.1"}
    gto("register", NAME, three, "--version", "v1.0.3")
    gto("assign", NAME, "--version", "v1.0.3", "--stage", "production")
    agree("v1.0.3")
    gto("deprecate", NAME, "v1.0.3")
    _assert_same_history(clone)
    gto("deprecate", NAME)
    assert _shown(clone) == {}
    assert set(clone.statuses().values()) == {"deprecated"}
    assert clone.state().production == {}


def test_version_that_gto_takes_from_production_is_in_production_no_more(
    mixed: tuple[Clone, Callable[..., None]],
) -> None:
    clone, gto = mixed
    gto("register", NAME, clone.commit(1), "--version", "v1.0.1")
    gto("assign", NAME, "--version", "v1.0.1", "--stage", "production")
    gto("deprecate", NAME, "v1.0.1", "production")
    assert _shown(clone) == _ours(clone.state()) == {NAME: {"latest": "v1.0.1", "production": None}}


def test_ours_and_gtos_in_turn_mean_the_same_to_both(
    mixed: tuple[Clone, Callable[..., None]],
) -> None:
    clone, gto = mixed
    clone.add(register(version("rec", 1), clone.commit(1)))
    clone.add(move(version("rec", 1), "staging"))
    gto("register", NAME, clone.commit(2), "--version", "v1.0.2")
    gto("assign", NAME, "--version", "v1.0.2", "--stage", "staging")
    clone.add(move(version("rec", 2), "production"))
    assert _shown(clone) == _ours(clone.state())
    clone.add(move(version("rec", 1), "production"))
    assert _shown(clone) == _ours(clone.state())
    gto("assign", NAME, "--version", "v1.0.2", "--stage", "production", "--force")
    assert _shown(clone) == _ours(clone.state())
    assert clone.state().production == {NAME: "rec-facenet-v1.0.2"}
    clone.add(move(version("rec", 1), "production"))
    assert _versions(clone, f"{NAME}#production") == ["v1.0.1"]
    _assert_same_history(clone)
    # What has no record shows in the audit, and nothing else does.
    assert {(finding.kind, finding.tag) for finding in clone.findings()} == {
        ("inserted", event.tag) for event in clone.state().events if event.record is None
    }


def test_version_that_gto_pushed_first_is_told_to_the_second(site: RegistrySite) -> None:
    one, two = site.clone("one"), site.clone("two")
    one.gto("register", NAME, one.commit(1), "--version", "v1.0.1", at=int(CLOCK))
    one.git("push", "--quiet", "origin", f"{NAME}@v1.0.1")
    with pytest.raises(InputError, match="registered already"):
        two.add(register(version("rec", 1), two.commit(2)))
    two.add(register(version("rec", 2), two.commit(2)))
    assert two.refs() == site.refs()


# --- DVC ------------------------------------------------------------------------------------


@pytest.fixture
def packages(site: RegistrySite) -> tuple[Clone, dict[str, str]]:
    """A clone with three packages, each version in its own folder and commit; their commits."""
    clone = site.clone("one")
    folder = clone.folder
    Repo.init(str(folder)).close()
    config = f"[core]\n  check_update = false\n  remote = store\n['remote \"store\"']\n  url = {site.folder}/store\n"
    (folder / ".dvc/config").write_text(config, encoding="utf-8")
    commits = {}
    for number in ("1.0.0", "1.1.0", "2.0.0"):
        path = f"models/recognition/facenet-v{number}"
        package = folder / path
        package.mkdir(parents=True)
        (package / "weights").write_text(f"weights of {number}", encoding="ascii")
        text = f"artifacts:\n  {NAME}:\n    path: {path}\n    type: model\n"
        (folder / "dvc.yaml").write_text(text, encoding="ascii")
        with Repo(str(folder)) as repo:
            repo.add(str(package))
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", number)
        commits[number] = git(folder, "rev-parse", "HEAD")
    with Repo(str(folder)) as repo:
        repo.push(all_commits=True)
    git(folder, "push", "--quiet", "origin", "HEAD:main")
    return clone, commits


def test_dvc_gets_the_bytes_of_a_version_and_of_what_is_in_production(
    site: RegistrySite, packages: tuple[Clone, dict[str, str]]
) -> None:
    clone, commits = packages
    models = {number: ModelId.parse(f"{NAME}@v{number}") for number in commits}
    counter = itertools.count()

    def got(folder: Path, url: str, *words: str) -> str:
        out = folder / f"got-{next(counter)}"
        dvc(folder, "artifacts", "get", url, NAME, *words, "-o", out.name)
        return (out / "weights").read_text(encoding="ascii")

    for number, model in models.items():
        clone.add(register(model, commits[number]))
        clone.add(move(model, "staging"))
    clone.add(move(models["1.0.0"], "production"))
    clone.add(move(models["2.0.0"], "production"))
    fresh = site.clone("fresh")
    assert got(clone.folder, ".", "--rev", "v1.0.0") == "weights of 1.0.0"
    assert got(fresh.folder, str(site.origin), "--rev", "v1.1.0") == "weights of 1.1.0"
    assert got(clone.folder, ".", "--stage", "production") == "weights of 2.0.0"

    clone.add(move(models["1.0.0"], "production"))  # a rollback: `#production#6`
    assert got(fresh.folder, str(site.origin), "--stage", "production") == "weights of 1.0.0"

    while clone.state().events[-1].name.counter < 11:  # as text, 10 and 11 come before 9
        turn = ("1.1.0", "2.0.0")[clone.state().events[-1].name.counter % 2]
        clone.add(move(models[turn], "production"))
    last = clone.state().production[NAME].removeprefix("rec-facenet-v")
    assert clone.state().events[-1].tag == f"{NAME}#production#11"
    assert got(fresh.folder, str(site.origin), "--stage", "production") == f"weights of {last}"
    # GTO counts the highest version as the latest, whatever is in production.
    assert _versions(clone, f"{NAME}@latest") == ["v2.0.0"]
