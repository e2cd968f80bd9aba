"""Asks one version for more than it can do, and sees what becomes of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass

import httpx

from tests.functional.deployment.site import Environment, Load

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
