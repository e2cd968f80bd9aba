"""A bare repository and clones of it, in which registry commands can be killed or overtaken."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner
from pygit2 import Signature
from scmrepo.git.backend.pygit2 import Pygit2Backend

from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.registry import audit, reading, rules, state
from facemodels.registry.events import Event
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import State, Status
from facemodels.registry.tag_store import TagStore

BIN = Path(sys.executable).parent
CLOCK = 1_760_000_000.0  # stands still: every event is in the same second as the one before
COMMITS = 12
NAMES = {"rec": "recognition-facenet", "det": "detection-yolov8"}


class Killed(BaseException):
    """The process ended here; nothing of it runs any more."""


def run(*words: str, cwd: Path, check: bool = True, **env: str) -> str:
    done = subprocess.run(
        words,
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", **env},
        timeout=300,
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{words} gave {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout if check else done.stdout + done.stderr


def git(folder: Path, *words: str) -> str:
    return run("git", *words, cwd=folder).removesuffix("\n")


def refs(folder: Path) -> dict[str, str]:
    """Object ids of the tags and the registry's head, by full name."""
    listed = git(folder, "for-each-ref", "--format=%(refname) %(objectname)")
    pairs = (line.split() for line in listed.splitlines())
    return {name: oid for name, oid in pairs if name.startswith(("refs/tags/", reading.HEAD))}


def locks(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.lock"))


# --- plans -------------------------------------------------------------------------------


def version(model: str, number: int) -> ModelId:
    """Version 1.0.number of `rec` or `det`."""
    return ModelId.parse(f"{NAMES[model]}@v1.0.{number}")


def register(model: ModelId, commit: str, *, reason: str = "new") -> Proposal:
    def plan(now: State) -> ProposedEvent:
        return rules.register(now, model, commit, reason=reason, evidence={}, entry={})

    return plan


def move(model: ModelId, status: Status, *, reason: str = "because") -> Proposal:
    return lambda now: rules.move(now, model, status, reason=reason)


def retire(model: ModelId) -> Proposal:
    return lambda now: rules.deprecate(now, model, reason="the end", retire=True)


# --- clones ------------------------------------------------------------------------------


@dataclass
class Clone:
    """A working copy; `hooks` are called before its git commands, by their index."""

    folder: Path
    remote: str = "origin"
    commands: list[tuple[str, ...]] = field(default_factory=list)
    hooks: dict[int, Callable[[], None]] = field(default_factory=dict)

    def _before(self, arguments: Sequence[str]) -> None:
        index = len(self.commands)
        self.commands.append(tuple(arguments))
        hook = self.hooks.pop(index, None)
        if hook is not None:
            hook()

    def reset(self, hooks: dict[int, Callable[[], None]] | None = None) -> None:
        """Count the git commands anew, and call these hooks before some of them."""
        self.commands.clear()
        self.hooks = dict(hooks or {})

    @property
    def registry(self) -> TagStore:
        policy = RegistryPolicy(remote=self.remote)
        return TagStore(Git(self.folder, before=self._before), policy, clock=lambda: CLOCK)

    def add(self, plan: Proposal) -> Event:
        return self.registry.add(plan)

    def sync(self, *, publish: bool = False) -> int:
        return self.registry.sync(publish=publish)

    def state(self) -> State:
        return state.fold(reading.read_events(Git(self.folder)))

    def statuses(self) -> dict[str, str]:
        return {key: entry.status for key, entry in self.state().entries.items()}

    def findings(self) -> list[audit.AuditFinding]:
        plain = Git(self.folder)
        return audit.audit(reading.read_events(plain), reading.read_head(plain))

    def refs(self) -> dict[str, str]:
        return refs(self.folder)

    def git(self, *words: str) -> str:
        return git(self.folder, *words)

    def commit(self, number: int) -> str:
        return self.git("rev-parse", f"origin/all~{COMMITS - 1 - number}")

    def gto(self, *words: str, at: int | None = None) -> str:
        """The real gto, in this process: it takes half a second to start.

        Args:
            words: its arguments.
            at: the date of its tag, as pygit2 asks the system for the time and no variable.
        """
        from gto.cli import app

        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.chdir(self.folder),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            if at is not None:
                who = os.environ["GIT_COMMITTER_NAME"], os.environ["GIT_COMMITTER_EMAIL"]
                patch.setattr(Pygit2Backend, "committer", Signature(*who, at, 0))
            done = CliRunner().invoke(app, words, prog_name="gto")
        assert done.exit_code == 0, (words, done.output, done.exception)
        return done.stdout


@dataclass
class RegistrySite:
    """One bare repository, `origin.git`, and clones beside it."""

    folder: Path

    @property
    def origin(self) -> Path:
        return self.folder / "origin.git"

    def clone(self, name: str) -> Clone:
        """The clone of that name, made if it is not there."""
        path = self.folder / name
        if not path.exists():
            git(self.folder, "clone", "--quiet", "origin.git", name)
            # Relative, so that a copied site is a site of its own.
            git(path, "config", "remote.origin.url", "../origin.git")
        return Clone(path)

    def alone(self, name: str) -> Clone:
        """A clone that has no remote."""
        clone = self.clone(name)
        return Clone(clone.folder, remote="")

    def refs(self) -> dict[str, str]:
        return refs(self.origin)

    def copy(self, target: Path) -> RegistrySite:
        shutil.copytree(self.folder, target, symlinks=True)
        return RegistrySite(target)

    def hook(self, name: str, script: str) -> None:
        path = self.origin / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
        path.chmod(0o755)

    def assert_sound(self, *clones: Clone) -> None:
        """These clones and a fresh one agree, nothing is left over, the audit has no finding."""
        fresh = self.clone(f"fresh-{len(list(self.folder.iterdir()))}")
        for clone in (*clones, fresh):
            clone.git("fetch", "--quiet", "--tags")
        self.assert_agree(*clones, fresh)
        for clone in (*clones, fresh):
            assert_clean(clone.folder)
        assert_clean(self.origin)

    def assert_agree(self, *clones: Clone) -> None:
        """After a sync these clones have what the remote has, and the audit has no finding."""
        theirs = self.refs()
        for clone in clones:
            clone.reset()
            clone.sync()
            assert clone.refs() == theirs
        assert clones[0].findings() == []
        one_production(clones[0].state())


def assert_clean(folder: Path) -> None:
    assert locks(folder) == []
    run("git", "fsck", "--strict", "--no-dangling", cwd=folder)


def one_production(now: State) -> None:
    """Counted from the entries' statuses, which `State.production` should agree with."""
    found: dict[str, str] = {}
    for key, entry in now.entries.items():
        if entry.status == "production":
            assert entry.model not in found, f"{key} and {found[entry.model]}"
            found[entry.model] = key
    assert found == now.production


def by_the_book(now: State) -> dict[str, str]:
    """The statuses once more, from nothing but the records, in the order of their numbers."""
    statuses: dict[str, str] = {}
    recorded = [event for event in now.events if event.record is not None]
    for event in sorted(recorded, key=lambda e: e.sequence):
        record = event.record or {}
        model, status = record["model_id"], record["status"]
        if status == "production":
            family = model.split("-v")[0]
            for other, value in statuses.items():
                if value == "production" and other.split("-v")[0] == family:
                    statuses[other] = "staging"
        statuses[model] = status
    return statuses


def build(folder: Path) -> RegistrySite:
    """A bare repository with commits on `all`, of which `main` has the first."""
    site = RegistrySite(folder)
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch", "main", "origin.git")
    git(site.origin, "config", "gc.auto", "0")
    seed = folder / "seed"
    git(folder, "clone", "--quiet", "origin.git", "seed")
    for number in range(COMMITS):
        # GTO takes a commit after a deprecation for a new life of the model.
        when = f"@{int(CLOCK) - 1000 + number} +0000"
        words = ("git", "commit", "--quiet", "--allow-empty", "--message", f"commit {number}")
        run(*words, cwd=seed, GIT_AUTHOR_DATE=when, GIT_COMMITTER_DATE=when)
    git(
        seed,
        "push",
        "--quiet",
        "origin",
        "HEAD:refs/heads/all",
        f"HEAD~{COMMITS - 1}:refs/heads/main",
    )
    shutil.rmtree(seed)
    for name in ("one", "two", "three"):
        clone = site.clone(name)
        clone.git("config", "gc.auto", "0")
    return site
