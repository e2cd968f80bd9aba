"""What is around an environment breaks: packages, disk, folders, ports, the clock."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from facemodels.deployment.servers import supervisor
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.supervisor import ServerSupervisor
from facemodels.deployment.settings import load
from tests.functional.deployment.conftest import Up
from tests.functional.deployment.site import (
    Environment,
    EnvironmentSite,
    Load,
    free_port,
    wait_until,
)

OLD, NEW = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0"
DAY = 86400


def flip(path: Path) -> None:
    """Change one byte in the middle; the length stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(path.parent).free < 4096


def workspace(site: EnvironmentSite, identity: str) -> Path:
    return next((site.folder / "models").rglob(f"{identity.removeprefix('rec-')}"))


def all_is_right(site: EnvironmentSite, stable: str) -> None:
    state = site.state()
    assert [one.id for one in state.entries.values() if one.status == "production"] == [stable]
    assert site.findings() == []


# --- packages ----------------------------------------------------------------------------


def test_a_package_that_rotted_is_fetched_anew_or_named_and_the_version_before_serves(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.in_production(NEW)
    production = up(site)
    production.wait_for(v1_1_0=100)
    production.wait_ready(OLD, NEW)
    kept = production.folder / "packages" / NEW / "model.onnx"
    good, before = kept.read_bytes(), production.server_pid(NEW)
    with Load(production) as load:
        flip(kept)  # beside the controller
        os.kill(before, signal.SIGKILL)
        production.wait_ready(NEW, besides=before)
        production.wait_for(v1_1_0=100)
    assert load.problems == []
    assert kept.read_bytes() == good
    assert "changed: model.onnx" in (production.folder / f"servers/{NEW}-0.log").read_text()
    source = workspace(site, NEW) / "model.onnx"
    with Load(production) as load:
        flip(source)  # everywhere
        flip(kept)
        os.kill(production.server_pid(NEW), signal.SIGKILL)
        production.wait_for(v1_0_0=100)
        wait_until(lambda: "model.onnx" in production.server(NEW)["problem"], "its problem")
        told = site.run("status", "--environment", "production", code=1).stderr
        assert f"{NEW} (server 0) is not ready" in told
        assert "changed: model.onnx" in told
        source.write_bytes(good)
        production.wait_for(v1_1_0=100)
    assert load.problems == []
    all_is_right(site, NEW)


def test_a_candidate_whose_package_breaks_after_it_was_deployed_gets_no_request(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    site.staged(NEW)
    production = up(site)
    production.wait_for(v1_0_0=100)
    assert production.process is not None
    with Load(production) as load:
        production.process.send_signal(signal.SIGSTOP)
        site.deploy(NEW, "--strategy", "canary")
        flip(workspace(site, NEW) / "model.onnx")
        production.process.send_signal(signal.SIGCONT)
        wait_until(lambda: "model.onnx" in production.server(NEW).get("problem", ""), "why")
    assert load.problems == []
    assert {version for _, _, version in load.answers} == {"1.0.0"}
    refused = site.run(
        "deploy", "--model-id", NEW, "--environment", "production", "--strategy", "complete",
        code=None,
    )  # fmt: skip
    assert refused.returncode == 3
    assert "model.onnx" in refused.stderr
    all_is_right(site, OLD)


@pytest.mark.parametrize("strategy", ["canary", pytest.param("direct", marks=pytest.mark.full)])
def test_a_version_that_never_gets_ready_gets_no_request_and_status_says_why(
    site: EnvironmentSite, up: Up, strategy: str
) -> None:
    site.configure("production", backoff_s=0.3, backoff_max_s=10.0)  # each start takes a second
    site.in_production(OLD)
    site.staged(NEW, "broken")
    production = up(site)
    production.wait_for(v1_0_0=100)
    with Load(production) as load:
        site.deploy(NEW, "--strategy", strategy)
        if strategy == "canary":
            site.deploy(NEW, "--strategy", "complete")
        wait_until(lambda: production.server(NEW).get("restarts", 0) >= 2, "starts in vain")
        wait_until(lambda: production.server(NEW)["problem"], "why")
        told = site.run("status", "--environment", "production", code=1).stderr
    assert f"{NEW} (server 0) is not ready: " in told
    assert f"is to be served by {NEW} (100 %); now it is served by {OLD} (100 %)." in told
    assert load.problems == []
    assert {version for _, _, version in load.answers} == {"1.0.0"}
    all_is_right(site, NEW)
    site.run("rollback", "--model-type", "recognition", "--reason", "it does not start")
    all_is_right(site, OLD)
    wait_until(lambda: production.shares() == {OLD: 100}, "the old one")


# --- disk and folders --------------------------------------------------------------------


def test_a_full_disk_changes_no_route_and_fails_no_request(site: EnvironmentSite, up: Up) -> None:
    unshare = shutil.which("unshare")
    mount = [unshare or "false", "-rm", "sh", "-c"]
    folder = site.folder / ".facemodels/production"
    probe = [*mount, f"mkdir -p {folder} && mount -t tmpfs none {folder}"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("no namespace of one's own to mount a small disk in")
    site.in_production(OLD)
    site.staged(NEW)
    production = Environment(site, "production")
    small = f'mount -t tmpfs -o size=8m none {folder} && exec "$@"'
    production.before = (*mount, small, "sh")
    up.adopt(production)
    production.start()
    assert production.process is not None
    outside = production.folder
    production.folder = Path(f"/proc/{production.process.pid}/root{folder}")
    production.wait_for(v1_0_0=100)
    site.deploy(NEW, "--strategy", "canary", "--canary-percent", "20")
    production.wait_for(v1_0_0=80, v1_1_0=20)
    ballast = production.folder / "ballast"
    with Load(production) as load:
        fill(ballast)
        site.deploy(NEW, "--strategy", "complete")
        log = outside / "controller.log"
        wait_until(lambda: "The routes are as they were" in log.read_text(), "an alarm")
        assert "See that its disk has room" in log.read_text()
        os.kill(production.server_pid(OLD), signal.SIGKILL)  # and it cannot be started anew
        wanted = len(load.answers) + 100
        wait_until(lambda: len(load.answers) > wanted, "answers")
        ballast.unlink()
        production.wait_for(v1_1_0=100)
        production.wait_ready(OLD, NEW)
    assert load.problems == []
    all_is_right(site, NEW)


def test_a_folder_that_cannot_be_written_is_said_at_once(site: EnvironmentSite) -> None:
    site.in_production(OLD)
    (site.folder / "taken").write_text("a file")
    site.configure("production", state="taken/production")
    refused = site.run("up", "--environment", "production", code=1)
    assert "taken/production cannot be written" in refused.stderr
    assert "name another folder under `state`" in refused.stderr


# --- ports -------------------------------------------------------------------------------


def listener(port: int) -> socket.socket:
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.listen()
    return found


def test_a_taken_port_is_an_alarm_until_it_is_free(site: EnvironmentSite, up: Up) -> None:
    site.in_production(OLD)
    settings = site.environments["production"]
    port, control = settings["address"]["port"], settings["control"]["port"]
    with closing(listener(control)):  # that traffic does not mind
        with closing(listener(port)):
            production = up(site)
            wait_until(lambda: "is taken by another program" in production.alarms(), "an alarm")
            assert "ss -ltnp" in production.alarms()
            told = site.run("status", "--environment", "production", code=1).stderr
            assert f"Port {port} of 127.0.0.1 is taken" in told
        production.wait_for(v1_0_0=100)
        assert production.version() == "1.0.0"
        assert f"control.port {control} is taken" in production.alarms()
    wait_until(lambda: not production.alarms(), "no alarm")
    with socket.create_connection(("127.0.0.1", control), 5):
        pass


class _Ready(BaseHTTPRequestHandler):
    """Another program, that finds itself ready whatever it is asked."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def test_a_server_whose_port_another_program_took_is_not_taken_for_it(
    site: EnvironmentSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.register(OLD)
    entry = site.state().entries[OLD]
    other = HTTPServer(("127.0.0.1", 0), _Ready)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    taken = other.server_address[1]
    ports = iter([taken, free_port()])
    monkeypatch.setattr(supervisor, "_free_port", lambda: next(ports))
    folder = site.folder / ".facemodels/production"
    packages = Packages(site.folder, folder / "packages")
    settings = load(site.folder, "production")
    found = ServerSupervisor(folder / "servers", packages, site.folder, settings)
    ready: set[str] = set()

    def tend() -> bool:
        found.tend({OLD: entry}, set())
        ready.update(url for urls in found.urls().values() for url in urls)
        return bool(ready)

    try:
        wait_until(tend, "a server that is ready")
        assert f"http://127.0.0.1:{taken}" not in ready
        assert "in use" in (folder / f"servers/{OLD}-0.log").read_text()
    finally:
        found.end()
        found.close()
        packages.close()
        other.shutdown()
        thread.join()
        other.server_close()


# --- the clock ---------------------------------------------------------------------------

_SHIFT = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
/* The wall clock, and that alone, is as many seconds off as a file says. */
static long shift(void) {
    long seconds = 0;
    const char *path = getenv("SHIFT_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) { if (fscanf(file, "%ld", &seconds) != 1) seconds = 0; fclose(file); }
    return seconds;
}
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(id, at);
    if (!done && id == CLOCK_REALTIME) at->tv_sec += shift();
    return done;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    int done = clock_gettime(CLOCK_REALTIME, &now);
    if (at) { at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000; }
    return done;
}
time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the seconds by which the clock of every process started from now on is off."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/proc").exists():
        pytest.skip("no C compiler, or no Linux: the clock cannot be moved")
    (tmp_path / "shift.c").write_text(_SHIFT)
    library = tmp_path / "shift.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "shift.c", "-ldl"], check=True
    )
    file = tmp_path / "shift"
    file.write_text("0")
    monkeypatch.setenv("SHIFT_FILE", str(file))
    monkeypatch.setenv("LD_PRELOAD", str(library))
    return file


@pytest.mark.parametrize(
    ("seconds", "restart"),
    [
        pytest.param(DAY, False, marks=pytest.mark.full),
        pytest.param(DAY, True, marks=pytest.mark.full),
        pytest.param(-DAY, False, marks=pytest.mark.full),
        (-DAY, True),
    ],
)
def test_a_clock_that_jumps_keeps_nobody_from_restarting_judging_and_draining(
    site: EnvironmentSite, up: Up, clock: Path, seconds: int, restart: bool
) -> None:
    site.in_production(OLD)
    site.staged(NEW, "failing")
    production = up(site)
    production.wait_for(v1_0_0=100)
    site.deploy(NEW, "--strategy", "canary", "--canary-percent", "30")
    production.wait_for(v1_0_0=70, v1_1_0=30)
    with Load(production) as load:
        clock.write_text(str(seconds))
        before = production.server_pid(OLD)
        os.kill(before, signal.SIGKILL)
        if restart:
            production.kill()
            production.start()
        production.wait_ready(OLD, besides=before)
        production.wait_for(v1_0_0=70, v1_1_0=30)
    assert load.problems == []
    with Load(production, failing_share=0.5, pause_s=0.02) as load:
        production.wait_for(v1_0_0=100)
    site.wait_event("withdraw")
    wait_until(lambda: not production.server(NEW), "the drained server's end")
    assert load.problems == []
    record = site.state().events[-1].record
    assert record is not None
    assert record["verdict"]["answer"] == "roll back"
    # And one that comes after the jump.
    site.deploy(NEW, "--strategy", "canary", "--canary-percent", "30")
    production.wait_for(v1_0_0=70, v1_1_0=30)
    with Load(production, failing_share=0.5, pause_s=0.02):
        production.wait_for(v1_0_0=100)
    site.wait_event("withdraw")
    all_is_right(site, OLD)


def test_the_status_of_a_controller_that_says_nothing_is_not_believed(
    site: EnvironmentSite, up: Up
) -> None:
    site.in_production(OLD)
    production = up(site)
    production.wait_for(v1_0_0=100)
    assert production.process is not None
    production.process.send_signal(signal.SIGSTOP)
    os.utime(production.folder / "status.json", (1, time.time() - 60))
    found = site.run("status", "--environment", "production", code=1).stderr
    assert f"(process {production.process.pid}) has not said how it is" in found
    production.process.send_signal(signal.SIGCONT)
    site.run("status", "--environment", "production", "--wait", "30")
