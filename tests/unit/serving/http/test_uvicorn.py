"""What serving uses of uvicorn's classes without documentation, and that it is still so.

uvicorn promises nothing about its connection class. If one of these tests fails after an upgrade,
adapt serving/http/connection.py or serving/server.py, run tests/functional/serving, and then move
the range of versions in pyproject.toml.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from packaging.requirements import Requirement
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from facemodels.serving import server as server_module
from facemodels.serving.http import connection as connection_module
from facemodels.serving.http.connection import Connection, connection_class
from facemodels.serving.http.readiness import Readiness
from facemodels.serving.settings import Limits

ROOT = Path(__file__).resolve().parents[4]
CHANGED = f"uvicorn {version('uvicorn')} changed what serving uses of it (see this file's head): "
# By class: the attributes of its objects that serving reads, sets or calls.
CONNECTION = {
    "connections", "cycle", "flow", "headers", "parser", "pipeline", "transport", "url",
}  # fmt: skip
CYCLE = {
    "disconnected", "keep_alive", "message_event", "more_body", "response_complete",
    "response_started", "scope",
}  # fmt: skip
SERVER = {"config", "force_exit", "server_state", "should_exit"}
STATE = {"connections", "tasks"}
# By class: the methods that serving overrides or calls, and their parameters.
METHODS = {
    HttpToolsProtocol: {
        "__init__": ["self", "config", "server_state", "app_state", "_loop"],
        "connection_made": ["self", "transport"],
        "connection_lost": ["self", "exc"], "data_received": ["self", "data"],
        "pause_writing": ["self"], "resume_writing": ["self"],
        "timeout_keep_alive_handler": ["self"], "on_message_begin": ["self"],
        "on_url": ["self", "url"], "on_header": ["self", "name", "value"],
        "on_headers_complete": ["self"], "on_body": ["self", "body"],
        "on_message_complete": ["self"], "on_response_complete": ["self"], "shutdown": ["self"],
    },
    uvicorn.Server: {
        "__init__": ["self", "config"], "capture_signals": ["self"],
        "startup": ["self", "sockets"], "on_tick": ["self", "counter"],
        "main_loop": ["self"],
        "shutdown": ["self", "sockets"], "run": ["self", "sockets"],
    },
}  # fmt: skip


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.paused = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


async def answer(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the request's path and body."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    text = scope["path"].encode() + body
    length = (b"content-length", str(len(text)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": text})


def connected(limits: Limits | None = None) -> tuple[Connection, Transport, ServerState]:
    """A connection of a ready server; to be called in an event loop."""
    readiness, state, transport = Readiness(), ServerState(), Transport()
    readiness.ready = True
    made = connection_class(limits or Limits(), readiness)(
        config=uvicorn.Config(answer, lifespan="off", log_config=None, interface="asgi3"),
        server_state=state, app_state={},
    )  # fmt: skip
    made.connection_made(transport)
    return made, transport, state


async def idle(state: ServerState) -> None:
    """Wait until every request that has been started is answered."""
    while state.tasks:
        await asyncio.gather(*state.tasks)


def test_the_installed_version_is_one_that_was_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (wanted,) = (one for one in map(Requirement, project["dependencies"]) if one.name == "uvicorn")
    assert any(one.operator in {"<", "=="} for one in wanted.specifier), "give an upper bound"
    assert version("uvicorn") in wanted.specifier


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_that_is_overridden_has_its_parameters(kind: type) -> None:
    for name, wanted in METHODS[kind].items():
        method = getattr(kind, name, None)
        assert method is not None, f"{CHANGED}{kind.__name__}.{name} is gone."
        found = list(inspect.signature(method).parameters)
        assert found == wanted, f"{CHANGED}{kind.__name__}.{name}{wanted} has now {found}."


def test_every_attribute_is_there() -> None:
    async def look() -> dict[str, set[str]]:
        made, _, state = connected()
        made.data_received(b"GET / HTTP/1.1\r\n\r\n")
        await idle(state)
        server = uvicorn.Server(made.config)
        pairs = ((made, CONNECTION), (made.cycle, CYCLE), (server, SERVER), (state, STATE))
        assert isinstance(made.cycle, RequestResponseCycle)
        return {type(one).__name__: wanted - set(vars(one)) for one, wanted in pairs}

    missing = {kind: names for kind, names in asyncio.run(look()).items() if names}
    assert not missing, f"{CHANGED}{missing} are gone."


def attributes(tree: ast.AST, name: str) -> Iterator[str]:
    """The attributes of a variable in a module, for example of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == name:
            yield node.attr


@pytest.mark.parametrize(
    ("module", "own", "variable", "listed"),
    [
        (connection_module, "Connection", "self", CONNECTION | set(METHODS[HttpToolsProtocol])),
        (connection_module, "Connection", "self.cycle", CYCLE),
        (server_module, "_Server", "self", SERVER | set(METHODS[uvicorn.Server])),
        (server_module, "_Server", "self.server_state", STATE),
    ],
)
def test_this_file_lists_all_that_serving_uses(
    module: Any, own: str, variable: str, listed: set[str]
) -> None:
    (kind,) = (
        node for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.ClassDef) and node.name == own
    )  # fmt: skip
    used = set(attributes(kind, variable))
    defined = {node.name for node in ast.walk(kind) if isinstance(node, ast.FunctionDef)} | {
        node.target.id
        for node in kind.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    private = {name for name in used if name.startswith("_") and name not in listed}
    assert used - listed - defined - private - {"code", "ticked_s"} == set()
    for name in private:
        assert not hasattr(HttpToolsProtocol, name), f"{name} of uvicorn has an underscore"
        assert not hasattr(uvicorn.Server, name), f"{name} of uvicorn has an underscore"


def test_requests_in_a_row_are_answered_in_turn() -> None:
    async def talk() -> bytes:
        made, transport, state = connected()
        made.data_received(b"GET /a HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 2\r\n\r\n")
        assert made.busy, f"{CHANGED}a request in work is not known by its cycle."
        assert len(made.pipeline) == 1, f"{CHANGED}the second request does not wait in `pipeline`."
        made.data_received(b"xy")
        await idle(state)
        assert not made.busy, f"{CHANGED}`response_complete` is not set."
        return transport.written

    written = asyncio.run(talk())
    assert written.index(b"/a") < written.index(b"/bxy")


def test_a_client_is_listened_to_once_its_request_is_complete() -> None:
    async def talk() -> None:
        made, transport, _ = connected()
        made.data_received(b"POST /a HTTP/1.1\r\ncontent-length: 200000\r\n\r\n" + b"." * 100_000)
        assert transport.paused, f"{CHANGED}a large part of a body does not stop the reading."
        made.data_received(b"." * 100_000)  # the last part, which nobody asks to follow
        assert not transport.paused, "nobody would notice that the client leaves"
        made.data_received(b"POST /b HTTP/1.1\r\ncontent-length: 2\r\n\r\nxy")
        assert transport.paused, "a client may not fill the memory with requests in a row"

    asyncio.run(talk())


def test_the_server_knows_its_connections_and_requests() -> None:
    async def talk() -> None:
        made, transport, state = connected()
        assert state.connections == {made}, f"{CHANGED}`connections` are not all."
        made.data_received(b"GET / HTTP/1.1\r\n\r\n")
        assert len(state.tasks) == 1, f"{CHANGED}`tasks` are not the requests in work."
        made.shutdown()
        await idle(state)
        assert transport.closed, f"{CHANGED}`keep_alive` does not close."
        made.connection_lost(None)
        assert not state.connections

    asyncio.run(talk())


def test_the_timer_of_uvicorn_closes_nothing() -> None:
    async def talk() -> None:
        made, transport, state = connected()
        made.data_received(b"GET / HTTP/1.1\r\n\r\n")
        await idle(state)
        assert made.timeout_keep_alive_task is not None
        made.timeout_keep_alive_handler()
        assert not transport.closed

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("sent", "status"),
    [(b"\x00\r\n\r\n", b"400"), (b"GET /" + b"a" * 40_000, b"431"), (b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"400")],
)  # fmt: skip
def test_what_is_refused_gets_an_answer_and_the_end(sent: bytes, status: bytes) -> None:
    async def talk() -> Transport:
        made, transport, _ = connected()
        made.data_received(sent)
        return transport

    transport = asyncio.run(talk())
    assert transport.closed
    assert transport.written.startswith(b"HTTP/1.1 " + status + b" ")
    assert b"connection: close\r\n" in transport.written


def test_a_request_for_another_protocol_keeps_its_body() -> None:
    head = b"POST /u HTTP/1.1\r\nupgrade: h2c\r\nconnection: upgrade\r\ncontent-length: 4\r\n\r\n"

    async def talk() -> bytes:
        made, transport, state = connected()
        made.data_received(head + b"bo")
        made.data_received(b"dy")
        await idle(state)
        return transport.written

    assert asyncio.run(talk()).endswith(b"/ubody")
