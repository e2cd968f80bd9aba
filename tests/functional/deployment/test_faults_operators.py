"""Several operators at once, a remote that is away, policies, and what an end leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from pathlib import Path

import httpx
import psutil
import pytest

from facemodels.deployment.controller import lock
from tests.bounded import bounded
from tests.functional.deployment.conftest import Up
from tests.functional.deployment.site import (
    COMMAND,
    Environment,
    EnvironmentSite,
    Load,
    git,
    wait_until,
)

OLD, NEW, OTHER = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v1.2.0"


def all_is_right(site: EnvironmentSite, stable: str) -> None:
    site.run("registry", "sync")
    state = site.state()
    assert [one.id for one in state.entries.values() if one.status == "production"] == [stable]
    assert site.findings() == []


def colleague(site: EnvironmentSite) -> Path:
    """Another clone of the same remote, with the same packages."""
    folder = site.folder.with_name("colleague")
    skip = shutil.ignore_patterns(".facemodels")
    shutil.copytree(site.folder, folder, ignore=skip)
    return folder


def at_once(*asked: tuple[Path, tuple[str, ...]]) -> list[tuple[int, str]]:
    """Commands in clones, begun together; exit code and what each said on standard error."""
    begun = [
        subprocess.Popen(
            (COMMAND, *words), cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for folder, words in asked
    ]  # fmt: skip
    ended = [(one, one.communicate(timeout=120)[1]) for one in begun]
    return [(one.returncode, told) for one, told in ended]


def deployment(identity: str, strategy: str) -> tuple[str, ...]:
    where = ("--environment", "production", "--strategy", strategy)
    return ("deploy", "--model-id", identity, *where)


BACK = ("rollback", "--model-type", "recognition", "--reason", "it fails")


# --- two at once -------------------------------------------------------------------------


def test_of_two_deployments_at_once_one_comes_and_of_two_ends_the_chain_knows_the_first(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.staged(NEW)
    site.staged(OTHER)
    production = up(site)
    production.wait_for(v1_0_0=100)
    other = colleague(site)
    with Load(production) as load:
        told = at_once(
            (site.folder, deployment(NEW, "canary")), (other, deployment(OTHER, "canary"))
        )
        codes = [code for code, _ in told]
        assert sorted(codes)[0] == 0
        assert sorted(codes)[1] in (5, 6)
        loser = told[codes.index(0) - 1][1]
        assert "is on its way to production" in loser or "was faster" in loser
        assert "aborting" in loser or "abort" in loser or "decide anew" in loser
        site.run("registry", "sync")
        winner = (NEW, OTHER)[codes.index(0)]
        wait_until(lambda: production.shares() == {OLD: 90, winner: 10}, "the winner's canary")
        count = len(site.state().events)

        (complete, why), (back, why_not) = at_once(
            (site.folder, deployment(winner, "complete")), (other, BACK)
        )
        site.run("registry", "sync")
        acts = [event.act for event in site.state().events][count:]
        stable = site.state().production["recognition-facenet"]
        wait_until(lambda: production.shares() == {stable: 100}, stable)
    assert load.problems == []
    # Whoever saw the other's event has acted on it, or was refused.
    assert (complete, back, acts[-1]) in {
        (0, 5, "promote"), (0, 6, "promote"), (5, 0, "withdraw"), (6, 0, "withdraw"),
        (0, 0, "rollback"),
    }, (why, why_not, acts)  # fmt: skip
    if complete:
        assert "not on its way to production" in why or "was faster" in why
    if back:
        assert "Nothing was changed" in why_not or "was faster" in why_not
    all_is_right(site, stable)


def test_of_two_controllers_at_once_one_runs(site: EnvironmentSite, up: Up) -> None:
    site.in_production(OLD)
    first, second = up(site), up(site)
    assert first.process is not None
    assert second.process is not None
    wait_until(lambda: None not in (first.process.poll(), second.process.poll())  # type: ignore[union-attr]
               or {first.process.poll(), second.process.poll()} == {None, 6}, "one that ended")  # type: ignore[union-attr]  # fmt: skip
    assert {first.process.poll(), second.process.poll()} == {None, 6}
    assert "`facemodels status` shows what it does" in first.log()
    first.wait_for(v1_0_0=100)
    again = site.run("up", "--environment", "production", "--detach")
    assert "runs already" in again.stdout


def test_who_asks_whether_a_controller_runs_keeps_none_out(tmp_path: Path) -> None:
    end = threading.Event()

    def ask() -> None:
        while not end.is_set():
            lock.is_held(tmp_path)  # takes the lock for a moment itself

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            with lock.held(tmp_path):
                assert lock.is_held(tmp_path)
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert not lock.is_held(tmp_path)


# --- the remote is away ------------------------------------------------------------------


class Remote:
    """The bare repository, that can be away."""

    def __init__(self, site: EnvironmentSite) -> None:
        self._here = site.folder.with_name("origin.git")
        self._away = site.folder.with_name("away.git")

    def leave(self) -> None:
        self._here.rename(self._away)

    def come(self) -> None:
        self._away.rename(self._here)


def test_a_rollback_while_the_remote_is_away_changes_traffic_and_is_in_the_chain_later(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD)
    remote = Remote(site)
    remote.leave()
    with Load(production) as load:
        wait_until(lambda: "fetch: " in production.alarms(), "an alarm")
        refused = site.run(*deployment(NEW, "direct"), code=None)
        assert refused.returncode == 1
        assert "exists" in refused.stderr  # "…and the repository exists", as git says it
        told = site.run(*BACK)
        assert "Its event is not in the chain yet" in told.stdout
        assert "The controller adds it when the remote takes it" in told.stdout
        production.wait_for(v1_0_0=100)
        production.kill()  # the decision outlives the controller
        dead = site.run(*BACK, code=1)
        assert "Nothing moves: no controller runs" in dead.stderr
        assert "facemodels up --environment production" in dead.stderr
        production.start()
        wait_until(lambda: "not in the chain yet" in production.alarms(), "an alarm")
        assert production.shares() == {OLD: 100}
        remote.come()
        site.wait_event("rollback")
        wait_until(lambda: not production.alarms(), "no alarm")
    assert load.problems == []
    assert site.state().events[-1].reason == "it fails"
    assert {version for _, _, version in load.answers} == {"1.0.0", "1.1.0"}
    all_is_right(site, OLD)
    production.wait_for(v1_0_0=100)


def test_a_failing_canary_is_taken_back_by_itself_even_while_the_remote_is_away(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.staged(NEW, "failing")
    production = up(site)
    production.wait_for(v1_0_0=100)
    site.deploy(NEW, "--strategy", "canary", "--canary-percent", "30")
    production.wait_for(v1_0_0=70, v1_1_0=30)
    remote = Remote(site)
    remote.leave()
    with Load(production, failing_share=0.5, pause_s=0.02) as load:
        production.wait_for(v1_0_0=100)
        assert site.state().events[-1].act == "rollout"
        remote.come()
        site.wait_event("withdraw")
    assert load.problems == []  # who met the canary's failures was answered by the other
    event = site.state().events[-1]
    assert "worse in errors" in event.reason
    assert event.record is not None
    assert event.record["verdict"]["answer"] == "roll back"
    all_is_right(site, OLD)


def test_a_remote_that_says_nothing_holds_no_rollback_and_no_end(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD)
    url = git(site.folder, "remote", "get-url", "origin")
    git(site.folder, "config", "protocol.ext.allow", "always")
    git(site.folder, "remote", "set-url", "origin", "ext::sleep 1000")
    with Load(production) as load:
        told = site.run(*BACK)
        assert "gave no answer" in told.stdout
        production.wait_for(v1_0_0=100)
    assert load.problems == []
    site.run("down", "--environment", "production")
    assert production.process is not None
    production.process.wait(30)
    wait_until(lambda: not [p for p in production.processes() if "git" not in p.name()], "an end")
    git(site.folder, "remote", "set-url", "origin", url)
    production.start()
    site.wait_event("rollback")
    production.wait_for(v1_0_0=100)
    all_is_right(site, OLD)


def test_a_hook_that_never_ends_holds_no_rollback(site: EnvironmentSite, up: Up) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD)
    hook = site.folder.parent / "origin.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexec sleep 1000\n")
    hook.chmod(0o755)
    with Load(production) as load:
        command = site.begin(*BACK)
        production.wait_for(v1_0_0=100)
        below = psutil.Process(command.pid).children  # the command waits for its hook still
        [sleep] = wait_until(
            lambda: [one for one in below(recursive=True) if one.name() == "sleep"], "the hook"
        )
        hook.unlink()
        sleep.kill()
        told, _ = command.communicate(timeout=60)
        assert command.returncode == 0
        assert "Traffic goes back to rec-facenet-v1.0.0 now" in told
        site.wait_event("rollback")
    assert load.problems == []
    all_is_right(site, OLD)


def test_a_rollback_without_remote_and_controller_says_what_is_missing(
    site: EnvironmentSite,
) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    Remote(site).leave()
    refused = site.run(*BACK, code=1)
    assert "repository exists" in refused.stderr
    assert site.state().production["recognition-facenet"] == NEW


# --- policies ----------------------------------------------------------------------------


def test_flags_are_switched_without_a_restart(site: EnvironmentSite, up: Up) -> None:
    site.in_production(OLD)
    site.staged(NEW)
    production = up(site)
    production.wait_for(v1_0_0=100)
    pid = production.router_pid()
    beta = {"name": "beta", "model_id": NEW, "header": "X-Beta", "value": "yes"}
    lab = {"name": "lab", "model_id": NEW, "cookie": "lab", "value": "1"}
    with Load(production) as load:
        site.configure("production", flags=[beta, lab])
        wait_until(lambda: production.versions(**{"X-Beta": "yes"}) == {"1.1.0"}, "the flag")
        assert production.version(Cookie="a=b; lab=1") == "1.1.0"
        assert production.version(Cookie="lab=10") == "1.0.0"
        assert production.version(**{"X-Beta": "no"}) == "1.0.0"
        site.configure("production", flags=[{**beta, "enabled": False}, lab])
        wait_until(lambda: production.versions(**{"X-Beta": "yes"}) == {"1.0.0"}, "no flag")
        assert production.version(Cookie="lab=1") == "1.1.0"
        path = site.folder / "conf/deploy/production.yaml"
        good = path.read_text()
        path.write_text(f"{good}\nunknown: 1\n")
        wait_until(lambda: "unknown" in production.alarms(), "an alarm")
        assert production.version(Cookie="lab=1") == "1.1.0"  # as it was
        path.write_text(good)
        wait_until(lambda: not production.alarms(), "no alarm")
        site.configure("production", address={"port": 1})
        wait_until(lambda: "address of production.yaml changed" in production.alarms(), "an alarm")
    assert load.problems == []
    assert {version for _, _, version in load.answers} == {"1.0.0"}
    assert production.router_pid() == pid


def test_a_client_stays_with_its_version_and_may_ask_for_another(
    site: EnvironmentSite, up: Up
) -> None:
    site.configure("production", sticky_cookie="fm")
    site.in_production(OLD)
    site.staged(NEW)
    production = up(site)
    production.wait_for(v1_0_0=100)
    site.deploy(NEW, "--strategy", "canary", "--canary-percent", "50")
    production.wait_for(v1_0_0=50, v1_1_0=50)
    clients = [httpx.Client() for _ in range(6)]
    first = [production.ask(client=one).json()["model_version"] for one in clients]
    assert set(first) == {"1.0.0", "1.1.0"}
    for _ in range(5):
        assert [production.ask(client=one).json()["model_version"] for one in clients] == first
    for wanted in ("1.0.0", "1.1.0"):
        assert production.version(**{"X-Facemodels-Version": wanted}) == wanted
    assert production.ask(headers={"X-Facemodels-Version": "9.9.9"}).status_code == 404
    production.kill()
    production.start()
    assert [production.ask(client=one).json()["model_version"] for one in clients] == first
    site.deploy(NEW, "--strategy", "complete")
    production.wait_for(v1_1_0=100)
    assert {production.ask(client=one).json()["model_version"] for one in clients} == {"1.1.0"}
    for one in clients:
        one.close()


# --- ends --------------------------------------------------------------------------------


def test_nothing_is_left_after_the_end_however_the_controller_ended(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD, NEW)
    production.kill()
    assert len(production.processes()) >= 3  # router and two servers outlive it
    site.run("down", "--environment", "production")
    assert production.processes() == []
    told = site.run("status", "--environment", "production", code=1)
    assert "100 %" not in told.stdout
    production.start()
    production.wait_for(v1_1_0=100)
    site.run("down", "--environment", "production")
    assert production.process is not None
    production.process.wait(30)
    assert production.processes() == []
    site.run("down", "--environment", "production")  # nothing to end, and nothing wrong


@pytest.mark.parametrize("how", bounded(("down", "settings"), ("settings",)))
def test_the_next_controller_adopts_what_serves_without_a_failed_request(
    site: EnvironmentSite, up: Up, how: str
) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD, NEW)
    pids = {production.router_pid(), production.server_pid(OLD), production.server_pid(NEW)}
    with Load(production) as load:
        site.run("down", "--environment", "production", "--keep-serving")
        assert production.process is not None
        production.process.wait(30)
        if how == "settings":  # a limit of the router, that takes a restart of it
            path = site.folder / "conf/serving.yaml"
            path.write_text("limits: {head_bytes: 20000}\n")
        wanted = len(load.answers) + 50
        wait_until(lambda: len(load.answers) > wanted, "answers without a controller")
        production.start()
        wait_until(lambda: restarted(production), "the next controller")
        if how == "settings":
            wait_until(lambda: "settings of before" in production.alarms(), "an alarm")
        wanted = len(load.answers) + 50
        wait_until(lambda: len(load.answers) > wanted, "answers")
        production.wait_for(v1_1_0=100)
    assert load.problems == []
    now = {production.router_pid(), production.server_pid(OLD), production.server_pid(NEW)}
    assert now == pids
    if how == "down":
        assert production.alarms() == ""


def restarted(production: Environment) -> bool:
    return production.log().count('"event":"running"') == 2


def test_a_controller_that_cannot_read_the_tags_takes_nothing_away(
    site: EnvironmentSite, up: Up
) -> None:
    broken = site.folder.with_name("broken")
    place = site.folder.with_name("bin")
    place.mkdir()
    script = f"#!/bin/sh\n[ -e {broken} ] && echo no disk >&2 && exit 128\n"
    (place / "git").write_text(f'{script}exec {shutil.which("git")} "$@"\n')
    (place / "git").chmod(0o755)
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD, NEW)
    production.kill()
    broken.touch()
    production.before = ("env", f"PATH={place}:{os.environ['PATH']}")
    with Load(production) as load:
        production.start()
        wait_until(lambda: "no disk" in production.alarms(), "an alarm")
        wanted = len(load.answers) + 50
        wait_until(lambda: len(load.answers) > wanted, "answers")
        broken.unlink()
        wait_until(lambda: production.status()["models"] and not production.alarms(), "no alarm")
        production.wait_for(v1_1_0=100)
    assert load.problems == []
    all_is_right(site, NEW)
