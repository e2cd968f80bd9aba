"""The controller's desk for Git: fetches and events, one after the other, beside the loop.

The network may hang; traffic must not wait for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from facemodels.errors import FacemodelsError, ToolError
from facemodels.registry import reading
from facemodels.registry.registry import Registry
from facemodels.registry.rules import Plan
from facemodels.registry.state import State

_REREAD_S = 5.0  # for tags that moved no head, as GTO's do

Done = Callable[[FacemodelsError | None], None]


class Desk:
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
        self._read = 0.0
        self._log = structlog.get_logger("facemodels.rollout")
        self.problem = ""  # why the last fetch failed

    def state(self) -> State:
        """What the tags of the clone add up to; read anew when the head has moved."""
        now = time.monotonic()
        head = reading.read_head(self._registry.git)
        if self._state is None or head != self._head or now - self._read > _REREAD_S:
            self._state = self._registry.repository.state()
            self._head, self._read = head, now
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

    def act(self, model: str, plan: Plan, done: Done) -> None:
        """Add an event, unless one of the model is on its way.

        Args:
            model: for example `recognition-facenet`.
            plan: the event.
            done: told how it went, in the desk's thread.
        """
        if not self.busy(model):
            self._acts[model] = self._pool.submit(self._act, plan, done)

    def _act(self, plan: Plan, done: Done) -> None:
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
            self._head = None
            done(None)

    def close(self) -> None:
        """Begin nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)
