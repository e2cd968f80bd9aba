"""Runs Git beside the controller's loop: fetches, and events that the controller adds.

One thread does both, one after the other. The network, a hook or a credential helper may hang
there for as long as `Git` lets them; the loop never waits for this thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext, suppress

import psutil
import structlog

from facemodels.errors import FacemodelsError, ToolError
from facemodels.git import kill_tree
from facemodels.registry.proposals import Proposal
from facemodels.registry.ref_stamp import RefStamp, Stamp
from facemodels.registry.registry import Registry
from facemodels.registry.state import State

_REREAD_S = 60.0  # tags are read anew this often even if nothing seems to have changed
_END_S = 5.0  # how long git may end by itself when the controller ends
_LOOK_S = 0.05  # between two looks whether a ref changed

Done = Callable[[FacemodelsError | None], None]
Claim = Callable[[], AbstractContextManager[bool]]


class GitWorker:
    """Keeps the clone's tags up to date, and adds events to the registry.

    Args:
        registry: the registry of the Git repository in which the controller runs.
        interval_s: seconds between two fetches.

    Attributes:
        problem: why the last fetch failed; "" if it did not.
    """

    def __init__(self, registry: Registry, interval_s: float) -> None:
        self._registry = registry
        self._interval_s = interval_s
        self._pool = ThreadPoolExecutor(1, "git")
        self._fetching: Future[None] | None = None
        self._fetched = 0.0
        self._acts: dict[str, Future[None]] = {}
        self._state: State | None = None
        self._refs = RefStamp(registry.git)
        self._stamp: Stamp | None = None  # before `_state` was read; None if that is not certain
        self._read = self._looked = 0.0
        self._added = self._seen = 0  # our events, and those of them that `_state` contains
        self._log = structlog.get_logger("facemodels.deployment")
        self.problem = ""

    def state(self) -> State:
        """The state of the clone's tags; it is read anew when a ref has changed.

        It contains every event of ours whose `done` was called. Other events may be missing for
        `_LOOK_S` seconds. Only the loop's thread may call this.
        """
        now, added = time.monotonic(), self._added
        if self._state is not None and added == self._seen and now - self._looked < _LOOK_S:
            return self._state
        self._looked = now
        stamp = self._refs.take()
        same = stamp is not None and stamp == self._stamp and added == self._seen
        if self._state is None or not same or now - self._read > _REREAD_S:
            self._state = self.read_state()
            self._stamp, self._read = stamp, now
        self._seen = added
        return self._state

    def signs(self) -> Stamp | None:
        """What the refs look like now, at the cost of some calls of `stat`; see `RefStamp`."""
        return self._refs.take()

    def read_state(self) -> State:
        """The state of the clone's tags at this moment; any thread may call this."""
        return self._registry.repository.state()

    def fetch(self) -> None:
        """Begin a fetch if it is due."""
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

    def busy(self) -> set[str]:
        """The models for which an event is being added."""
        return {model for model, act in list(self._acts.items()) if not act.done()}

    def act(
        self, model: str, proposal: Proposal, done: Done, claim: Claim = lambda: nullcontext(True)
    ) -> None:
        """Begin to add an event, unless one of the model is being added.

        Args:
            model: the model's name, for example `recognition-facenet`.
            proposal: the event.
            done: called in the worker's thread with None, or with the error.
            claim: yields whether this process may add the event now; if not, nothing happens.
        """
        if model not in self.busy():
            self._acts[model] = self._pool.submit(self._act, proposal, done, claim)

    def _act(self, proposal: Proposal, done: Done, claim: Claim) -> None:
        try:
            with claim() as ours:
                if not ours:
                    return
                event = self._registry.act(proposal)
        except FacemodelsError as error:
            done(error)  # which raises an alarm, and that is in the log
        except Exception as error:  # noqa: BLE001  (the caller must learn of every error)
            self._log.exception("event not added")
            done(ToolError(str(error)))
        else:
            self._log.info("event added", tag=event.tag, act=event.act, reason=event.reason)
            self._added += 1
            done(None)

    def close(self) -> None:
        """Begin nothing more, and kill a git that waits for a remote: this process waits for it.

        An event that was being added is done or not done; the next fetch shows which.
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
                        kill_tree(child.pid)
            time.sleep(0.02)

    def _pool_works(self) -> bool:
        works = [self._fetching, *self._acts.values()]
        return any(work is not None and not work.done() for work in works)
