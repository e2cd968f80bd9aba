"""`facemodels rollback`: traffic changes before any network act, and the remote is fetched once."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from tests.unit.deployment.plans import MODEL, promote
from tests.unit.registry.conftest import V1, V2, Clone, move, start

from facemodels.deployment.controller import lock, manual_rollback
from facemodels.deployment.controller.manual_rollback import (
    RollbackOutcome,
    RollbackRequest,
    propose_rollback,
    roll_back,
    why_nothing_moves,
)
from facemodels.deployment.controller.pending_rollbacks import PendingRollback, PendingRollbacks
from facemodels.deployment.settings import Address, Environment
from facemodels.errors import InputError, IntegrityError, ToolError
from facemodels.registry.registry import Registry

SETTINGS = Environment(address=Address(port=0), control=Address(port=0))
REQUEST = RollbackRequest("recognition", None, "it fails")
_BUILT: list[Path] = []


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Clone:
    """V2 is in production and V1 was; a copy with a remote, since building it takes long."""
    if not _BUILT:
        folder = tmp_path_factory.mktemp("rollback")
        clone = start(folder / "clone")
        for model in (V1, V2):
            clone.register(model)
            clone.add(move(model, "staging"), promote(model))
        clone.run("clone", "--quiet", "--bare", str(clone.root), str(folder / "origin.git"))
        _BUILT.append(folder)
    shutil.copytree(_BUILT[0], tmp_path, dirs_exist_ok=True)
    clone = Clone(tmp_path / "clone")
    clone.run("remote", "add", "origin", str(tmp_path / "origin.git"))
    clone.repository.sync(publish=True)
    return clone


@pytest.fixture
def folder(clone: Clone) -> Path:
    """The state folder of production."""
    return clone.root / ".facemodels/production"


@pytest.fixture
def controlled(folder: Path) -> Iterator[PendingRollbacks]:
    """A controller holds the environment; what it would read as pending rollbacks."""
    with lock.held(folder):
        yield PendingRollbacks(folder / "decisions")


def rolled_back(clone: Clone) -> RollbackOutcome:
    return roll_back(Registry(clone.repository), SETTINGS, REQUEST)


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def limit(monkeypatch: pytest.MonkeyPatch, **limits_s: float) -> None:
    named = {name.replace("_", "-"): seconds for name, seconds in limits_s.items()}
    monkeypatch.setattr(manual_rollback, "_FIRST_ANSWER", named)
    monkeypatch.setattr(manual_rollback, "_WITH_CONTROLLER", named)


def changes_traffic_to(version: str, controlled: PendingRollbacks, clone: Clone) -> bool:
    found: list[PendingRollback] = controlled.all()
    return [one.to for one in found] == [version] and found[0].holds(clone.repository.state())


# --- the remote is fetched once ------------------------------------------------------------------


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets a line for every git command, options of Git before it included."""
    log = tmp_path / "commands"
    git = shutil.which("git")
    script(tmp_path / "bin/git", f'echo "$@" >> {log}\nexec {git} "$@"')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return log


def network(log: Path) -> list[str]:
    acts = ("ls-remote", "fetch", "pull", "push", "clone", "fetch-pack", "send-pack")
    lines = [line.split() for line in log.read_text().splitlines()]
    return [act for line in lines if (act := next((word for word in line if word in acts), ""))]


def test_with_a_controller_a_rollback_fetches_and_pushes_once(
    clone: Clone, controlled: PendingRollbacks, commands: Path
) -> None:
    outcome = rolled_back(clone)
    assert network(commands) == ["ls-remote", "push"]
    assert outcome.event is not None
    assert (outcome.event.act, outcome.to) == ("rollback", V1)
    assert not controlled.all()[0].holds(clone.repository.state())  # the controller deletes it
    assert clone.repository.state().production[MODEL] == V1
    assert clone.audit() == []


def test_without_a_controller_a_rollback_fetches_and_pushes_once(
    clone: Clone, commands: Path, folder: Path
) -> None:
    outcome = rolled_back(clone)
    assert network(commands) == ["ls-remote", "push"]
    assert outcome.event is not None
    assert (outcome.event.act, outcome.to) == ("rollback", V1)
    assert not (folder / "decisions").exists()


@pytest.mark.parametrize("takes", [True, False])
def test_where_the_controller_died_a_rollback_is_decided_and_says_that_nothing_moves(
    clone: Clone, folder: Path, monkeypatch: pytest.MonkeyPatch, takes: bool
) -> None:
    monkeypatch.setattr(manual_rollback, "_RESTART_S", 0.0)
    if not takes:
        script(Path(clone.run("remote", "get-url", "origin")) / "hooks/pre-receive", "exit 1")
    folder.mkdir(parents=True)
    (folder / "status.json").write_text("{}")  # an orderly end would have deleted it
    outcome = rolled_back(clone)
    assert outcome.stuck == "no controller runs on what was left here"
    assert (outcome.event is not None) == takes
    [waiting] = PendingRollbacks(folder / "decisions").all()
    assert waiting.to == V1
    assert waiting.holds(clone.repository.state()) != takes


def test_a_controller_that_hangs_moves_nothing_either(
    folder: Path, controlled: PendingRollbacks
) -> None:
    assert why_nothing_moves(folder) == ""
    (folder / "status.json").touch()
    for name in ("status.json", "lock"):
        os.utime(folder / name, (1, time.time() - 60))
    assert "has said nothing for 60 s" in why_nothing_moves(folder)


def test_a_dry_run_fetches_once_and_writes_nothing(
    clone: Clone, controlled: PendingRollbacks, commands: Path
) -> None:
    proposed = propose_rollback(Registry(clone.repository), SETTINGS, REQUEST)
    assert (proposed.act, str(proposed.model)) == ("rollback", V1)
    assert network(commands) == ["ls-remote"]
    assert controlled.all() == []


# --- nothing of git delays traffic ---------------------------------------------------------------


class Refusing(BaseHTTPRequestHandler):
    """Asks everybody for a password, so that git runs the credential helper."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="models"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def hang_in(what: str, clone: Clone, sleeper: Path, closing: list[Callable[[], None]]) -> None:
    """Let a part of git's network hang for ever."""
    set_url = ("remote", "set-url", "origin")
    if what == "remote helper":
        clone.run("config", "protocol.ext.allow", "always")
        clone.run(*set_url, f"ext::{sleeper}")
    elif what == "ssh":
        clone.run("config", "core.sshCommand", str(sleeper))
        clone.run(*set_url, "ssh://nowhere.invalid/origin.git")
    elif what == "hook of the remote":
        origin = Path(clone.run("remote", "get-url", "origin"))
        shutil.copy(sleeper, script(origin / "hooks/pre-receive", ""))
    elif what == "proxy":
        silent = socket.create_server(("127.0.0.1", 0))
        closing.append(silent.close)
        clone.run("config", "http.proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        clone.run(*set_url, "http://nowhere.invalid/origin.git")
    else:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closing.append(server.server_close)
        clone.run("config", "credential.helper", f"!{sleeper}")
        clone.run(*set_url, f"http://127.0.0.1:{server.server_port}/origin.git")


@pytest.mark.parametrize(
    ("what", "limits_s"),
    [
        ("remote helper", {"ls_remote": 3.0}),
        ("ssh", {"ls_remote": 3.0}),
        ("proxy", {"ls_remote": 1.0}),
        ("credential helper", {"ls_remote": 3.0}),
        ("hook of the remote", {"push": 3.0}),
    ],
)
def test_whatever_hangs_the_pending_rollback_is_written_before_and_the_command_ends(
    clone: Clone,
    controlled: PendingRollbacks,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    limits_s: Mapping[str, float],
) -> None:
    limit(monkeypatch, **limits_s)
    seen = tmp_path / "seen"
    sleeper = script(
        tmp_path / "sleeper", f"ls {folder}/decisions/{MODEL}.json > {seen} 2>&1\nexec sleep 1000"
    )
    closing: list[Callable[[], None]] = []
    hang_in(what, clone, sleeper, closing)
    begin = time.monotonic()
    outcome = rolled_back(clone)
    assert time.monotonic() - begin < 30
    assert outcome.event is None
    assert isinstance(outcome.why, ToolError)
    assert "gave no answer" in outcome.why.what
    assert changes_traffic_to(V1, controlled, clone)
    if what != "proxy":
        assert seen.read_text() == f"{folder}/decisions/{MODEL}.json\n"  # it was there before
    assert [one for one in psutil.process_iter() if sleeps(one, tmp_path)] == []
    for end in closing:
        end()


def sleeps(process: psutil.Process, below: Path) -> bool:
    """Whether it is the sleep of a script of ours, that should have been killed with git."""
    try:
        return process.name() == "sleep" and Path(process.cwd()).is_relative_to(below)
    except psutil.Error:
        return False


def test_a_missing_remote_delays_nothing(clone: Clone, controlled: PendingRollbacks) -> None:
    clone.run("remote", "set-url", "origin", "/nowhere/origin.git")
    outcome = rolled_back(clone)
    assert outcome.event is None
    assert isinstance(outcome.why, ToolError)
    assert changes_traffic_to(V1, controlled, clone)


def test_a_missing_remote_without_a_controller_is_an_error(clone: Clone, folder: Path) -> None:
    clone.run("remote", "set-url", "origin", "/nowhere/origin.git")
    with pytest.raises(ToolError):
        rolled_back(clone)
    assert not (folder / "decisions").exists()


# --- others -------------------------------------------------------------------------------------


def test_traffic_follows_the_tags_again_where_the_rules_refuse_the_rollback(
    clone: Clone, controlled: PendingRollbacks, tmp_path: Path
) -> None:
    other = Clone(Path(shutil.copytree(clone.root, tmp_path / "other")))
    other.add(move(V1, "production", reason="somebody was faster"))
    with pytest.raises(InputError, match="in production already"):
        rolled_back(clone)
    assert controlled.all() == []


def test_a_controller_of_an_earlier_release_may_be_faster_with_the_same_event(
    clone: Clone, controlled: PendingRollbacks, tmp_path: Path
) -> None:
    """It knows no claim: it adds the event as soon as it sees the file."""
    other = Clone(Path(shutil.copytree(clone.root, tmp_path / "other")))
    [event] = other.add(move(V1, "production", reason=REQUEST.reason))
    outcome = rolled_back(clone)
    assert outcome.event is not None
    assert (outcome.event.tag, outcome.why) == (event.tag, None)


def test_a_remote_that_lost_events_keeps_no_bad_version_in_production(
    clone: Clone, controlled: PendingRollbacks, tmp_path: Path
) -> None:
    clone.run("push", "--quiet", "origin", f":refs/tags/{MODEL}#production#4")
    clone.run("push", "--quiet", "origin", ":refs/facemodels/head")
    outcome = rolled_back(clone)
    assert isinstance(outcome.why, IntegrityError)
    assert changes_traffic_to(V1, controlled, clone)


def test_only_one_process_adds_the_event(clone: Clone, controlled: PendingRollbacks) -> None:
    with controlled.claim(MODEL) as ours:
        assert ours
        outcome = rolled_back(clone)
    assert outcome.event is None
    assert changes_traffic_to(V1, controlled, clone)
    with controlled.claim(MODEL) as ours:
        assert ours
