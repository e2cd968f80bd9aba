"""A line to a store that breaks where a test says so."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>'
)


class Proxy:
    """Passes requests on to a port of this machine.

    Args:
        port: of the store.
        fault: of the request with a number (from 1); None: it is passed on.
            500, 503: answered as S3 does when it is broken or busy, the store hears nothing;
            refuse: closed without an answer; close: the store does it, the answer is lost;
            cut: half of the answer's body comes, for those that have one, else as close;
            hush: as cut, but the line stays open until the client goes away;
            stall: no answer until the client goes away.
    """

    def __init__(self, port: int, fault: Callable[[int], str | None]) -> None:
        self.faults = 0
        self.seen: list[str] = []
        self._count = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                what = proxy._next(f"{self.command} {self.path}", fault)
                body = self._body()
                if what in ("refuse", "stall"):
                    if what == "stall":
                        self._wait_for_end()
                    self._hang_up()
                elif what in ("500", "503"):
                    code = (b"InternalError", b"Broken") if what == "500" else (
                        b"SlowDown", b"Please reduce your request rate.",
                    )  # fmt: skip
                    self._answer(int(what), {}, _SLOW_DOWN % code)
                else:
                    self._pass_on(port, body, what)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815  (names of http.server)

            def _body(self) -> bytes:
                if "chunked" in self.headers.get("Transfer-Encoding", ""):
                    found = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        found += self.rfile.read(size)
                        self.rfile.readline()
                    while self.rfile.readline().strip():
                        pass
                    return found
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def _pass_on(self, to: int, body: bytes, what: str | None) -> None:
                line = http.client.HTTPConnection("127.0.0.1", to, timeout=60)
                hop = ("transfer-encoding", "expect", "connection", "content-length")
                headers = {k: v for k, v in self.headers.items() if k.lower() not in hop}
                line.request(
                    self.command, self.path, body, {**headers, "Content-Length": str(len(body))}
                )
                answer = line.getresponse()
                data = answer.read()
                kept = {
                    k: v for k, v in answer.getheaders()
                    if k.lower() not in ("transfer-encoding", "connection", "date", "server")
                }  # fmt: skip
                line.close()
                if what is None:
                    self._answer(answer.status, kept, data)
                    return
                if what in ("cut", "hush") and len(data) > 1:
                    kept["Content-Length"] = str(len(data))
                    self._answer(answer.status, kept, data[: len(data) // 2])
                    if what == "hush":
                        self._wait_for_end()
                self._hang_up()

            def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
                self.send_response(status)
                length = {"Content-Length": str(len(data))}
                for name, value in {**length, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def _wait_for_end(self) -> None:
                self.connection.settimeout(0.1)
                while not proxy._stop.is_set():
                    try:
                        if not self.connection.recv(1):
                            return
                    except TimeoutError:
                        continue
                    except OSError:
                        return

            def _hang_up(self) -> None:
                self.close_connection = True
                try:
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients go away in these tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def _next(self, line: str, fault: Callable[[int], str | None]) -> str | None:
        with self._lock:
            self._count += 1
            self.seen.append(line)
            what = fault(self._count)
            self.faults += what is not None
        return what

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
