"""The controller's desk for Git: fetches and events, one after the other, beside the loop.

The network may hang; traffic must not wait for it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import psutil
import structlog

from facemodels.errors import FacemodelsError, ToolError
from facemodels.registry import reading
from facemodels.registry.registry import Registry
from facemodels.registry.rules import Proposal
from facemodels.registry.state import State

_REREAD_S = 5.0  # for tags that moved no head, as GTO's do
_END_S = 5.0  # for git to end what it began
_LOOK_S = 0.05  # between two looks at the head, each of which is a process

Done = Callable[[FacemodelsError | None], None]


class GitWorker:
    """Keeps the clone's tags up to date, and adds events.

    Args:
        registry: of the clone.
        interval_s: between two fetches.
    """

    def __init__(self, registry: Registry, interval_s: float) -> None:
        self._registry = registry
        self._interval_s = interval_s
        self._pool = ThreadPoolExecutor(1, "git")
        self._fetching: Future[None] | None = None
        self._fetched = 0.0
        self._acts: dict[str, Future[None]] = {}
        self._state: State | None = None
        self._head: str | None = None
        self._read = self._looked = 0.0
        self._added = self._seen = 0  # events of ours, and those that the state has surely
        self._log = structlog.get_logger("facemodels.deployment")
        self.problem = ""  # why the last fetch failed

    def state(self) -> State:
        """What the tags of the clone add up to; read anew when the head has moved.

        Whoever was told that an event of ours is added finds it here.
        """
        now, added = time.monotonic(), self._added
        if self._state is not None and added == self._seen and now - self._looked < _LOOK_S:
            return self._state
        self._looked = now
        head = reading.read_head(self._registry.git)
        if self._state is None or head != self._head or now - self._read > _REREAD_S:
            self._state = self._registry.repository.state()
            self._head, self._read = head, now
        self._seen = added
        return self._state

    def fetch(self) -> None:
        """Begin to fetch, if it is time."""
        now = time.monotonic()
        if self._fetching is not None and not self._fetching.done():
            return
        if self._fetched and now - self._fetched < self._interval_s:
            return
        self._fetched = now
        self._fetching = self._pool.submit(self._fetch)

    def _fetch(self) -> None:
        try:
            self._registry.repository.sync()
        except FacemodelsError as error:
            if str(error) != self.problem:
                self._log.error("fetch failed", problem=str(error))
            self.problem = str(error)
        else:
            self.problem = ""

    def busy(self, model: str) -> bool:
        """Whether an event of a model is on its way."""
        act = self._acts.get(model)
        return act is not None and not act.done()

    def act(self, model: str, plan: Proposal, done: Done) -> None:
        """Add an event, unless one of the model is on its way.

        Args:
            model: for example `recognition-facenet`.
            plan: the event.
            done: told how it went, in the desk's thread.
        """
        if not self.busy(model):
            self._acts[model] = self._pool.submit(self._act, plan, done)

    def _act(self, plan: Proposal, done: Done) -> None:
        try:
            event = self._registry.act(plan)
        except FacemodelsError as error:
            self._log.error("event not added", problem=str(error))
            done(error)
        except Exception as error:  # noqa: BLE001  (whoever waits must hear of it)
            self._log.exception("event not added")
            done(ToolError(str(error)))
        else:
            self._log.info("event added", tag=event.tag, act=event.act, reason=event.reason)
            self._added += 1
            done(None)

    def close(self) -> None:
        """Begin nothing more, and end a git that waits for a remote: our own end waits for it.

        What was on its way is done there or not, and the next look shows which.
        """
        self._pool.shutdown(wait=False, cancel_futures=True)
        deadline = time.monotonic() + _END_S
        while self._pool_works() and time.monotonic() < deadline:
            time.sleep(0.02)
        while self._pool_works() and time.monotonic() < deadline + _END_S:
            for child in psutil.Process().children():
                with suppress(psutil.Error, OSError):
                    # The servers are our children too, in sessions of their own.
                    if os.getsid(child.pid) == os.getsid(0) and child.name().startswith("git"):
                        _kill(child)
            time.sleep(0.02)

    def _pool_works(self) -> bool:
        works = [self._fetching, *self._acts.values()]
        return any(work is not None and not work.done() for work in works)


def _kill(process: psutil.Process) -> None:
    """A process and all below it: git's helper for the remote holds our pipe."""
    for one in (*process.children(recursive=True), process):
        with suppress(psutil.Error):
            one.kill()
