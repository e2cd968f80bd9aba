"""How servers end, and what keeps one from starting."""

from __future__ import annotations

import hashlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.bounded import bounded

from .conftest import COMMAND, GOLDEN, ROOT, Server, Start
from .wire import LARGE_IMAGES, LIVE, Wire, launched, picture, post, series, slow_form, wait_until

PATH = "/api/landmarks"
READY = LIVE.replace(b"live", b"ready")
SLOW = {**LARGE_IMAGES, "deadline_s": 60, "workers": 1}


def begin_slow(server: Server, images: int = 10) -> Wire:
    """A connection with a request that takes seconds, in work already."""
    form = httpx.Request("POST", f"{server.url}{PATH}", **slow_form(images))
    wire = Wire(server, 60)
    wire.send(post(PATH, form.read(), content_type=form.headers["content-type"]))
    wait_until(lambda: series(server)["model_requests_in_flight"] >= 1)
    return wire


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_server_without_work_ends_at_once(start: Start, number: signal.Signals) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as by nohup, and so it is in the server")
    server = start(GOLDEN)
    with Wire(server) as idle:
        idle.send(LIVE).answer()
        began = time.monotonic()
        assert server.stop(number) == 0
        assert time.monotonic() - began < 3
        assert idle.closed()
    assert [line["event"] for line in server.lines][-2:] == ["ending", "stopped"]


def test_a_hang_up_is_nothing_to_a_server_that_nohup_started(tmp_path: Path) -> None:
    with launched(tmp_path, GOLDEN, prefix=["nohup"]) as server:
        server.process.send_signal(signal.SIGHUP)
        assert server.get("/v2/health/ready").status_code == 200
        assert server.stop() == 0


def test_work_is_finished_and_nobody_new_comes_in(start: Start) -> None:
    server = start(GOLDEN, **SLOW)
    with begin_slow(server) as wire:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("ending")
        wait_until(lambda: not reachable(server.port), 1)
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert ended(server) == 0


def ended(server: Server) -> int:
    """The exit code of a server that was told to end."""
    server.process.wait(30)
    return server.stop()


def reachable(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 5):
            return True
    except ConnectionRefusedError:
        return False


def test_a_router_can_notice_before_the_door_is_shut(start: Start) -> None:
    server = start(GOLDEN, drain_s=2.0)
    with Wire(server) as kept:
        assert kept.send(READY).answer().status == 200
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("ending")
        began = time.monotonic()
        answer = kept.send(READY).answer()
        assert (answer.status, answer.headers["connection"]) == (503, "close")
        answered = 0
        while time.monotonic() - began < 1.5:
            with Wire(server) as wire:
                assert wire.send(post(PATH, picture())).answer().status == 200
                answered += 1
        assert answered > 3
    assert ended(server) == 0
    assert 1.9 < time.monotonic() - began < 5


@pytest.mark.parametrize("drain_s", [0.0, 1.0])
def test_no_request_fails_while_a_server_ends_under_load(start: Start, drain_s: float) -> None:
    """Clients keep connections, and go elsewhere when a new one is refused."""
    server = start(GOLDEN, drain_s=drain_s)
    failures: list[str] = []
    answered = [0] * 16
    image = picture()

    def ask(client: httpx.Client, number: int) -> int:
        if number % 2:
            return client.get("/v2/health/live").status_code
        return client.post(PATH, content=image, headers={"content-type": "image/jpeg"}).status_code

    def go(number: int) -> None:
        with httpx.Client(base_url=server.url, timeout=30) as client:
            while True:
                try:
                    status = ask(client, number)
                except httpx.ConnectError:
                    return
                except httpx.HTTPError as error:
                    failures.append(repr(error))
                else:
                    answered[number] += 1
                    if status != 200:
                        failures.append(str(status))

    threads = [threading.Thread(target=go, args=[number]) for number in range(len(answered))]
    for thread in threads:
        thread.start()
    wait_until(lambda: min(answered) > 10)
    assert server.stop() == 0
    for thread in threads:
        thread.join(30)
    assert not failures
    assert sum(answered) > 100


def test_a_second_signal_ends_the_server_at_once(start: Start) -> None:
    server = start(GOLDEN, grace_s=60, **SLOW)
    with begin_slow(server, 16) as wire:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("ending")
        began = time.monotonic()
        assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 2
        wire.socket.settimeout(5)
        with suppress(ConnectionResetError):
            assert b" 200 " not in wire.socket.recv(1000)
    server.wait_for("ended at once")


def test_work_past_the_grace_is_given_up(start: Start) -> None:
    server = start(GOLDEN, grace_s=0.5, **SLOW)
    with begin_slow(server, 16) as wire:
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answer = wire.answer()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert ended(server) == 1
        assert time.monotonic() - began < 4
    server.wait_for("given up", request_id=answer.headers["x-request-id"])
    assert server.wait_for("work given up")["requests"] == 1


def test_a_killed_server_leaves_no_process_and_a_free_port(start: Start) -> None:
    server = start(GOLDEN, **SLOW)
    with begin_slow(server):
        family = psutil.Process(server.process.pid).children(recursive=True)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_until(lambda: not any(runs(one) for one in family), 5)
    assert not reachable(server.port)
    again = start(GOLDEN, "--port", str(server.port))
    assert again.port == server.port
    assert again.get("/v2/health/ready").status_code == 200


def runs(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_server_told_to_end_while_it_loads_ends_in_order(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "serve", str(GOLDEN), "--port", "0"], cwd=tmp_path, stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    with process.stderr:
        wait_until(lambda: catches(process.pid, signal.SIGTERM))
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert b"Traceback" not in process.stderr.read()


def catches(pid: int, number: int) -> bool:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


# What keeps a server from starting.


def refusal(package: Path | str, code: int, cwd: Path, *options: str) -> str:
    done = subprocess.run(
        [COMMAND, "serve", str(package), "--port", "0", *options],
        capture_output=True, text=True, cwd=cwd, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def add_pickle(folder: Path) -> None:
    """Listed with its checksum, as someone would who can write the whole folder."""
    (folder / "extra.pkl").write_bytes(b"cos\nsystem\n(S'touch pwned'\ntR.")
    digest = hashlib.sha256((folder / "extra.pkl").read_bytes()).hexdigest()
    listed = folder / "checksums.sha256"
    lines = [*listed.read_text().splitlines(), f"{digest}  extra.pkl"]
    listed.write_text("\n".join(sorted(lines, key=lambda line: line[66:])) + "\n")


SPOILT: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "a changed byte": (
        lambda f: (f / "model.dat").write_bytes((f / "model.dat").read_bytes()[:-1] + b"?"),
        ("changed", "model.dat"),
    ),
    "metadata that would not even parse": (
        lambda f: (f / "metadata.json").write_bytes(b"{"), ("changed", "metadata.json"),
    ),
    "a missing file": (lambda f: (f / "README.md").unlink(), ("missing", "README.md")),
    "an extra file": (lambda f: (f / "x.txt").write_text("x"), ("extra", "x.txt")),
    "a format that runs code": (add_pickle, ("extra.pkl",)),
}  # fmt: skip


@pytest.mark.parametrize("how", bounded(SPOILT, ("a changed byte", "a format that runs code")))
def test_a_package_that_is_not_whole_is_not_served(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "dlib-v1.0.0"
    shutil.copytree(GOLDEN, folder)
    spoil, said = SPOILT[how]
    spoil(folder)
    message = refusal(folder, 3, tmp_path)
    assert all(word in message for word in said), message
    assert not (tmp_path / "pwned").exists()


def test_an_unsigned_package_is_not_served_where_signatures_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/release.pub").write_text("no key is needed to miss a signature")
    (tmp_path / "conf/signing.yaml").write_text(
        "required: true\nmethod: key\npublic_key: conf/release.pub\n"
    )
    assert "sign" in refusal(GOLDEN, 3, tmp_path)


def test_a_port_that_is_taken_is_said_to_be(start: Start, tmp_path: Path) -> None:
    taken = start(GOLDEN)
    message = refusal(GOLDEN, 2, tmp_path, "--port", str(taken.port))
    assert f"cannot listen on 127.0.0.1:{taken.port}: Address already in use" in message


def test_of_two_servers_that_start_on_one_port_one_serves(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [COMMAND, "serve", str(GOLDEN), "--port", str(port)]
    both = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in "ab"
    ]
    wait_until(lambda: any(one.poll() is not None for one in both))
    wait_until(lambda: reachable(port))
    (loser,) = [one for one in both if one.poll() is not None]
    (winner,) = [one for one in both if one is not loser]
    assert (loser.returncode, winner.poll()) == (2, None)
    assert "Address already in use" in loser.communicate()[1]
    winner.terminate()
    winner.communicate()
    assert winner.returncode == 0


@pytest.mark.parametrize("model", ["rec-facenet-v99.0.0", "no such folder", "rec-facenet"])
@pytest.mark.parametrize("where", bounded(("repository", "elsewhere"), ("repository",)))
def test_a_model_that_nobody_knows_is_wrong_input(model: str, where: str, tmp_path: Path) -> None:
    cwd = ROOT if where == "repository" else tmp_path
    refusal(model, 2, cwd)


UNFIT = ("limits: {queue: 0}", "limits: {no_such: 1}", "limits: {deadline_s: .inf}", "[]")


@pytest.mark.parametrize("text", bounded(UNFIT, UNFIT[:1]))
def test_a_configuration_that_does_not_fit_is_wrong_input(text: str, tmp_path: Path) -> None:
    (tmp_path / "serving.yaml").write_text(text)
    assert "serving.yaml" in refusal(GOLDEN, 2, tmp_path, "--config", "serving.yaml")


def test_a_configuration_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    assert "none.yaml" in refusal(GOLDEN, 2, tmp_path, "--config", "none.yaml")
