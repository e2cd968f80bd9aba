"""A detector and a recogniser behind HTTP on loopback: from the bytes of a photo to a unit vector.

It does what README's "A photo of your own" does with curl: /api/detect gives the faces with
their points, the client takes one of them, and /api/embed cuts and embeds it.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

START_S = 60  # a server that does not listen by then has failed
_JPEG = {"content-type": "image/jpeg"}


@dataclass(frozen=True)
class ServedFaces:
    """Clients of the two servers.

    Attributes:
        detector: of the server that finds faces.
        recogniser: of the server that embeds them.
    """

    detector: httpx.Client
    recogniser: httpx.Client

    def points(self, photo: bytes) -> NDArray[np.float64] | None:
        """The five points (5, 2) of the face nearest to the middle of a JPEG; None without one."""
        (result,) = _json(self.detector.post("/api/detect", content=photo, headers=_JPEG))[
            "results"
        ]
        if not result["faces"]:
            return None
        middle = np.array([result["width"], result["height"]]) / 2

        def offset(face: dict[str, Any]) -> float:
            box = np.array(face["box"]).reshape(2, 2)
            return float(((box.mean(axis=0) - middle) ** 2).sum())

        return np.array(min(result["faces"], key=offset)["points"])

    def embed(self, photo: bytes, points: NDArray[np.float64]) -> NDArray[np.float32]:
        """The unit vector (D,) of the face with these points."""
        answer = _json(
            self.recogniser.post(
                "/api/embed", content=photo, headers=_JPEG, params={"points": _text(points)}
            )
        )
        return np.array(answer["results"][0]["embedding"], np.float32)

    def verify(
        self, photos: tuple[bytes, bytes], points: tuple[NDArray[np.float64], NDArray[np.float64]]
    ) -> float:
        """The similarity that /api/verify gives two photos."""
        answer = _json(
            self.recogniser.post(
                "/api/verify",
                files=[("image", ("photo.jpg", photo, "image/jpeg")) for photo in photos],
                params={"points": ";".join(_text(one) for one in points)},
            )
        )
        return float(answer["similarity"])


@contextmanager
def served_faces(detector: Path, recogniser: Path) -> Iterator[ServedFaces]:
    """Serve both packages with one thread each until the block ends."""
    with ExitStack() as stack:
        yield ServedFaces(*(stack.enter_context(_served(one)) for one in (detector, recogniser)))


@contextmanager
def _served(package: Path) -> Iterator[httpx.Client]:
    command = [Path(sys.executable).parent / "facemodels", "serve", package]
    port = _free_port()
    server = subprocess.Popen(
        [*map(str, command), "--port", str(port), "--threads", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            _wait(client, server)
            yield client
    finally:
        server.terminate()
        server.wait()


def _wait(client: httpx.Client, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            _, said = server.communicate()
            sys.exit(f"facemodels serve ended with {server.returncode}: {said.strip()}")
        try:
            if client.get("/api/model/info").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    sys.exit(f"facemodels serve did not answer within {START_S} s.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _json(response: httpx.Response) -> dict[str, Any]:
    response.raise_for_status()
    body: dict[str, Any] = response.json()
    return body


def _text(points: NDArray[np.float64]) -> str:
    return ",".join(repr(float(value)) for value in points.ravel())
