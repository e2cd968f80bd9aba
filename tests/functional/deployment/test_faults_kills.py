"""SIGKILL and SIGSTOP of every process, in every phase of every strategy, under load.

One environment a phase: its processes are killed one after the other, each as soon as the
environment has recovered from the one before.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product

import psutil
import pytest

from tests.bounded import bounded
from tests.functional.deployment.conftest import Up
from tests.functional.deployment.site import Environment, EnvironmentSite, Load, wait_until

WARM, STABLE, CANDIDATE = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v1.2.0"
MODEL = "recognition-facenet"
ROUTER_S = 2.0  # without answers, at most, where the router was killed
NAMES = {"stable": STABLE, "candidate": CANDIDATE, "warm": WARM}
BACK = {"stable": CANDIDATE, "candidate": STABLE, "warm": STABLE}  # while it is rolled back
VICTIMS = ("controller", "router", "stable", "candidate", "warm")
# How the candidate comes, and who then has which share.
SHARES: dict[str, dict[str, int]] = {
    "direct": {"v1_1_0": 100},
    "canary": {"v1_1_0": 80, "v1_2_0": 20},
    "progressive": {"v1_1_0": 90, "v1_2_0": 10},
    "blue-green": {"v1_1_0": 100},
    "shadow": {"v1_1_0": 100},
    "ab": {"v1_1_0": 50, "v1_2_0": 50},
}
_full = pytest.mark.full


@pytest.fixture
def production(site: EnvironmentSite, up: Up) -> Environment:
    """One version in production, the one before it warm, the next one in staging."""
    return begin(site, up)


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A canary that goes on, for the tests that leave it as it was."""
    up = Up()
    found = begin(EnvironmentSite.make(tmp_path_factory.mktemp("canary")), up)
    roll_out(found, "canary")
    yield found
    up.end()


def begin(site: EnvironmentSite, up: Up) -> Environment:
    site.configure("production", canary_percent=20)
    site.in_production(WARM)
    site.in_production(STABLE)
    site.staged(CANDIDATE)
    found = up(site)
    found.wait_for(v1_1_0=100)
    found.wait_ready(WARM, STABLE)
    return found


def roll_out(production: Environment, strategy: str) -> None:
    """Begin a rollout and wait until the candidate has its part."""
    if strategy != "direct":
        production.site.deploy(CANDIDATE, "--strategy", strategy)
        production.wait_ready(CANDIDATE)
    production.wait_for(**SHARES[strategy])


def pid_of(production: Environment, victim: str, names: Mapping[str, str] = NAMES) -> int:
    if victim == "controller":
        assert production.process is not None
        return production.process.pid
    if victim == "router":
        return production.router_pid()
    return production.server_pid(names[victim])


def kill(production: Environment, victim: str, names: Mapping[str, str] = NAMES) -> None:
    """SIGKILL; the controller is started again, as whoever watches over it would."""
    if victim == "controller":
        production.kill()
        production.start()
    else:
        os.kill(pid_of(production, victim, names), signal.SIGKILL)


def recover(production: Environment, victim: str, before: int, **shares: int) -> None:
    """Wait until another process does what the killed one did, and all have their shares."""
    if victim == "controller":
        status = production.folder / "status.json"
        last = status.stat().st_ino
        wait_until(lambda: status.stat().st_ino != last, "a status of the next controller")
    elif victim == "router":
        wait_until(lambda: production.router_pid() not in (0, before), "another router")
        # It listens before it has read its routes: 404 for as long as that takes.
        wait_until(production.answers, "answers of the other router")
    else:
        production.wait_ready(NAMES[victim], besides=before)
    production.wait_for(**shares)


@contextmanager
def no_failures(production: Environment, victim: str) -> Iterator[None]:
    """Requests at a steady pace find an answer; those inside a router that died if repeated."""
    with Load(production, repeats=1 if victim == "router" else 0) as load:
        yield
        wanted = len(load.answers) + 20
        wait_until(lambda: len(load.answers) > wanted, "answers")
    assert load.problems == []
    assert load.repeated <= load.clients
    assert victim != "router" or load.longest_gap_s() < ROUTER_S


def all_is_right(site: EnvironmentSite, stable: str = STABLE) -> None:
    """One version in production, and a chain without a finding."""
    state = site.state()
    found = [one.id for one in state.of_model(MODEL) if one.status == "production"]
    assert found == [stable] == [state.production[MODEL]]
    assert site.findings() == []
    assert "registry" not in site.run("registry", "audit").stderr


STEADY = [
    pytest.param(strategy, victims, marks=marks, id=f"{strategy}-{'+'.join(victims)}")
    for strategy, victims, marks in (
        ("canary", VICTIMS, ()),
        ("direct", ("controller", "stable", "warm", "router"), _full),
        *((name, VICTIMS, _full) for name in ("progressive", "blue-green", "shadow", "ab")),
    )
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "victims"), STEADY)
def test_a_kill_while_a_rollout_goes_on_fails_no_request(
    request: pytest.FixtureRequest, strategy: str, victims: tuple[str, ...]
) -> None:
    if strategy == "canary":
        production = request.getfixturevalue("canary")
    else:
        production = request.getfixturevalue("production")
        roll_out(production, strategy)
    site = production.site
    for victim in victims:
        before = pid_of(production, victim)
        with no_failures(production, victim):
            kill(production, victim)
            recover(production, victim, before, **SHARES[strategy])
    all_is_right(site)
    if strategy != "direct":
        assert site.state().events[-1].act == "rollout"  # nobody took it back for that


@pytest.mark.parametrize("victim", bounded(("stable", "candidate", "router"), ("stable",)))
def test_a_process_that_hangs_is_replaced(canary: Environment, victim: str) -> None:
    canary.site.configure("production", hang_s=2.0)
    before = pid_of(canary, victim)
    with Load(canary) as load:
        os.kill(before, signal.SIGSTOP)
        recover(canary, victim, before, **SHARES["canary"])
        wanted = len(load.answers) + 20
        wait_until(lambda: len(load.answers) > wanted, "answers")
    canary.site.configure("production", hang_s=5.0)  # the default
    if victim == "router":
        assert load.longest_gap_s() < 2.0 + ROUTER_S
    else:
        assert load.problems == []
    all_is_right(canary.site)


def test_after_a_loss_of_power_the_next_controller_brings_back_what_the_tags_say(
    canary: Environment,
) -> None:
    for process in canary.processes():
        process.kill()
    assert canary.process is not None
    canary.process.wait()
    canary.start()
    status = canary.folder / "status.json"
    last = status.stat().st_ino
    wait_until(lambda: status.stat().st_ino != last, "a status of the next controller")
    canary.wait_ready(WARM, STABLE, CANDIDATE)
    canary.wait_for(**SHARES["canary"])
    with no_failures(canary, "nobody"):
        pass
    all_is_right(canary.site)


BEFORE = [
    pytest.param(s, v, marks=() if (s, v) in KEPT else _full)
    for KEPT in [{("canary", ("candidate", "controller"))}]
    for s, v in product(
        ("canary", "progressive", "blue-green", "shadow", "ab"),
        (("candidate", "controller"), ("stable", "warm", "router")),
    )
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "victims"), BEFORE)
def test_a_kill_before_the_candidate_is_ready_leaves_all_requests_with_the_old_one(
    site: EnvironmentSite, production: Environment, strategy: str, victims: tuple[str, ...]
) -> None:
    begun = production.folder / f"servers/{CANDIDATE}-0.json"
    command = site.begin(
        "deploy", "--model-id", CANDIDATE, "--environment", "production", "--strategy", strategy
    )
    wait_until(begun.exists, "the candidate's start")
    for victim in victims:
        held = production.server_pid(CANDIDATE)
        os.kill(held, signal.SIGSTOP)  # it does not get ready meanwhile
        before = pid_of(production, victim)
        with no_failures(production, victim):
            kill(production, victim)
            recover_old(production, victim, before)
        if victim != "candidate":
            os.kill(held, signal.SIGCONT)
    command.communicate(timeout=60)
    production.wait_ready(CANDIDATE)
    production.wait_for(**SHARES[strategy])
    all_is_right(site)


def recover_old(production: Environment, victim: str, before: int) -> None:
    if victim == "candidate":
        wait_until(
            lambda: (production.server(CANDIDATE).get("pid") or before) != before, "the next one"
        )
    else:
        recover(production, victim, before, v1_1_0=100)
        assert not production.server(CANDIDATE).get("ready")


TURNS = [
    pytest.param(s, v, marks=() if (s, v) in KEPT else _full)
    for KEPT in [{("blue-green", ("candidate",))}]
    for s, v in product(
        ("canary", "progressive", "blue-green", "shadow", "ab"),
        (("controller", "stable"), ("router", "warm"), ("candidate",)),
    )
]  # fmt: skip


@pytest.mark.parametrize(("strategy", "victims"), TURNS)
def test_a_kill_while_a_rollout_is_completed_or_rolled_back_ends_as_the_tags_say(
    site: EnvironmentSite, production: Environment, strategy: str, victims: tuple[str, ...]
) -> None:
    for victim in victims:
        roll_out(production, strategy)
        with no_failures(production, victim):
            turn(
                production, victim, NAMES,
                "deploy", "--model-id", CANDIDATE, "--environment", "production",
                "--strategy", "complete", "--reason", "again",
            )  # fmt: skip
            production.wait_for(v1_2_0=100)
        all_is_right(site, CANDIDATE)
        production.wait_ready(STABLE)  # the way back is warm
        with no_failures(production, victim):
            turn(
                production, victim, BACK,
                "rollback", "--model-type", "recognition", "--reason", "no",
            )  # fmt: skip
            production.wait_for(v1_1_0=100)
        all_is_right(site)
        production.wait_ready(WARM)  # the next way back, not the version that was taken back
    acts = [event.act for event in site.state().events][-3 * len(victims) :]
    # A version that was taken back before is promoted as any other.
    assert acts == ["rollout", "promote", "rollback"] * len(victims)


def turn(production: Environment, victim: str, names: Mapping[str, str], *words: str) -> None:
    """A command, and a kill as soon as its event is there."""
    count = len(production.site.state().events)
    command = production.site.begin(*words)
    wait_until(lambda: len(production.site.state().events) > count or command.poll(), "the event")
    kill(production, victim, names)
    assert errors_of(command) == []
    assert command.returncode == 0


def errors_of(command: subprocess.Popen[str]) -> list[str]:
    """What a command says on standard error, but for its warnings of a verdict that holds."""
    said = command.communicate(timeout=120)[1].splitlines()
    return [line for line in said if not line.startswith("Warning: ")]


@pytest.fixture
def busy() -> Iterator[None]:
    """Two other processes that want all of the machine."""
    words = (sys.executable, "-c", "while True: pass")
    others = [subprocess.Popen(words) for _ in range(2)]
    yield
    for one in others:
        one.kill()
        one.wait()


@pytest.mark.full
def test_a_kill_at_any_moment_of_a_turn_on_a_busy_machine_fails_no_request(
    production: Environment, busy: None
) -> None:
    chance = random.Random(100)
    complete = (
        "deploy", "--model-id", CANDIDATE, "--environment", "production", "--strategy", "complete",
        "--reason", "again",
    )  # fmt: skip
    back = ("rollback", "--model-type", "recognition", "--reason", "no")
    for number in range(100):
        if number % 2 == 0:
            roll_out(production, chance.choice(("canary", "blue-green", "shadow", "progressive")))
        forward = number % 2 == 0
        with Load(production) as load:
            command = production.site.begin(*(complete if forward else back))
            wanted = len(load.answers) + chance.randrange(150)
            wait_until(lambda load=load, wanted=wanted: len(load.answers) > wanted, "a moment")
            kill(production, chance.choice(("stable", "candidate", "candidate", "controller")))
            assert errors_of(command) == []
            production.wait_for(**({"v1_2_0": 100} if forward else {"v1_1_0": 100}))
            wanted = len(load.answers) + 20
            wait_until(lambda load=load, wanted=wanted: len(load.answers) > wanted, "answers")
        assert load.problems == [], number
        production.wait_ready(STABLE, CANDIDATE if forward else WARM)


@pytest.mark.parametrize(
    "victim", [*VICTIMS[:1], *(pytest.param(one, marks=_full) for one in VICTIMS[1:])]
)
def test_a_kill_between_the_steps_of_a_progressive_rollout_does_not_stop_it(
    site: EnvironmentSite, production: Environment, victim: str
) -> None:
    easy = {"error_margin": 0.3, "latency_margin": 0.4, "missed_regression": 0.7, "window_s": 1.0}
    site.configure("production", steps=[30, 50], verdict=easy)
    with no_failures(production, victim):
        site.deploy(CANDIDATE, "--strategy", "progressive")
        production.wait_for(v1_1_0=50, v1_2_0=50)
        before = pid_of(production, victim)
        kill(production, victim)
        production.wait_for(v1_2_0=100)
        assert victim == "controller" or pid_of(production, victim) != before
    all_is_right(site, CANDIDATE)
    acts = [event.act for event in site.state().events]
    assert acts[-3:] == ["rollout", "rollout", "promote"]


@pytest.mark.full
def test_a_controller_that_is_killed_ten_times_under_load_fails_no_request(
    site: EnvironmentSite, production: Environment
) -> None:
    chance = random.Random(20)
    steps: list[Callable[[], None]] = [
        lambda: site.deploy(CANDIDATE, "--strategy", "canary"),
        lambda: site.deploy(CANDIDATE, "--strategy", "complete"),
        lambda: site.run("rollback", "--model-type", "recognition", "--reason", "no") and None,
    ]
    with Load(production) as load:
        for number in range(10):
            if number % 3 == 0 and steps:
                steps.pop(0)()
            wanted = len(load.answers) + chance.randrange(200)
            wait_until(lambda wanted=wanted: len(load.answers) > wanted, "answers")
            kill(production, "controller")
        production.wait_for(v1_1_0=100)
    assert load.problems == []
    all_is_right(site)


def test_a_controller_that_hangs_keeps_others_out_and_goes_on_when_it_wakes(
    site: EnvironmentSite, production: Environment
) -> None:
    site.configure("production", hang_s=2.0)
    pid = pid_of(production, "controller")
    others = [pid_of(production, victim) for victim in ("router", "stable", "warm")]
    wait_until(lambda: production.shares() == {STABLE: 100}, "a look")
    with Load(production) as load:
        os.kill(pid, signal.SIGSTOP)
        try:
            refused = site.run("up", "--environment", "production", code=6)
            assert f"process {pid}" in refused.stderr
            assert "facemodels down" in refused.stderr
            site.deploy(CANDIDATE, "--strategy", "canary")
            wanted = len(load.answers) + 200  # some seconds: longer than `hang_s`
            wait_until(lambda: len(load.answers) > wanted, "answers")
        finally:
            os.kill(pid, signal.SIGCONT)
        production.wait_for(**SHARES["canary"])
    assert load.problems == []
    # It was the one that slept, not they.
    assert others == [pid_of(production, victim) for victim in ("router", "stable", "warm")]
    all_is_right(site)


def test_a_version_of_another_embedding_space_never_answers_for_one_that_died(
    site: EnvironmentSite, up: Up
) -> None:
    site.configure("production", backoff_s=2.0)
    site.in_production(STABLE)
    site.staged(CANDIDATE, space="two")
    production = up(site)
    production.wait_for(v1_1_0=100)
    site.deploy(
        CANDIDATE, "--strategy", "blue-green", "--reason", "a better space",
        "--re-enrolment-plan", "all galleries, tonight",
    )  # fmt: skip
    production.wait_ready(CANDIDATE)
    with Load(production) as load:
        before = pid_of(production, "stable")
        kill(production, "stable")
        wait_until(lambda: load.problems, "a request that fails")  # rather than a wrong answer
        production.wait_ready(STABLE, besides=before)
        wait_until(lambda: load.answers[-1][1] == 200, "a good answer")
    assert {version for _, status, version in load.answers if status == 200} == {"1.1.0"}
    all_is_right(site)


BROKEN = "rec-facenet-v1.3.0"  # whole by its checksums, and no server can load it
FAULTS = ("it dies again and again", "it never gets ready", "it is stopped", "memory runs out")


# The first two: killed, and never ready.
@pytest.mark.parametrize("runs", [2, pytest.param(20, marks=_full)])
def test_candidates_whose_servers_misbehave_are_taken_back_and_fail_no_request(
    site: EnvironmentSite, up: Up, runs: int
) -> None:
    site.configure("production", canary_percent=20, backoff_s=0.1, verdict={"progress_s": 4.0})
    site.in_production(STABLE)
    site.staged(CANDIDATE)
    site.staged(BROKEN, "broken")
    production = up(site)
    production.wait_for(v1_1_0=100)
    for number in range(runs):
        fault = FAULTS[number % len(FAULTS)]
        candidate = BROKEN if fault == "it never gets ready" else CANDIDATE
        with Load(production) as load:
            site.deploy(candidate, "--strategy", "canary")
            wait_until(partial(taken_back, production, candidate, fault, set()), fault, pause_s=0.1)
            production.wait_for(v1_1_0=100)
        assert load.problems == [], fault
        event = site.state().events[-1]
        assert re.search(r"its servers died [3-9] times|it was not ready for", event.reason), fault
        assert event.record is not None
        assert event.record["verdict"]["answer"] == "roll back"
    assert "promote" not in [event.act for event in site.state().events][-2 * runs :]
    all_is_right(site)


def taken_back(production: Environment, candidate: str, fault: str, struck: set[int]) -> bool:
    """Strike every server of the candidate once; whether its rollout was ended."""
    with suppress(FileNotFoundError, psutil.NoSuchProcess, ValueError):
        server = psutil.Process(production.server_pid(candidate))
        if server.pid not in struck and fault != "it never gets ready":
            struck.add(server.pid)
            if fault == "memory runs out":
                server.rlimit(psutil.RLIMIT_AS, (1 << 20, 1 << 20))
            else:
                server.send_signal(signal.SIGSTOP if fault == "it is stopped" else signal.SIGKILL)
    return production.site.state().events[-1].act == "withdraw"
