"""Asks one version for more than it can do, and sees what becomes of it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.functional.deployment.site import Environment, Load

MODEL = "rec-facenet-v1.0.0"


@dataclass(frozen=True)
class Overload:
    """What was seen.

    Attributes:
        capacity: answers a second of as many clients as fill the server's batches.
        offered: requests a second of clients that ask for more.
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


_FILLING = 32  # clients that wait for their answers: twice the rows of a batch


def overload(
    env: Environment, *, clients: int, seconds: float, measure_s: float, times: float = 10.0
) -> Overload:
    """Find the capacity of the one version that serves, then ask for a multiple of it.

    Args:
        env: the environment.
        clients: that ask for more. Each waits for its answer and then for so long that all of
            them would offer `times` the capacity if answers took no time.
        seconds: how long they do.
        measure_s: how long the capacity is measured.
        times: see `clients`.
    """
    capacity = _asked(env, _FILLING, measure_s)[200] / measure_s
    pause_s = clients / (times * max(capacity, 1.0))
    pid = env.server_pid(MODEL)
    with _asking_health(env.server(MODEL)["port"]) as slowest:
        seen = _asked(env, clients, seconds, pause_s)
    failed = sum(seen.values()) - seen[200] - seen[503]
    kills = int(env.server_pid(MODEL) != pid) + env.server(MODEL)["restarts"]
    asked = sum(seen.values())
    return Overload(capacity, asked / seconds, seen[200] / seconds, failed, kills, slowest())


def _asked(env: Environment, clients: int, seconds: float, pause_s: float = 0.0) -> Counter[int]:
    """The number of answers by status; 0 counts broken connections."""
    with Load(env, clients=clients, pause_s=pause_s) as load:
        time.sleep(seconds)
    broken = sum(not problem[:3].isdigit() for problem in load.problems)
    return Counter({0: broken}) + Counter(status for _, status, _ in load.answers)


# A process and a session of its own, so that it waits neither for the interpreter of the clients
# nor for their share of the processors.
_HEALTH = """
import http.client, select, sys, time
slowest = 0.0
while not select.select([sys.stdin], [], [], 0.1)[0]:
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    connection.request("GET", "/v2/health/live")
    assert connection.getresponse().status == 200
    connection.close()
    slowest = max(slowest, time.perf_counter() - began)
print(slowest)
"""


@contextmanager
def _asking_health(port: int) -> Iterator[Callable[[], float]]:
    """Ask for health in the block; the yielded function then says how long it took at most."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", _HEALTH, str(port)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as asker:  # fmt: skip
        told: list[str] = []
        yield lambda: float(told[0])
        told.append(asker.communicate()[0])
