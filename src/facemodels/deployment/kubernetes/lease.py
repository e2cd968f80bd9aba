"""Lets one controller at a time change the objects of an environment, wherever others run.

A file lock does it on one machine; on a cluster the standard's object is a Lease. Whoever holds it
renews it. Others try to own its fields by server-side apply without force, which is a conflict as
long as somebody else does; they take it by force when it was not renewed for its duration, by their
own clock, as clocks of machines differ.
"""

from __future__ import annotations

import math
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from facemodels.deployment.kubernetes.client import ClusterClient, status_of
from facemodels.deployment.kubernetes.target import ClusterTarget, Object
from facemodels.errors import FacemodelsError
from facemodels.files import write_text

_DURATION_S, _RENEW_S, _TRY_S = 15.0, 5.0, 1.0


class EnvironmentLease:
    """The Lease of one environment.

    Args:
        client: the objects of the environment.
        target: the environment and its cluster.
        folder: the state folder, which keeps the name of the holder: a controller that was killed
            and is started again goes on at once.
        clock: seconds of a clock that is not set.

    Attributes:
        problem: who or what hinders this controller; "" if it holds the Lease.
    """

    def __init__(
        self,
        client: ClusterClient,
        target: ClusterTarget,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._target = client, target
        self._clock = clock
        self._holder = _holder(folder)
        self._until = -math.inf  # until when it is held, by the clock
        self._other: tuple[str, str] = ("", "")  # who held it last, and its last renewal
        self._other_since = 0.0  # since when that is known, by the clock
        self.problem = "the Lease of the environment is not held yet"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, taken: Callable[[], None]) -> None:
        """Start to take and renew it.

        Args:
            taken: called when it was taken.
        """
        self._thread = threading.Thread(target=self._run, args=(taken,), name="lease", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give it up, so that another controller need not wait."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2)
        if self.is_held():
            with suppress(FacemodelsError):
                self._client.delete("Lease", self._name)

    def is_held(self) -> bool:
        """Whether this controller may change objects now."""
        return self._clock() < self._until

    @property
    def _name(self) -> str:
        return self._target.manager

    def _run(self, taken: Callable[[], None]) -> None:
        while not self._stop.is_set():
            held = self.is_held()
            self.try_once()
            if self.is_held() and not held:
                taken()
            self._stop.wait(_RENEW_S if self.is_held() else _TRY_S)

    def try_once(self) -> None:
        """Take or renew it; an error leaves it held until its duration is over."""
        began = self._clock()
        try:
            self._own(force=False)
        except FacemodelsError as error:
            if status_of(error) == 409:
                self._until = -math.inf
                self._meet_other(began)
            else:
                self.problem = str(error)
        else:
            self._until, self.problem = began + _DURATION_S, ""

    def _own(self, *, force: bool) -> None:
        self._client.apply(self._lease(), ours=force, manager=f"{self._name}-{self._holder}")

    def _meet_other(self, now: float) -> None:
        """Wait for another holder, or take its place when it is silent for too long."""
        try:
            spec = self._client.get("Lease", self._name).get("spec", {})
            other = (str(spec.get("holderIdentity")), str(spec.get("renewTime")))
            if other != self._other:
                self._other, self._other_since = other, now
            self.problem = f"the controller {other[0]} runs the environment; this one waits"
            if now - self._other_since > _DURATION_S:
                self._own(force=True)
                self._until, self.problem = now + _DURATION_S, ""
        except FacemodelsError as error:
            self.problem = str(error)

    def _lease(self) -> Object:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": self._target.metadata(self._name, {}),
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": round(_DURATION_S),
                "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        }


def _holder(folder: Path) -> str:
    """The name of the holder, which a state folder keeps; the folder is one controller's."""
    path = folder / "lease-holder"
    with suppress(OSError, UnicodeDecodeError):
        known = path.read_text(encoding="utf-8").strip()
        if known:
            return known
    name = f"{socket.gethostname()[:40]}-{uuid.uuid4().hex[:8]}"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, name)
    return name
