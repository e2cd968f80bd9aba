"""A detector and a recogniser behind HTTP on loopback: from the bytes of a photo to a unit vector.

It does what README's "A photo of your own" does with curl: /api/detect gives the faces with
their points, the client takes one of them, and /api/embed cuts and embeds it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
from numpy.typing import NDArray

START_S = 60  # a server that does not listen by then has failed
AT_ONCE = 8  # photos of a request; the points of more would not fit into a query
Points = NDArray[np.float64]


@dataclass(frozen=True)
class ServedFaces:
    """Clients of the two servers.

    Attributes:
        detector: of the server that finds faces.
        recogniser: of the server that embeds them.
    """

    detector: httpx.Client
    recogniser: httpx.Client

    def points(self, photos: Sequence[bytes]) -> list[Points | None]:
        """The five points (5, 2) of the face nearest to the middle of each JPEG; None without one.

        Args:
            photos: `AT_ONCE` at most.
        """
        answer = _json(self.detector.post("/api/detect", files=_form(photos)))
        return [_central(result) for result in answer["results"]]

    def embed(self, photos: Sequence[bytes], points: Sequence[Points]) -> NDArray[np.float32]:
        """The unit vectors (N, D) of the faces with these points.

        Args:
            photos: `AT_ONCE` at most.
            points: of each photo.
        """
        url = f"/api/embed?points={_text(points)}"
        answer = _json(self.recogniser.post(url, files=_form(photos)))
        return np.array([result["embedding"] for result in answer["results"]], np.float32)

    def verify(self, photos: Sequence[bytes], points: Sequence[Points]) -> float:
        """The similarity that /api/verify gives two photos."""
        url = f"/api/verify?points={_text(points)}"
        return float(_json(self.recogniser.post(url, files=_form(photos)))["similarity"])


@dataclass(frozen=True)
class Served:
    """A server of one package.

    Attributes:
        client: sends requests to it.
        pid: its process.
    """

    client: httpx.Client
    pid: int


@contextmanager
def served_faces(detector: Path, recogniser: Path) -> Iterator[ServedFaces]:
    """Serve both packages with one thread each until the block ends."""
    with ExitStack() as stack:
        servers = [stack.enter_context(served(one)) for one in (detector, recogniser)]
        yield ServedFaces(*(server.client for server in servers))


@contextmanager
def served(package: Path) -> Iterator[Served]:
    """Serve a package with one thread until the block ends."""
    command = [Path(sys.executable).parent / "facemodels", "serve", package]
    port = _free_port()
    with (
        # Not a pipe: the server writes a line for each request, and would wait for a reader.
        tempfile.TemporaryFile() as log,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        server = subprocess.Popen(
            [*map(str, command), "--port", str(port), "--threads", "1"],
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            _wait(client, server, log)
            yield Served(client, server.pid)
        finally:
            server.terminate()
            server.wait()


def _wait(client: httpx.Client, server: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            log.seek(0)
            said = log.read().decode(errors="replace").strip()
            sys.exit(f"facemodels serve ended with {server.returncode}: {said}")
        try:
            if client.get("/api/model/info").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit(f"facemodels serve did not answer within {START_S} s.")


def _central(result: dict[str, Any]) -> Points | None:
    """The points of the face nearest to the middle, as conf/data/real.yaml chooses one."""
    if not result["faces"]:
        return None
    middle = np.array([result["width"], result["height"]]) / 2

    def offset(face: dict[str, Any]) -> float:
        box = np.array(face["box"]).reshape(2, 2)
        return float(((box.mean(axis=0) - middle) ** 2).sum())

    return np.array(min(result["faces"], key=offset)["points"])


def _form(photos: Sequence[bytes]) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("image", ("photo.jpg", photo, "image/jpeg")) for photo in photos]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _json(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


def _text(points: Sequence[Points]) -> str:
    """As README's example has it: numbers as they came, faces separated by semicolons."""
    return ";".join(",".join(repr(float(value)) for value in one.ravel()) for one in points)
