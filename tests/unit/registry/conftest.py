"""Registries to attack: real clones made by the real Repository, and the same without Git."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from facemodels.errors import FacemodelsError
from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.registry import audit, events, reading, rules, state, tag_names
from facemodels.registry.audit import AuditFinding
from facemodels.registry.events import Event
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import State, Status
from facemodels.registry.tag_store import TagStore

NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
ACTOR = "Test <test@example.invalid>"
V1, V2, V3 = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v2.0.0"
DETECTOR = "det-yolov8-v1.0.0"


def register(model: str, commit: str, **entry: Any) -> Proposal:
    evidence = {"package": f"sha256:{hashlib.sha256(model.encode()).hexdigest()}"}
    facts = {"metrics": {"accuracy": 0.99}, "tags": ["edge"], **entry}
    return lambda now: rules.register(
        now, ModelId.parse(model), commit, reason=f"release {model}", evidence=evidence, entry=facts
    )


def move(model: str, status: Status, *, reason: str = "as planned") -> Proposal:
    return lambda now: rules.move(now, ModelId.parse(model), status, reason=reason)


def deprecate(model: str, *, retire: bool = False) -> Proposal:
    return lambda now: rules.deprecate(now, ModelId.parse(model), reason="old", retire=retire)


class Clone:
    """A clone, what its owner does with the registry, and what an attacker does with git."""

    def __init__(self, root: Path, policy: RegistryPolicy | None = None) -> None:
        self.root = root
        self.git = Git(root)
        self.policy = policy

    @property
    def repository(self) -> TagStore:
        policy = self.policy or RegistryPolicy(remote=self.git.text("remote"))
        return TagStore(self.git, policy, clock=lambda: NOW)

    # --- the owner -----------------------------------------------------------------------

    def add(self, *plans: Proposal) -> list[Event]:
        return [self.repository.add(plan) for plan in plans]

    def register(self, model: str, **entry: Any) -> Event:
        return self.repository.add(register(model, self.commit(), **entry))

    def events(self) -> dict[str, Event]:
        return {event.tag: event for event in reading.read_events(self.git)}

    def chain(self) -> list[Event]:
        return sorted(self.events().values(), key=lambda event: event.sequence)

    def audit(self) -> list[AuditFinding]:
        read, head = reading.read_events(self.git), reading.read_head(self.git)
        return audit.audit(read, head, reading.read_originals(self.git, read, head))

    def fresh(self) -> Clone:
        """A clone of this one over a transport: what no ref names does not come along."""
        root = self.root.with_name(f"{self.root.name}-fresh")
        shutil.rmtree(root, ignore_errors=True)
        self.run("clone", "--quiet", f"file://{self.root}", str(root))
        fresh = Clone(root)
        if reading.read_head(self.git) is not None:
            fresh.run("fetch", "--quiet", "origin", f"+{reading.HEAD}:{reading.HEAD}")
        return fresh

    # --- the attacker --------------------------------------------------------------------

    def run(self, *arguments: str, stdin: str = "", **environment: str) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root, input=stdin, env={**os.environ, **environment},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def commit(self) -> str:
        date = f"@{NOW} +0000"
        self.run(
            "commit", "--quiet", "--allow-empty", "--message=work",
            GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date,
        )  # fmt: skip
        return self.run("rev-parse", "HEAD")

    def tag(
        self, tag: str, commit: str, message: str, *, seconds: int = NOW, who: str = "Test"
    ) -> str:
        """`git tag --force`, with a date and a name of the attacker's choice."""
        self.run(
            "tag", "--force", "--annotate", "--cleanup=verbatim", "--file=-", tag, commit,
            stdin=message, GIT_COMMITTER_DATE=f"@{seconds} +0000", GIT_COMMITTER_NAME=who,
        )  # fmt: skip
        return self.run("rev-parse", f"refs/tags/{tag}")

    def rewrite(
        self,
        tag: str,
        *,
        record: Mapping[str, Any] | None = None,
        seconds: int = 0,
        who: str = "Test",
        commit: str = "",
    ) -> str:
        """Make a tag anew with what is given, and all else as it was."""
        event = self.events()[tag]
        message = event.message
        if record is not None:
            message = events.write_record({**record_of(event), **record})
        return self.tag(
            tag, commit or event.commit, message, seconds=seconds or event.time, who=who
        )

    def insert(self, tag: str, commit: str, before: Event | None, **record: Any) -> str:
        """A tag with a well-formed record that names any event as the one before."""
        seconds = record.pop("seconds", (before.time if before else NOW) + 1)
        return self.tag(tag, commit, write(tag, commit, before, seconds, **record), seconds=seconds)


def write(tag: str, commit: str, before: Event | None, seconds: int, **record: Any) -> str:
    """The message of an event, as the registry would write it, with some keys of one's own."""
    name = tag_names.parse(tag)
    assert name is not None
    values = {
        "format": events.FORMAT,
        "sequence": before.sequence + 1 if before else 1,
        "previous": {"tag": before.tag, "object": before.object} if before else None,
        "tag": tag,
        "commit": commit,
        "act": "register" if name.act == "register" else "promote",
        "model_id": name.version or V1,
        "status": name.stage or "development",
        "actor": ACTOR,
        "time": events.to_text(seconds),
        "reason": "a reason",
        "evidence": {},
    }
    return events.write_record({**values, **record})


class Ledger:
    """A registry without Git: object ids are digests of what a tag object would hold."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def head(self) -> str | None:
        return self.events[-1].object if self.events else None

    @property
    def state(self) -> State:
        return state.fold(self.events)

    def add(self, plan: Proposal) -> Event:
        change = plan(self.state)
        before = self.events[-1] if self.events else None
        event = make(change, before, NOW + 7 * len(self.events))
        self.events.append(event)
        return event


def make(change: ProposedEvent, before: Event | None, seconds: int) -> Event:
    message = write(
        change.tag, change.commit, before, seconds, act=change.act, model_id=str(change.model),
        status=change.status, reason=change.reason, evidence=dict(change.evidence), **change.extra,
    )  # fmt: skip
    return tagged(change.tag, change.commit, message, seconds)


def tagged(tag: str, commit: str, message: str, seconds: int, who: str = ACTOR) -> Event:
    """The event that an annotated tag is."""
    name = tag_names.parse(tag)
    assert name is not None
    text = "\n".join((tag, commit, who, str(seconds), message))
    oid = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    record = events.read_record(message)
    return Event(tag, name, oid, commit, tag, who, seconds, record, message)


def again(event: Event, **changes: Any) -> Event:
    """The same tag with something changed, hence another object; `record` changes the record."""
    record = changes.pop("record", None)
    changed = replace(event, **changes)
    if record is not None:
        changed = replace(changed, message=events.write_record({**record_of(event), **record}))
    return tagged(changed.tag, changed.commit, changed.message, changed.time, changed.tagger)


def commit_of(model: str) -> str:
    return hashlib.sha1(model.encode(), usedforsecurity=False).hexdigest()


def play(
    add: Callable[[Proposal], object],
    moves: list[tuple[int, int, str]],
    commit: Callable[[str], str],
) -> None:
    """Random acts on up to two models of four versions each; what is refused does not happen."""
    for family, number, act in moves:
        model = f"{('rec-facenet', 'det-yolov8')[family]}-v{number}.0.0"
        plan: Proposal
        if act == "register":
            plan = register(model, commit(model))
        elif act == "retire":
            plan = deprecate(model, retire=True)
        else:
            plan = move(model, act)  # type: ignore[arg-type]
        try:
            add(plan)
        except FacemodelsError:
            continue


def history(clone: Clone) -> None:
    """Two models; every act that there is."""
    clone.register(V1)
    clone.add(move(V1, "staging"), move(V1, "production"))
    clone.register(DETECTOR)
    clone.register(V2)
    clone.add(move(V2, "staging"), move(V2, "production"))
    clone.add(move(V1, "production", reason="v1.1.0 is slow"), move(DETECTOR, "staging"))
    clone.add(deprecate(V2))
    clone.register(V3)


def start(root: Path) -> Clone:
    root.mkdir(parents=True)
    clone = Clone(root)
    clone.run("init", "--quiet", "--initial-branch=main")
    clone.commit()
    return clone


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clone that `history` makes, to be copied."""
    root = tmp_path_factory.mktemp("registry") / "clone"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Test")
            patch.setenv(f"GIT_{who}_EMAIL", "test@example.invalid")
        history(start(root))
    return root


@pytest.fixture
def clone(built: Path, tmp_path: Path) -> Clone:
    root = tmp_path / "clone"
    shutil.copytree(built, root)
    return Clone(root)


@pytest.fixture
def empty(tmp_path: Path) -> Clone:
    return start(tmp_path / "empty")


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def kinds(findings: list[AuditFinding]) -> dict[str, set[str]]:
    """Kinds by tag."""
    found: dict[str, set[str]] = {}
    for finding in findings:
        found.setdefault(finding.tag, set()).add(finding.kind)
    return found


def each(names: Iterable[str], kind: str) -> dict[str, set[str]]:
    """What `kinds` gives where one thing was done to each of some tags."""
    return {name: {kind} for name in names}


def record_of(event: Event) -> Mapping[str, Any]:
    value: Mapping[str, Any] = json.loads(event.message)
    return value
