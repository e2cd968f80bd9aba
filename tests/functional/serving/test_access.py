"""Who may do what, and how that changes while a server runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from facemodels import SILENT
from tests.traced import outside, traced

from .conftest import COMMAND, GOLDEN, Server, Start
from .wire import LIVE, Wire, launched, picture, wait_until

JPEG = {"content-type": "image/jpeg"}
REQUESTS = {
    "predict": ("POST", "/api/landmarks"),
    "info": ("GET", "/api/model/info"),
    "metrics": ("GET", "/metrics"),
}


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, check=False
    )


def made(folder: Path, name: str, *scopes: str) -> str:
    options = [part for scope in scopes for part in ("--scope", scope)]
    done = command(
        "token", "add", "--name", name, *options, "--file", "tokens.yaml", "--json", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    token: str = json.loads(done.stdout)["token"]
    return token


def asked(server: Server, token: str | None, what: str = "info", **headers: str) -> httpx.Response:
    method, path = REQUESTS[what]
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    body: dict[str, Any] = {"content": picture()} if method == "POST" else {}
    return httpx.request(method, server.url + path, headers={**JPEG, **headers}, timeout=30, **body)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("access")


@pytest.fixture(scope="module")
def tokens(folder: Path) -> dict[str, str]:
    return {scope: made(folder, f"of-{scope}", scope) for scope in (*REQUESTS, "admin")}


@pytest.fixture(scope="module")
def guarded(start: Start, folder: Path, tokens: dict[str, str]) -> Server:
    return start(GOLDEN, "--tokens", str(folder / "tokens.yaml"), "--host", "0.0.0.0")  # noqa: S104


@pytest.mark.parametrize("what", REQUESTS)
def test_a_scope_opens_what_it_names_and_admin_everything(
    guarded: Server, tokens: dict[str, str], what: str
) -> None:
    for scope, token in tokens.items():
        answer = asked(guarded, token, what)
        if scope in (what, "admin"):
            assert answer.status_code == 200, scope
        else:
            assert answer.status_code == 403, scope
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            assert f'scope="{what}"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "header",
    [
        None, "", "Bearer", "Bearer wrong", "Basic {info}", "{info}", "Bearer {info}x",
        "Bearer \xe4\xff", "Bearer " + "x" * 10_000, "Token {info}", "Bearer {info},{info}",
    ],
)  # fmt: skip
def test_whoever_shows_no_known_token_is_asked_for_one(
    guarded: Server, tokens: dict[str, str], header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header.format(**tokens).encode("latin-1")}
    answer = guarded.get("/api/model/info", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith('Bearer realm="facemodels"')
    sent = header is not None and header.startswith("Bearer")
    assert ('error="invalid_token"' in answer.headers["www-authenticate"]) == sent
    assert answer.json()["code"] == "unauthenticated"


def test_the_kind_of_a_token_is_read_in_any_case(guarded: Server, tokens: dict[str, str]) -> None:
    for kind in ("bearer", "BEARER"):
        headers = {"authorization": f"{kind} {tokens['info']}"}
        assert guarded.get("/api/model/info", headers=headers).status_code == 200


def test_health_alone_is_open_unless_the_settings_say_so(
    guarded: Server, start: Start, folder: Path, tokens: dict[str, str]
) -> None:
    shown = guarded.get("/openapi.json", headers={"authorization": f"Bearer {tokens['info']}"})
    paths = ["/", "/openapi.json", "/docs", "/redoc", *shown.json()["paths"]]
    for path in paths:
        for method in ("GET", "HEAD", "POST"):
            answer = httpx.request(method, guarded.url + path, timeout=30)
            assert (answer.status_code != 401) == path.startswith("/v2/health/"), (method, path)
    opened = start(
        GOLDEN, "--tokens", str(folder / "tokens.yaml"), open=["page", "openapi", "metrics"]
    )
    assert [opened.get(path).status_code for path in ("/", "/openapi.json", "/metrics")] == [
        200
    ] * 3
    assert opened.get("/api/model/info").status_code == 401
    assert "security" not in opened.get("/openapi.json").json()["paths"]["/metrics"]["get"]


@pytest.mark.parametrize(
    "path",
    [
        "/v2", "/v2/models/landmark-dlib", "/nowhere", "/docs", "/v2/health/live/", "//",
        "/v2/health/live/../../metrics", "/%6detrics", "/metrics?x=/v2/health/live", "/openapi.json/",
    ],
)  # fmt: skip
def test_everything_else_is_closed(guarded: Server, path: str) -> None:
    with Wire(guarded) as wire:
        answer = wire.send(LIVE.replace(b"/v2/health/live", path.encode(), 1)).answer()
    assert answer.status == 401


def test_a_body_is_not_read_for_those_who_may_not(guarded: Server) -> None:
    head = b"POST /api/landmarks HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n"
    with Wire(guarded) as wire:
        assert wire.send(head).answer().status == 401


def test_tokens_change_while_the_server_runs(start: Start, tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    old = made(tmp_path, "one", "info")
    server = start(GOLDEN, "--tokens", str(path))
    assert asked(server, old).status_code == 200

    new = made(tmp_path, "one", "info")  # rotated: at once, for the very next request
    assert (asked(server, old).status_code, asked(server, new).status_code) == (401, 200)
    other = made(tmp_path, "two", "info")
    assert asked(server, other).status_code == 200

    assert (
        command("token", "remove", "--name", "two", "--file", str(path), cwd=tmp_path).returncode
        == 0
    )
    assert (asked(server, other).status_code, asked(server, new).status_code) == (401, 200)

    good = path.read_bytes()
    for broken in (good[: len(good) // 2], b"", b"{", b"tokens: {one: {sha256: short}}", b"\xff"):
        path.write_bytes(broken)  # in mid-edit
        for _ in range(3):
            assert asked(server, new).status_code == 200, broken
            assert asked(server, old).status_code == 401, broken
    server.wait_for("tokens unchanged")
    path.unlink()
    os.mkfifo(path)  # whoever reads it waits until somebody writes
    assert asked(server, new).status_code == 200

    path.unlink()
    assert asked(server, new).status_code == 401
    path.write_bytes(good)
    assert asked(server, new).status_code == 200
    path.write_text("tokens: {}\n")
    assert asked(server, new).status_code == 401
    assert not {old, new, other} & set(str(server.lines).split())
    assert all(secret not in str(server.lines) for secret in (old, new, other))


def test_tokens_behind_a_link_that_is_swapped_are_read_anew(start: Start, tmp_path: Path) -> None:
    """As Kubernetes changes a mounted secret."""
    tokens = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        tokens.append(made(tmp_path / name, "one", "info"))
    (tmp_path / "now").symlink_to("a")
    server = start(GOLDEN, "--tokens", str(tmp_path / "now/tokens.yaml"))
    assert [asked(server, token).status_code for token in tokens] == [200, 401]
    (tmp_path / "next").symlink_to("b")
    (tmp_path / "next").rename(tmp_path / "now")
    assert [asked(server, token).status_code for token in tokens] == [401, 200]


def refused(*options: str, cwd: Path) -> str:
    done = command("serve", str(GOLDEN), "--port", "0", *options, cwd=cwd)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "example.invalid", "192.0.2.1"])  # noqa: S104
def test_without_tokens_a_server_listens_on_loopback_alone(host: str, tmp_path: Path) -> None:
    assert "no tokens are set" in refused("--host", host, cwd=tmp_path)


def test_a_server_is_open_to_all_where_that_is_asked_for(start: Start, tmp_path: Path) -> None:
    server = start(GOLDEN, "--host", "0.0.0.0", "--no-auth")  # noqa: S104
    assert asked(server, None).status_code == 200
    tokens = tmp_path / "tokens.yaml"
    assert "exclude" in refused("--no-auth", "--tokens", str(tokens), cwd=tmp_path)


def test_a_server_does_not_start_with_a_file_of_tokens_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    assert str(path) in refused("--tokens", str(path), cwd=tmp_path)
    path.write_text("tokens: {one: {sha256: abc, scopes: [everything]}}\n")
    assert "tokens.one.sha256" in refused("--tokens", str(path), cwd=tmp_path)
    path.write_text("tokens: {}\n")
    path.chmod(0o666)
    assert "anyone may write" in refused("--tokens", str(path), cwd=tmp_path)


def test_the_commands_keep_tokens_to_themselves(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    token = made(tmp_path, "gateway", "predict", "info")
    assert path.stat().st_mode & 0o777 == 0o600
    assert token not in path.read_text()
    listed = command("token", "list", "--file", str(path), "--json", cwd=tmp_path)
    assert json.loads(listed.stdout) == [{"name": "gateway", "scopes": ["predict", "info"]}]
    plain = command("token", "list", "--file", str(path), cwd=tmp_path).stdout
    assert plain == "name\tscopes\texpires\ngateway\tpredict info\tnever\n"
    for wrong in ("Jane Doe", "", "-x", "a" * 65, "ä", "a\nb"):
        done = command(
            "token", "add", "--name", wrong, "--scope", "info", "--file", str(path), cwd=tmp_path
        )
        assert done.returncode == 2, wrong
    missing = command("token", "remove", "--name", "nobody", "--file", str(path), cwd=tmp_path)
    assert (missing.returncode, "gateway" in missing.stderr) == (2, True)
    gone = command(
        "token", "remove", "--name", "gateway", "--file", str(path), "--json", cwd=tmp_path
    )
    assert json.loads(gone.stdout) == {"removed": "gateway"}
    assert command("token", "list", "--file", "none.yaml", cwd=tmp_path).returncode == 2
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.yaml"]


# The log.


def test_the_log_holds_nothing_that_clients_sent(guarded: Server, tokens: dict[str, str]) -> None:
    secret = tokens["admin"]
    headers = {"authorization": f"Bearer {secret}", "x-request-id": "id with\nspace"[:7]}
    for path in (
        "/api/jane-doe.jpg", "/v2/models/jane-doe", "/api/model/info?who=jane-doe",
        f"/api/model/info?token={secret}", "/%0a%7b%22event%22:%22jane-doe%22%7d", "/\u2028jane-doe",
    ):  # fmt: skip
        guarded.get(path, headers=headers)
    files = [("jane-doe", ("jane-doe.jpg", picture(), "image/jpeg"))]
    seen = guarded.post("/api/landmarks", files=files, headers=headers)
    with Wire(guarded) as wire:
        wire.send(b"GET /\njane-doe HTTP/1.1\r\n\r\n").answer()
    wait_until(
        lambda: any(
            line.get("request_id") == seen.headers["x-request-id"] for line in guarded.lines
        )
    )
    text = json.dumps(guarded.lines)
    assert seen.status_code == 200
    assert "jane-doe" not in text
    assert secret not in text
    assert all(line["event"] != "raw" for line in guarded.lines), "a line that is no JSON"


@pytest.mark.full
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_whole_server_speaks_to_nothing_beyond_this_machine(
    facenet: Path, tmp_path: Path
) -> None:
    """From its start over a prediction, its page and its metrics to its end."""
    trace = tmp_path / "trace"
    loud = ["env", *(f"--unset={name}" for name in SILENT)]
    with launched(tmp_path, facenet, prefix=[*loud, *traced([], trace)]) as server:
        answer = server.post(
            "/api/embed", content=picture(), headers={"content-type": "image/jpeg"}
        )
        assert answer.status_code == 200
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/api/model/info"):
            assert server.get(path).status_code == 200
        psutil.Process(server.process.pid).children()[0].terminate()
        server.process.wait(60)
    assert outside(trace) == set()
