"""More clients than a server can answer."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import orjson
import psutil
import pytest
from PIL import Image

from .conftest import GOLDEN, Server, Start
from .wire import LIVE, picture, post, series

PATH = "/api/landmarks"
INFER = "/v2/models/landmark-dlib/infer"
CLIENTS = 1000
QUEUE = 32


@dataclass
class Tally:
    """What clients met."""

    statuses: Counter[int] = field(default_factory=Counter)
    accepted_s: list[float] = field(default_factory=list)
    without_advice: int = 0
    failures: Counter[str] = field(default_factory=Counter)


async def client(port: int, request: bytes, go_on: asyncio.Event, tally: Tally) -> None:
    """Ask on one connection until told to stop, at least once."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            began = time.monotonic()
            writer.write(request)
            async with asyncio.timeout(30):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.split("content-length: ")[1].split("\r\n")[0])
                await reader.readexactly(size)
            status = int(head.split()[1])
            tally.statuses[status] += 1
            if status == 200:
                tally.accepted_s.append(time.monotonic() - began)
            tally.without_advice += status == 503 and "retry-after: 1" not in head
            if go_on.is_set():
                break
        writer.close()
        await writer.wait_closed()
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        tally.failures[repr(error)] += 1


def crowd(server: Server, seconds: float, clients: int = CLIENTS) -> Tally:
    """All clients at once, for so long."""
    tally = Tally()

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, stop.set)
        request = post(PATH, picture())
        await asyncio.gather(*(client(server.port, request, stop, tally) for _ in range(clients)))

    asyncio.run(run())
    return tally


def memory(server: Server) -> float:
    return psutil.Process(server.process.pid).memory_info().rss / 2**20


def check(server: Server, tally: Tally, clients: int = CLIENTS) -> None:
    assert not tally.failures
    assert sum(tally.statuses.values()) >= clients
    assert tally.statuses.keys() <= {200, 503}
    assert tally.statuses[200] >= QUEUE
    assert tally.statuses[503] > 0
    assert tally.without_advice == 0
    found = series(server)
    assert found["model_requests_in_flight"] == 0


def test_a_thousand_clients_are_all_answered_and_leave_nothing_behind(start: Start) -> None:
    server = start(GOLDEN, queue=QUEUE)
    check(server, crowd(server, 1))
    before = memory(server)
    for _ in range(2):
        tally = crowd(server, 1)
        check(server, tally)
        # Accepted: at most QUEUE requests ahead, a few ms each; the rest is the test's own share
        # of two processors, on which it reads a thousand answers.
        assert max(tally.accepted_s) < 8, sorted(tally.accepted_s)[-5:]
    assert memory(server) - before < 30
    assert server.get("/v2/health/ready").status_code == 200
    wait_for_connections(server)


def wait_for_connections(server: Server) -> None:
    from .wire import wait_until

    process = psutil.Process(server.process.pid)
    wait_until(lambda: process.num_fds() < 100)


async def growth(server: Server, clients: Sequence[Coroutine[Any, Any, None]]) -> int:
    """By how many MB the server grows at most while clients ask."""
    before = peak = memory(server)

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, memory(server))
            await asyncio.sleep(0.02)

    watcher = asyncio.create_task(watch())
    await asyncio.gather(*clients)
    watcher.cancel()
    return int(peak - before)


def test_pictures_that_are_small_files_and_large_images_are_bounded_together(start: Start) -> None:
    """32 pictures of 50 megapixels each, of 6 kB as PNG: 1.6 GB as they are stored in memory."""
    server, tally, stop = start(GOLDEN), Tally(), asyncio.Event()
    stop.set()
    side = 7071
    requests = [
        post(PATH, encoded_as(form, mode, side), content_type=f"image/{form.lower()}")
        for form, mode in (("PNG", "1"), ("JPEG", "RGB"), ("PNG", "P"), ("PNG", "L"))
    ]
    clients = [client(server.port, requests[n % 4], stop, tally) for n in range(32)]
    grown = asyncio.run(growth(server, clients))
    assert not tally.failures
    assert tally.statuses.keys() <= {200, 413, 503}
    assert tally.statuses[200] > 0
    assert grown < 350, f"{grown} MB"


def test_health_answers_while_clients_send_long_json_and_large_pictures(start: Start) -> None:
    """A parser that read such a body at once would keep health waiting for a second."""
    server, tally, stop, times = start(GOLDEN), Tally(), asyncio.Event(), []
    image = {"name": "images", "datatype": "UINT8", "shape": [1, 1000, 800, 3]}
    bodies = [
        orjson.dumps({"inputs": [{**image, "data": data}]})
        for data in ([200] * 1_250_000, [[]] * 1_700_000)
    ]
    requests = [
        *(post(INFER, body, content_type="application/json") for body in bodies),
        post(PATH, encoded_as("PNG", "P", 6000), content_type="image/png"),
    ]

    async def health() -> None:
        async with asyncio.timeout(60):
            while not stop.is_set() or len(times) < 20:
                began = time.monotonic()
                one = Tally()
                await client(server.port, LIVE, done, one)
                times.append(time.monotonic() - began)
                assert one.statuses == {200: 1}
                await asyncio.sleep(0.02)

    async def run() -> None:
        asyncio.get_running_loop().call_later(2, stop.set)
        clients = (client(server.port, requests[n % 3], stop, tally) for n in range(12))
        await asyncio.gather(health(), *clients)

    done = asyncio.Event()
    done.set()
    asyncio.run(run())
    assert not tally.failures
    assert tally.statuses.keys() <= {200, 400, 413, 503}
    assert median(times) < 0.1, sorted(times)
    assert max(times) < 0.9, sorted(times)


def encoded_as(form: str, mode: str, side: int) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (side, side)).save(stream, form)
    return stream.getvalue()


def test_bodies_that_wait_are_bounded(start: Start) -> None:
    """50 uploads of 8 MB at once would be 400 MB; the server holds 40 MB of them."""
    server = start(GOLDEN, buffer_bytes=40_000_000, deadline_s=20)
    tally = Tally()
    stop = asyncio.Event()
    stop.set()
    request = post(PATH, picture() + bytes(8_000_000))
    grown = asyncio.run(
        growth(server, [client(server.port, request, stop, tally) for _ in range(50)])
    )
    assert not tally.failures
    assert tally.statuses[503] > 0
    assert tally.statuses.keys() <= {200, 422, 503}
    assert grown < 200, f"{grown} MB"


@pytest.mark.full
@pytest.mark.timeout(600)
def test_a_minute_of_overload_leaves_memory_flat(start: Start) -> None:
    server = start(GOLDEN, queue=QUEUE)
    crowd(server, 5)
    sizes = []
    for _ in range(6):
        tally = crowd(server, 10)
        check(server, tally)
        sizes.append(memory(server))
        times = sorted(tally.accepted_s)
        print(
            dict(tally.statuses), f"p50 {times[len(times) // 2] * 1e3:.0f} ms",
            f"p99 {times[int(len(times) * 0.99)] * 1e3:.0f} ms", f"{sizes[-1]:.0f} MB",
        )  # fmt: skip
    assert sizes[-1] - sizes[0] < 20, sizes
