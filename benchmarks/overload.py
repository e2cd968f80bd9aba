"""What becomes of one version that is asked for ten times as much as it can do.

python -m benchmarks.overload [--seconds 300]

A model whose run takes tens of milliseconds, one server, a real controller and router. First a few
clients find its capacity, then many ask without a pause. Clients, router and server share the
machine. An answer 503 says that the server is overloaded, and counts neither as goodput nor as a
failure; every other answer but 200 is a failure.

offered   requests a second, and their ratio to the capacity
goodput   answers a second, and their ratio to the capacity; the goal is 0.8
kills     servers that the controller started anew; the goal is none
health    the longest answer of the server to a request for its health; the goal is 100 ms
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.functional.deployment.site import Environment, EnvironmentSite, Load

from facemodels.text import markdown

MODEL = "rec-facenet-v1.0.0"


@dataclass(frozen=True)
class Overload:
    """What was seen.

    Attributes:
        capacity: answers a second of a few clients.
        offered: requests a second of many clients.
        goodput: their answers with status 200 a second.
        failed: answers but 200 and 503, and broken connections.
        kills: servers that were started anew.
        health_s: the longest answer to a request for health, seconds.
    """

    capacity: float
    offered: float
    goodput: float
    failed: int
    kills: int
    health_s: float


def overload(env: Environment, *, clients: int, seconds: float, measure_s: float) -> Overload:
    """Find the capacity of the one version that serves, then ask for more.

    Args:
        env: the environment.
        clients: that ask without a pause; a few find the capacity.
        seconds: how long they do.
        measure_s: how long the capacity is measured.
    """
    capacity = _asked(env, 3, measure_s)[200] / measure_s
    pid, stop, slowest = env.server_pid(MODEL), threading.Event(), [0.0]
    thread = threading.Thread(target=_ask_health, args=(env, stop, slowest))
    thread.start()
    seen = _asked(env, clients, seconds)
    stop.set()
    thread.join()
    failed = sum(seen.values()) - seen[200] - seen[503]
    kills = int(env.server_pid(MODEL) != pid) + env.server(MODEL)["restarts"]
    asked = sum(seen.values())
    return Overload(capacity, asked / seconds, seen[200] / seconds, failed, kills, slowest[0])


def _asked(env: Environment, clients: int, seconds: float) -> Counter[int]:
    """The number of answers by status; 0 counts broken connections."""
    with Load(env, clients=clients, pause_s=0.0) as load:
        time.sleep(seconds)
    broken = sum(not problem[:3].isdigit() for problem in load.problems)
    return Counter({0: broken}) + Counter(status for _, status, _ in load.answers)


def _ask_health(env: Environment, stop: threading.Event, slowest: list[float]) -> None:
    url = f"http://127.0.0.1:{env.server(MODEL)['port']}/v2/health/live"
    with httpx.Client(timeout=30) as client:
        while not stop.wait(0.1):
            before = time.perf_counter()
            client.get(url).raise_for_status()
            slowest[0] = max(slowest[0], time.perf_counter() - before)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["HOME"] = scratch
        for key, value in (("user.name", "Benchmark"), ("user.email", "b@example.org")):
            subprocess.run(("git", "config", "--global", key, value), check=True)
        site = EnvironmentSite.make(Path(scratch))
        site.in_production(MODEL, "slow")
        env = site.up()
        try:
            env.wait_for(v1_0_0=100)
            seen = overload(env, clients=options.clients, seconds=options.seconds, measure_s=10.0)
        finally:
            env.end()
    print(
        markdown(
            [
                {"what": "capacity", "value": f"{seen.capacity:.1f} a second"},
                {
                    "what": "offered",
                    "value": f"{seen.offered:.1f} a second, {seen.offered / seen.capacity:.1f} x",
                },
                {
                    "what": "goodput",
                    "value": f"{seen.goodput:.1f} a second, {seen.goodput / seen.capacity:.2f} x",
                },
                {"what": "failed", "value": f"{seen.failed}"},
                {"what": "kills", "value": f"{seen.kills}"},
                {"what": "health, slowest", "value": f"{1000 * seen.health_s:.0f} ms"},
            ]
        )
    )


if __name__ == "__main__":
    main()
