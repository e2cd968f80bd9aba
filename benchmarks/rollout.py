"""How fast and how cleanly traffic changes, with a real controller, router and servers.

python -m benchmarks.rollout [--quick]

A repository with three versions of a model of a few kilobytes, one of which fails on half of the
requests that it is sent. Clients ask through the router: 8 without a pause in `changes`, which
takes all of two cores; 4 that pause 20 ms in `rollback`, 50 ms in `automated`. Times include the
command's own start and the push to a Git remote on the same disk.

split      10,000 requests beside a canary of 10 %
changes    50 other percentages, each until the router goes by it; a completed rollout, a rollback
rollback   from the start of `facemodels rollback` until the last answer by the version taken back
router     routers that are killed one after the other; clients repeat a broken request once
automated  from the first failure of a canary that fails half of its requests until its last answer
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
from tests.functional.deployment.site import Environment, EnvironmentSite, Load, wait_until

from facemodels.text import markdown

OLD, NEW, BAD = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0", "rec-facenet-v1.2.0"
LIMITS = {"rollback": 2.0, "automated": 15.0}  # seconds; issue 5


@contextmanager
def environment(folder: Path) -> Iterator[tuple[EnvironmentSite, Environment]]:
    """A production environment that serves the old version."""
    site = EnvironmentSite.make(folder)
    site.in_production(OLD)
    site.staged(NEW)
    site.staged(BAD, "failing")
    found = site.up()
    try:
        found.wait_for(v1_0_0=100)
        yield site, found
    finally:
        found.end()


def split(site: EnvironmentSite, env: Environment, requests: int) -> dict[str, object]:
    """The canary's part of the answers."""
    site.deploy(NEW, "--strategy", "canary", "--canary-percent", "10")
    env.wait_for(v1_0_0=90, v1_1_0=10)
    with httpx.Client() as client:
        seen = Counter(env.ask(client=client).json()["model_version"] for _ in range(requests))
    share = seen["1.1.0"] / requests
    return {
        "what": f"canary of 10 % over {requests} requests", "value": f"{share:.2%}",
        "goal": "9 % to 11 %", "met": 0.09 <= share <= 0.11, "failed requests": 0,
    }  # fmt: skip


def changes(site: EnvironmentSite, env: Environment, count: int) -> dict[str, object]:
    """Weights, a completed rollout, a rollback, all under load."""
    rng = np.random.default_rng(0)
    with Load(env, clients=8, pause_s=0.0) as load:
        for percent in rng.permutation(np.arange(1, 1 + count)):
            site.deploy(NEW, "--strategy", "canary", "--canary-percent", str(percent))
            env.wait_for(v1_0_0=100 - int(percent), v1_1_0=int(percent))
        site.deploy(NEW, "--strategy", "complete")
        env.wait_for(v1_1_0=100)
        site.run("rollback", "--model-type", "recognition", "--reason", "benchmark")
        env.wait_for(v1_0_0=100)
    return {
        "what": f"{count} weight changes, a completed rollout, a rollback under load",
        "value": f"{len(load.answers)} requests", "goal": "none fails",
        "met": load.failed == 0, "failed requests": load.failed,
    }  # fmt: skip


def router(site: EnvironmentSite, env: Environment, kills: int) -> dict[str, object]:
    """Routers that are killed under load, one after the other, with clients that repeat once."""
    folder = env.folder / "router"
    with Load(env, pause_s=0.02, repeats=1) as load:
        for number in range(kills):
            path = folder / ("traefik.json", "spare.json")[number % 2]
            wait_until(partial(_serves, path), "a router")
            before = json.loads(path.read_bytes())["pid"]
            os.kill(before, signal.SIGKILL)
            wait_until(partial(_serves, path, before), "the next router")
    return {
        "what": f"{kills} killed routers under load, clients that repeat once",
        "value": f"{len(load.answers)} requests, {load.repeated} repeated", "goal": "none fails",
        "met": load.failed == 0, "failed requests": load.failed,
    }  # fmt: skip


def _serves(path: Path, besides: int = 0) -> bool:
    """Whether a router runs and takes connections; `besides` is the process of one that died."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return found["pid"] != besides and found["facts"]["closed"] is False


def rollbacks(site: EnvironmentSite, env: Environment, rounds: int) -> dict[str, object]:
    """By hand, from all traffic on the new version."""
    taken, failed = [], 0
    for _ in range(rounds):
        site.deploy(NEW, "--strategy", "direct", "--reason", "again")
        env.wait_for(v1_1_0=100)
        with Load(env, clients=4, pause_s=0.02) as load:
            wait_for_answers(load, 200)
            begin = time.time()
            site.run("rollback", "--model-type", "recognition", "--reason", "benchmark")
            env.wait_for(v1_0_0=100)
            wait_for_answers(load, len(load.answers) + 200)
        taken.append(last(load, "1.1.0") - begin)
        failed += load.failed
    return row("rollback", "command to the last answer by the version taken back", taken, failed)


def automated(site: EnvironmentSite, env: Environment, rounds: int) -> dict[str, object]:
    """By the verdict on a canary of 10 %, at 60 requests a second or so."""
    taken, failed = [], 0
    for _ in range(rounds):
        site.deploy(BAD, "--strategy", "canary", "--reason", "again")
        env.wait_for(v1_0_0=90, v1_2_0=10)
        with Load(env, clients=4, pause_s=0.05, failing_share=0.5) as load:
            began = first_failure(env)
            env.wait_for(v1_0_0=100)
        taken.append(max(0.0, last(load, "1.2.0") - began))
        failed += load.failed
    return row("automated", "first bad answer of a canary to its last answer", taken, failed)


def first_failure(env: Environment) -> float:
    """When the canary's own count of errors left zero, seconds since 1970."""
    port = next(
        one["port"] for one in env.status()["servers"] if one["model_id"] == BAD and one["port"]
    )
    deadline = time.monotonic() + 60
    with httpx.Client() as client:
        while time.monotonic() < deadline:
            text = client.get(f"http://127.0.0.1:{port}/metrics").text
            errors = [
                line for line in text.splitlines()
                if line.startswith("model_predictions_total") and 'status="error"' in line
            ]  # fmt: skip
            if errors and float(errors[0].rpartition(" ")[2]) > 0:
                return time.time()
    raise SystemExit("the canary did not fail")


def row(name: str, what: str, taken: list[float], failed: int) -> dict[str, object]:
    """A line of the table."""
    limit = LIMITS[name]
    return {
        "what": what,
        "value": f"{np.median(taken):.2f} s, at most {max(taken):.2f} s ({len(taken)} times)",
        "goal": f"below {limit:g} s", "met": max(taken) < limit and not failed,
        "failed requests": failed,
    }  # fmt: skip


def last(load: Load, version: str) -> float:
    """When a version answered last, seconds since 1970."""
    return max((at for at, _, answered in load.answers if answered == version), default=0.0)


def wait_for_answers(load: Load, count: int) -> None:
    """Until so many requests were answered."""
    while len(load.answers) < count:
        time.sleep(0.01)


def main() -> None:
    """Measure all, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="A fifth of everything.")
    part = 5 if parser.parse_args().quick else 1
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HOME"] = scratch
        for key, value in (("user.name", "Benchmark"), ("user.email", "b@example.org")):
            subprocess.run(("git", "config", "--global", key, value), check=True)
        with environment(Path(scratch)) as (site, env):
            rows = [
                split(site, env, 10_000 // part),
                changes(site, env, 50 // part),
                rollbacks(site, env, 10 // part),
                router(site, env, 20 // part),
                automated(site, env, 5 // part),
            ]
    print(markdown(rows))


if __name__ == "__main__":
    main()
