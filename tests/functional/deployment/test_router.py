"""The router as it runs: real Traefik, real servers, requests over loopback."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from facemodels import files
from facemodels.deployment.router import FlagRoute, Route, RouteArm, Router, RouterSettings, publish
from facemodels.deployment.router.choice import VersionChoosers
from facemodels.deployment.router.traefik import free_port
from facemodels.deployment.servers.process import Process, adopt, start
from facemodels.errors import InputError, ToolError
from tests.functional.deployment.site import wait_until

ROOT = Path(__file__).resolve().parents[3]
OLD, NEW, THIRD = "rec-facenet-v1.0.0", "rec-facenet-v2.0.0", "rec-facenet-v3.0.0"
MODEL = "recognition-facenet"
PLAIN: dict[str, Any] = {"verify": False, "trust_env": False}  # no certificates are read
# Answers what it got; `/seen` counts, `/status/500` makes it fail from then on.
_SERVER = """
import json, sys, uvicorn
name, port = sys.argv[1], int(sys.argv[2])
seen, status = [], [200]

async def app(scope, receive, send):
    more, body = True, b""
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    path, code = scope["path"], status[0]
    if path.startswith("/status/"):
        status[0] = int(path.rpartition("/")[2])
        code = 200
    elif path == "/v2/health/ready":
        code = 200
    elif path != "/seen":
        seen.append(path)
    answer = {"name": name, "path": path, "seen": len(seen), "bytes": len(body)}
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

uvicorn.run(app, port=port, log_level="warning", lifespan="off")
"""


def until(condition: Callable[[], Any], within_s: float = 30) -> Any:
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)
    return found


@dataclass
class Fleet:
    """Servers that answer with their names."""

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, *names: str) -> None:
        for name in names:
            self.ports[name] = free_port("127.0.0.1")
            command = [sys.executable, "-c", _SERVER, name, str(self.ports[name])]
            start(self._path(name), command, log=self.folder / f"{name}.log")
        for name in names:
            until(lambda name=name: self._answers(name))

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def process(self, name: str) -> Process:
        process = adopt(self._path(name))
        assert process is not None
        return process

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        os.kill(self.process(name).pid, number)

    def seen(self, name: str) -> int:
        return int(httpx.get(f"{self.url(name)}/seen", **PLAIN).json()["seen"])

    def fail(self, name: str, status: int) -> None:
        httpx.get(f"{self.url(name)}/status/{status}", **PLAIN).raise_for_status()

    def end(self) -> None:
        for name in self.ports:
            process = adopt(self._path(name))
            if process is not None:
                process.end(0)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _answers(self, name: str) -> bool:
        try:
            return httpx.get(f"{self.url(name)}/seen", **PLAIN).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    servers = Fleet(tmp_path / "servers")
    try:
        yield servers
    finally:
        servers.end()


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Router]:
    choosers = VersionChoosers(networks=("127.0.0.1/32",))
    settings = RouterSettings(port=0, answer_s=1.0, grace_s=1.0, choosers=choosers)
    one = Router(tmp_path / "router", settings)
    one.start()
    try:
        yield one
    finally:
        one.end()


def route_of(fleet: Fleet, weights: dict[str, int], **changes: Any) -> Route:
    arms = tuple(RouteArm(name, weight, (fleet.url(name),)) for name, weight in weights.items())
    return replace(Route(MODEL, "recognition", arms, paths=("/api/embed",)), **changes)


def wait_applied(router: Router, published: str) -> float:
    """Wait until requests go by these routes; the seconds that it took."""
    begin = time.monotonic()
    until(lambda: router.applied(published), 5)
    return time.monotonic() - begin


def serve(router: Router, *routes: Route, default: str = "") -> float:
    return wait_applied(router, publish(router.routes, routes, router.settings, default))


def ask(router: Router, path: str = "/api/embed", **options: Any) -> httpx.Response:
    return httpx.post(router.url + path, content=b"face", timeout=30, **PLAIN, **options)


def name_of(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["name"])


class Asked(NamedTuple):
    status: int
    name: str
    begin: float
    seconds: float


@dataclass
class Load:
    """Clients that ask all the time."""

    results: list[Asked] = field(default_factory=list)

    @property
    def failed(self) -> list[Asked]:
        return [one for one in self.results if one.status != 200]

    def more(self, count: int) -> None:
        """Wait for so many more answers."""
        goal = len(self.results) + count
        until(lambda: len(self.results) >= goal)


@contextmanager
def load(router: Router, clients: int = 4) -> Iterator[Load]:
    found, stop = Load(), threading.Event()
    url = router.url

    def run() -> None:
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                begin = time.monotonic()
                try:
                    answer = client.post(f"{url}/api/embed", content=b"face" * 1000)
                    text = answer.json()["name"] if answer.status_code == 200 else answer.text
                    status = answer.status_code
                except httpx.TransportError as error:
                    status, text = 0, repr(error)
                found.results.append(Asked(status, text, begin, time.monotonic() - begin))

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_splits_requests_exactly_by_weight(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW)
    serve(router, route_of(fleet, {OLD: 90, NEW: 10}))
    with httpx.Client() as client:
        names = Counter(
            name_of(client.post(f"{router.url}/api/embed", content=b"x")) for _ in range(1000)
        )
    assert names == {OLD: 900, NEW: 100}


def test_changes_of_weight_under_load_cost_no_request(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW)
    serve(router, route_of(fleet, {OLD: 100, NEW: 0}, fallback=(OLD,)))
    with load(router) as clients:
        for step in range(10):
            weight = (step * 37) % 101
            serve(router, route_of(fleet, {OLD: 100 - weight, NEW: weight}, fallback=(OLD,)))
            clients.more(20)
        serve(router, route_of(fleet, {OLD: 0, NEW: 100}))
        clients.more(8)  # those that were under way
        switched = len(clients.results)
        clients.more(50)
    assert clients.failed == []
    assert {one.name for one in clients.results[switched:]} == {NEW}


def test_a_version_that_is_killed_costs_no_request_and_its_failures_are_counted(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD, NEW)
    serve(router, route_of(fleet, {OLD: 50, NEW: 50}, fallback=(OLD,)))
    with load(router) as clients:
        clients.more(50)
        fleet.kill(NEW)
        clients.more(200)
    assert clients.failed == []
    assert Counter(one.name for one in clients.results)[NEW] >= 20
    metrics = httpx.get(f"{router.inside}/metrics", **PLAIN).text.splitlines()
    failures = [
        line
        for line in metrics
        if line.startswith("traefik_service_requests_total")
        and f'service="{NEW}@file"' in line
        and ('code="502"' in line or 'code="503"' in line)
    ]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in failures) >= 1


def test_a_replica_that_is_killed_costs_no_request_where_no_version_stands_in(
    fleet: Fleet, router: Router
) -> None:
    fleet.start("one", "two", "three")
    urls = tuple(fleet.url(name) for name in ("one", "two", "three"))
    serve(router, Route(MODEL, "recognition", (RouteArm(OLD, 100, urls),), paths=("/api/embed",)))
    with load(router) as clients:
        clients.more(60)
        fleet.kill("one")
        clients.more(60)
        fleet.kill("three")
        clients.more(60)
    assert clients.failed == []
    assert {one.name for one in clients.results} == {"one", "two", "three"}
    assert {one.name for one in clients.results[-40:]} == {"two"}


def test_a_version_that_hangs_costs_patience_and_no_request(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW)
    serve(router, route_of(fleet, {OLD: 50, NEW: 50}, fallback=(OLD,)))
    with load(router) as clients:
        clients.more(50)
        fleet.kill(NEW, signal.SIGSTOP)
        until(lambda: 'url="' + fleet.url(NEW) in _down(router))
        found_out = time.monotonic()
        clients.more(100)
    assert clients.failed == []
    assert max(one.seconds for one in clients.results) < 3  # answer_s is 1
    late = [one.seconds for one in clients.results if one.begin > found_out]
    assert len(late) > 50
    assert max(late) < 0.9


def _down(router: Router) -> str:
    data = httpx.get(f"{router.inside}/api/rawdata", **PLAIN).json()
    return " ".join(
        f'url="{url}"'
        for service in data["services"].values()
        for url, status in service.get("serverStatus", {}).items()
        if status == "DOWN"
    )


def test_a_version_that_fails_is_answered_for_by_the_one_that_stands_in(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD, NEW, THIRD)
    serve(router, route_of(fleet, {OLD: 0, NEW: 100, THIRD: 0}, fallback=(THIRD, OLD)))
    for status in (500, 503):
        fleet.fail(NEW, status)
        assert name_of(ask(router)) == THIRD
    fleet.kill(THIRD)
    answer = ask(router)
    assert (name_of(answer), answer.json()["bytes"]) == (OLD, 4)
    fleet.fail(NEW, 422)  # the client's mistake is the client's
    assert ask(router).status_code == 422


def test_the_only_server_is_asked_even_when_everything_else_is_gone(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD)
    serve(router, route_of(fleet, {OLD: 100}))
    fleet.kill(OLD, signal.SIGSTOP)
    assert ask(router).status_code == 504
    fleet.kill(OLD, signal.SIGCONT)
    assert name_of(ask(router)) == OLD


def test_addresses_and_headers_reach_the_versions_they_name(fleet: Fleet, router: Router) -> None:
    detector = "det-yolov8-v1.0.0"
    fleet.start(OLD, NEW, detector)
    detection = Route(
        "detection-yolov8", "detection", (RouteArm(detector, 100, (fleet.url(detector),)),),
        paths=("/api/detect",),
    )  # fmt: skip
    serve(router, route_of(fleet, {OLD: 100, NEW: 0}), detection, default="detection-yolov8")

    def reached(path: str, **headers: str) -> tuple[str, str] | int:
        answer = ask(router, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        if answer.status_code != 200:
            return answer.status_code
        return answer.json()["name"], answer.json()["path"]

    assert reached("/api/embed") == (OLD, "/api/embed")
    assert reached("/api/detect") == (detector, "/api/detect")
    assert reached(f"/models/{MODEL}/api/embed") == (OLD, "/api/embed")
    assert reached(f"/models/{MODEL}") == (OLD, "/")
    assert reached("/models/detection-yolov8/v2") == (detector, "/v2")
    for path in ("/", "/v2", "/v2/health/ready", "/openapi.json", "/api/model/info"):
        assert reached(path) == (detector, path)
    for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/infer"):
        assert reached(path) == (OLD, path)
    one, two, none = (f"/v2/models/{MODEL}/versions/{v}/infer" for v in ("1.0.0", "2.0.0", "2x0x0"))
    assert reached(one) == (OLD, one)
    assert reached(two) == (NEW, two)
    assert reached(f"/models/{MODEL}{two}") == (NEW, two)
    assert reached(none) == (OLD, none)  # it says that it has no such version
    for version in (NEW, "2.0.0"):
        for path in ("/api/embed", f"/models/{MODEL}/api/embed", f"/v2/models/{MODEL}"):
            assert reached(path, X_Facemodels_Version=version) == (
                NEW, path.removeprefix(f"/models/{MODEL}"),
            )  # fmt: skip
    assert reached("/api/detect", X_Facemodels_Version=NEW) == (NEW, "/api/detect")
    assert reached("/api/embed", X_Facemodels_Version="9.9.9") == 404
    assert reached(f"/models/{MODEL}x/api/embed") == (detector, f"/models/{MODEL}x/api/embed")
    for path in ("/metrics", f"/models/{MODEL}/metrics", f"/models/{MODEL}/../../metrics"):
        assert reached(path) == 404
        assert reached(path, X_Facemodels_Version=NEW) == 404


def test_only_who_may_choose_reaches_a_version_by_its_name(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW)
    choosers = VersionChoosers(tokens=("allowed",), probe_secret="mark")  # noqa: S106  (a test)
    closed = replace(router, settings=replace(router.settings, choosers=choosers))
    serve(closed, route_of(fleet, {OLD: 90, NEW: 10}))
    named = {"X-Facemodels-Version": NEW}
    assert ask(closed, headers=named).status_code == 404
    assert ask(closed, headers={**named, "Authorization": "Bearer allowe"}).status_code == 404
    old, new = (f"/v2/models/{MODEL}/versions/{v}/infer" for v in ("1.0.0", "2.0.0"))
    assert {ask(closed, old).json()["name"] for _ in range(20)} == {OLD}
    by_address = {ask(closed, new).json()["name"] for _ in range(20)}
    assert OLD in by_address  # as any other request: the server says that it has no such version
    for header in ({"Authorization": "Bearer allowed"}, {"X-Facemodels-Probe": "mark"}):
        assert ask(closed, headers={**named, **header}).json()["name"] == NEW
        assert ask(closed, new, headers=header).json()["name"] == NEW


def test_a_version_that_is_asked_for_by_name_is_never_replaced_by_another(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD, NEW)
    serve(router, route_of(fleet, {OLD: 100, NEW: 0}, fallback=(OLD,)))
    fleet.fail(NEW, 500)
    assert ask(router, headers={"X-Facemodels-Version": NEW}).status_code == 500
    assert ask(router, f"/v2/models/{MODEL}/versions/2.0.0/infer").status_code == 500


def test_flags_lead_to_their_version_by_header_or_cookie(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW)
    flags = (
        FlagRoute("beta", "yes", NEW, header="X-Beta"),
        FlagRoute("lab", "a.b", NEW, cookie="lab"),
        FlagRoute("odd", '{{ env "HOME" }}', NEW, header="X-Odd"),
    )
    serve(router, route_of(fleet, {OLD: 100, NEW: 0}, flags=flags, fallback=(OLD,)))
    for headers, name in (
        ({}, OLD),
        ({"X-Beta": "yes"}, NEW),
        ({"X-Beta": "no"}, OLD),
        ({"Cookie": "x=1; lab=a.b; y=2"}, NEW),
        ({"Cookie": "lab=axb"}, OLD),
        ({"Cookie": "mylab=a.b"}, OLD),
        ({"X-Odd": '{{ env "HOME" }}'}, NEW),
    ):
        assert name_of(ask(router, headers=headers)) == name, headers
    fleet.kill(NEW)
    assert name_of(ask(router, headers={"X-Beta": "yes"})) == OLD


def test_a_shadow_gets_its_share_of_copies_and_nobody_sees_its_answers(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD, NEW)
    shadow = RouteArm(NEW, 0, (fleet.url(NEW),))
    serve(router, route_of(fleet, {OLD: 100}, mirror=(shadow, 40)))
    fleet.fail(NEW, 500)
    assert {name_of(ask(router)) for _ in range(100)} == {OLD}
    until(lambda: fleet.seen(NEW) == 40)
    assert fleet.seen(OLD) == 100
    fleet.kill(NEW)
    assert {name_of(ask(router)) for _ in range(20)} == {OLD}


def test_a_client_with_a_cookie_stays_until_its_version_ends(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW)

    def split(weight: int, seconds: int = 600) -> None:
        weights = {OLD: 100 - weight, NEW: weight}
        more = {"sticky": "facemodels", "sticky_s": seconds, "fallback": (OLD,)}
        serve(router, route_of(fleet, weights, **more))

    split(50)
    clients = [httpx.Client() for _ in range(20)]
    try:
        first = [name_of(c.post(f"{router.url}/api/embed")) for c in clients]
        assert Counter(first) == {OLD: 10, NEW: 10}
        for weight in (10, 90):
            split(weight)
            assert [name_of(c.post(f"{router.url}/api/embed")) for c in clients] == first
        split(0)
        assert {name_of(c.post(f"{router.url}/api/embed")) for c in clients} == {OLD}
        split(50, seconds=1)
        clients.append(known := httpx.Client())
        own = name_of(known.post(f"{router.url}/api/embed"))
        split(1 if own == NEW else 99, seconds=1)
        other = OLD if own == NEW else NEW  # once its cookie is over, it goes by the shares
        wait_until(lambda: name_of(known.post(f"{router.url}/api/embed")) == other, "a move", 10)
    finally:
        for client in clients:
            client.close()


@pytest.mark.parametrize(
    ("users", "off"), [(2_000, 0.034), pytest.param(10_000, 0.015, marks=pytest.mark.full)]
)  # three standard deviations
def test_a_user_has_one_arm_through_all_changes_and_thousands_split_evenly(
    fleet: Fleet, router: Router, users: int, off: float
) -> None:
    fleet.start(OLD, NEW)
    port = int(router.url.rpartition(":")[2])

    def arms_of(users: range, **headers: str) -> list[str]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        found = []
        for user in users:
            connection.request("POST", "/api/embed", b"x", {"X-User-Id": f"user-{user}", **headers})
            answer = connection.getresponse()
            assert answer.status == 200
            found.append(json.loads(answer.read())["name"])
        connection.close()
        return found

    def split(weight: int, **changes: Any) -> None:
        weights = {OLD: 100 - weight, NEW: weight}
        changes = {"user_header": "X-User-Id", "salt": "#rollout#7", "fallback": (OLD,)} | changes
        serve(router, route_of(fleet, weights, **changes))

    split(50)
    first = arms_of(range(users))
    assert abs(Counter(first)[NEW] / users - 0.5) < off
    some = range(300)
    assert arms_of(some, **{"X-Facemodels-Arm": NEW}) == first[:300]  # nobody chooses for himself
    split(50, flags=(FlagRoute("beta", "yes", NEW, header="X-Beta"),))  # another file, same arms
    assert arms_of(some) == first[:300]
    split(70)  # who had the new one keeps it
    assert all(now == NEW for now, was in zip(arms_of(some), first, strict=False) if was == NEW)
    split(50, salt="#rollout#8")  # another test is another draw
    again = arms_of(some)
    assert 90 < sum(now != was for now, was in zip(again, first, strict=False)) < 210
    names = Counter(name_of(ask(router)) for _ in range(20))  # those without an id
    assert names == {OLD: 10, NEW: 10}


def test_shadows_see_the_users_of_an_ab_test_too(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD, NEW, THIRD)
    shadow = (RouteArm(THIRD, 0, (fleet.url(THIRD),)), 100)
    serve(router, route_of(fleet, {OLD: 50, NEW: 50}, user_header="X-User-Id", mirror=shadow))
    for user in range(10):
        name_of(ask(router, headers={"X-User-Id": str(user)}))
    name_of(ask(router))
    until(lambda: fleet.seen(THIRD) == 11)


def test_bodies_above_the_limit_are_refused_before_a_server_sees_them(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD)
    settings = replace(router.settings, body_bytes=1000)
    wait_applied(router, publish(router.routes, [route_of(fleet, {OLD: 100})], settings))

    def chunks() -> Iterator[bytes]:
        for _ in range(11):
            yield b"x" * 100

    url = f"{router.url}/api/embed"
    assert httpx.post(url, content=b"x" * 1000).json()["bytes"] == 1000
    assert httpx.post(url, content=b"x" * 1001).status_code == 413
    assert httpx.post(url, content=chunks()).status_code == 413
    assert fleet.seen(OLD) == 1


def test_broken_routes_are_never_published(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD)
    good = route_of(fleet, {OLD: 100})
    serve(router, good)
    before = (router.routes / "routes.yaml").read_bytes()
    for bad in (
        replace(good, arms=(RouteArm(OLD, 90, good.arms[0].urls),)),
        replace(good, arms=(RouteArm(OLD, 100, ()),)),
        replace(good, arms=(RouteArm(OLD, 100, ("127.0.0.1:80",)),)),
        replace(good, fallback=(NEW,)),
    ):
        with pytest.raises(InputError, match=MODEL):
            publish(router.routes, [bad], router.settings)
        assert (router.routes / "routes.yaml").read_bytes() == before
    assert name_of(ask(router)) == OLD


def test_routes_that_did_not_change_are_not_written(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD)
    routes = [route_of(fleet, {OLD: 100})]
    first = publish(router.routes, routes, router.settings)
    written = (router.routes / "routes.yaml").stat()
    assert publish(router.routes, routes, router.settings) == first
    again = (router.routes / "routes.yaml").stat()
    assert (again.st_ino, again.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


def test_a_full_disk_leaves_the_routes_as_they_were(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    probe = [unshare or "false", "-rm", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no namespace of one's own to mount a small disk in")
    script = f"""
import sys
from pathlib import Path
from facemodels.errors import ToolError
from facemodels.deployment.router import Route, RouteArm, RouterSettings, publish
folder = Path({str(tmp_path)!r})
def route(weight):
    arms = tuple(RouteArm(f"rec-facenet-v{{v}}.0.0", weight if v == 1 else (100 - weight if v == 2 else 0),
                 (f"http://127.0.0.1:{{8000 + v}}",)) for v in range(1, 20))
    return [Route("recognition-facenet", "recognition", arms)]
publish(folder, route(90), RouterSettings(port=0))
before = (folder / "routes.yaml").read_bytes()
try:
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(b"x" * 4096):
            pass
except OSError as error:
    assert error.errno == 28, error
try:
    publish(folder, route(80), RouterSettings(port=0))
except ToolError as error:
    assert "No space left" in error.what and "room" in error.remedy, error
else:
    sys.exit("it was written")
assert (folder / "routes.yaml").read_bytes() == before
assert sorted(p.name for p in folder.iterdir()) == ["ballast", "routes.yaml"]
(folder / "ballast").unlink()
publish(folder, route(80), RouterSettings(port=0))
assert (folder / "routes.yaml").read_bytes() != before
"""
    mounted = f'mount -t tmpfs -o size=256k none {tmp_path} && exec {sys.executable} -c "$0"'
    done = subprocess.run(
        [str(unshare), "-rm", "sh", "-c", mounted, script], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_a_router_that_was_killed_serves_the_same_routes_again(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD)
    mark = publish(router.routes, [route_of(fleet, {OLD: 100})], router.settings)
    wait_applied(router, mark)
    process = router.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    until(lambda: not router.alive())
    assert not router.applied(mark)
    fixed = Router(router.folder, replace(router.settings, port=int(process.facts["port"])))
    fixed.start()
    assert wait_applied(fixed, mark) < 2
    assert name_of(ask(fixed)) == OLD


def test_a_router_outlives_its_starter_and_the_next_one_adopts_it(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.start(OLD)
    folder = tmp_path / "orphan"
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from facemodels.deployment.router import Router, RouterSettings;"
        "Router(Path(sys.argv[1]), RouterSettings(port=0)).start();"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    adopted = Router(folder, RouterSettings(port=0, grace_s=1.0))
    try:
        assert adopted.ready()
        pid = adopted.process.pid if adopted.process else 0
        assert adopted.start().pid == pid
        serve(adopted, route_of(fleet, {OLD: 100}))
        assert name_of(ask(adopted)) == OLD
    finally:
        adopted.end()
    assert not adopted.alive()
    assert not (folder / "traefik.json").exists()


def test_a_taken_port_is_named_with_a_remedy(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        one = Router(tmp_path, RouterSettings(port=port))
        with pytest.raises(InputError, match=f"Port {port} .* taken.*conf/deploy"):
            one.start()
        assert not one.alive()


def test_two_routers_share_an_address_and_one_serves_on_where_the_other_dies(
    fleet: Fleet, router: Router
) -> None:
    fleet.start(OLD)
    mark = publish(router.routes, [route_of(fleet, {OLD: 100})], router.settings)
    wait_applied(router, mark)
    spare = router.spare
    spare.start()
    try:
        assert spare.url == router.url
        assert spare.applied(mark)  # before it took the first connection
        assert router.process is not None
        os.kill(router.process.pid, signal.SIGKILL)
        until(lambda: not router.alive())
        assert {name_of(ask(router)) for _ in range(10)} == {OLD}
        router.start()  # while the other one has the port
        assert {ask(spare).status_code for _ in range(20)} == {200}
    finally:
        spare.end()


def test_a_router_whose_starter_died_before_it_was_ready_is_started_anew(router: Router) -> None:
    assert router.process is not None
    before = router.process.note(closed=True).pid
    assert router.closed
    router.start()
    assert not router.closed
    assert router.process.pid != before


def test_a_model_without_a_server_is_answered_with_come_again(router: Router) -> None:
    wait_applied(router, publish(router.routes, [], router.settings, waiting=[MODEL]))
    answer = ask(router)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "starting"


def test_a_router_that_hangs_is_not_ready_and_can_be_ended(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD)
    mark = publish(router.routes, [route_of(fleet, {OLD: 100})], router.settings)
    process = router.process
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    assert router.alive()
    until(lambda: not router.ready())  # its threads stop one after the other
    router.end()
    assert not router.alive()
    router.start()
    wait_applied(router, mark)
    assert name_of(ask(router)) == OLD


def test_a_router_with_other_settings_than_now_says_so(router: Router) -> None:
    assert not router.outdated()
    for changes in ({"head_bytes": 5000}, {"port": free_port("127.0.0.1")}):
        changed = Router(router.folder, replace(router.settings, **changes))
        assert changed.outdated()
        assert changed.start() == router.process
    # What the routes carry is published, not started.
    assert not Router(router.folder, replace(router.settings, answer_s=9.0)).outdated()


def test_a_client_that_sends_too_slowly_is_cut_off(fleet: Fleet, tmp_path: Path) -> None:
    fleet.start(OLD)
    one = Router(tmp_path / "impatient", RouterSettings(port=0, receive_s=0.5, grace_s=1.0))
    one.start()
    try:
        serve(one, route_of(fleet, {OLD: 100}))
        port = int(one.url.rpartition(":")[2])
        for begun in (
            b"POST /api/em",
            b"POST /api/embed HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfa",
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(begun)
                answer = b""
                while part := client.recv(4096):
                    answer += part
            assert b" 200 " not in answer
        assert fleet.seen(OLD) == 0
    finally:
        one.end()


def test_routes_that_the_router_cannot_use_are_told(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD)
    mark = publish(router.routes, [route_of(fleet, {OLD: 100})], router.settings)
    wait_applied(router, mark)
    path = router.routes / "routes.yaml"
    text = path.read_text().replace('"service": "recognition-facenet"', '"service": "x"')
    files.write_text(path, text)
    with pytest.raises(ToolError, match="does not exist"):
        until(lambda: not router.applied(mark))


def test_what_is_inside_cannot_be_reached_from_outside(fleet: Fleet, router: Router) -> None:
    fleet.start(OLD)
    serve(router, route_of(fleet, {OLD: 100}))
    for path in ("/ping", "/api/rawdata", "/dashboard/"):
        assert (
            httpx.get(router.url + path, **PLAIN).json()["name"] == OLD
        )  # the server's own addresses
    assert httpx.get(f"{router.inside}/api/embed", **PLAIN).status_code == 404
    assert httpx.get(f"{router.inside}/dashboard/", **PLAIN).status_code == 404


def test_a_real_server_answers_through_the_router(router: Router, tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("facemodels"))
    package = ROOT / "tests/golden/dlib-v1.0.0"
    port = free_port("127.0.0.1")
    path = tmp_path / "servers/lmk-dlib-v1.0.0-0.json"
    server = start(
        path, [command, "serve", str(package), "--port", str(port)], log=path.with_suffix(".log")
    )
    model = "landmark-dlib"
    arm = RouteArm("lmk-dlib-v1.0.0", 100, (f"http://127.0.0.1:{port}",))
    try:
        until(lambda: _is_ready(port), 120)
        serve(router, Route(model, "landmarks", (arm,), paths=("/api/landmarks",)))
        info = httpx.get(f"{router.url}/models/{model}/api/model/info", **PLAIN).json()
        assert info["model_id"] == "lmk-dlib-v1.0.0"
        assert (
            httpx.get(f"{router.url}/api/model/info", **PLAIN).json()["model_id"]
            == info["model_id"]
        )
        assert httpx.get(f"{router.url}/v2/models/{model}", **PLAIN).json()["versions"] == ["1.0.0"]
        exact = httpx.get(f"{router.url}/v2/models/{model}/versions/1.0.0/ready")
        assert exact.status_code == 200
        wrong = httpx.get(f"{router.url}/v2/models/{model}/versions/1.0.1/ready")
        assert wrong.status_code == 404
        refused = httpx.post(f"{router.url}/api/landmarks", content=b"no image")
        direct = httpx.post(f"http://127.0.0.1:{port}/api/landmarks", content=b"no image")
        assert refused.status_code == direct.status_code >= 400
        assert refused.json()["error"] == direct.json()["error"]
    finally:
        server.end(5)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v2/health/ready", **PLAIN).status_code == 200
    except httpx.TransportError:
        return False
