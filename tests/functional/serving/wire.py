"""Clients that speak HTTP byte by byte, and the bodies they send."""

from __future__ import annotations

import io
import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import orjson
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from .conftest import COMMAND, Server

LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
LEAKS = re.compile(
    r"Traceback|site-packages|\.py\b|/work|/tmp|/home|uvicorn|starlette|fastapi|httptools|onnx"
    r"|dlib\.|numpy|Errno|Exception",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def text(self) -> str:
        return f"{self.headers}\n{self.body.decode(errors='replace')}"


class Wire:
    """One connection."""

    def __init__(self, server: Server, timeout: float = 30) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout)
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> Self:
        self.socket.sendall(data)
        return self

    def answer(self) -> Answer:
        """The next answer; it must have a length."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        size = int(headers["content-length"])
        while len(self.buffer) < size:
            self._more()
        body, self.buffer = self.buffer[:size], self.buffer[size:]
        return Answer(int(first.split()[1]), headers, body)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self.buffer:
            self._more()
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    def _more(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, f"closed after {self.buffer!r}"
        self.buffer += data

    def closed(self, within: float = 10) -> bool:
        """Whether the server closes in time, and says nothing more."""
        self.socket.settimeout(within)
        try:
            return self.socket.recv(1 << 16) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def quiet(self, seconds: float) -> bool:
        """Whether nothing comes for so long, the end included."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1)
        except TimeoutError:
            self.socket.settimeout(30)
            return True
        return False


def post(path: str, body: bytes, *headers: str, content_type: str = "image/jpeg") -> bytes:
    lines = ["host: x", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
    return f"POST {path} HTTP/1.1\r\n".encode() + "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def picture(width: int = 90, height: int = 70, form: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


# Limits under which `slow_form` is decoded whole, in the threads of small pictures.
LARGE_IMAGES = {"pixels": 10**9, "working_pixels": 10**9, "decoded_bytes": 10**11}


def slow_form(images: int = 12, side: int = 4000) -> dict[str, Any]:
    """A request that keeps a worker for seconds: few bytes, many pixels."""
    stream = io.BytesIO()
    Image.new("RGB", (side, side), (90, 120, 40)).save(stream, "JPEG")
    return {"files": [("image", ("a.jpg", stream.getvalue(), "image/jpeg"))] * images}


def series(server: Server, **options: Any) -> dict[str, float]:
    """All samples of /metrics, as `name{label values}`; the names of the model left out."""
    text = server.get("/metrics", **options).text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            own = [v for k, v in sample.labels.items() if k not in ("model_name", "model_version")]
            found[sample.name + (f"{{{','.join(own)}}}" if own else "")] = sample.value
    return found


@contextmanager
def launched(
    folder: Path, package: Path, *options: str, prefix: Sequence[str] = (), **limits: Any
) -> Iterator[Server]:
    """A server as the fixture starts it, run by another program."""
    config = folder / "serving.yaml"
    config.write_text(json.dumps({"limits": limits}))
    command = [COMMAND, "serve", str(package), "--port", "0", "--config", str(config), *options]
    process = subprocess.Popen(
        [*prefix, *command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        cwd=folder,
    )  # fmt: skip
    server = Server(process)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)


def wait_until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Poll until something is so."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        pause.wait(0.01)
