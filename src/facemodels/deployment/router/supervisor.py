"""Keeps the routers running: starts them, checks them in threads, and restarts one that hangs.

A process stopped by a signal still counts as running for the kernel; only an answer to a request
shows that a router serves. One that gives none and works all the same is slow, as on a machine that
has too much to do: killing it would lose the requests inside. Two routers share the address: where
one dies, the other takes all new connections at once. Only the requests inside the one that died
are lost.
"""

from __future__ import annotations

import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import structlog

from facemodels.deployment.router.traefik import Router
from facemodels.deployment.servers.health import STUCK, Silence
from facemodels.deployment.servers.process import Process
from facemodels.errors import FacemodelsError

_EVERY_S = 0.1  # between two checks of a router that does not use its routes yet
_SETTLED_S = 2.0  # of one that does, at most
_AGAIN_S = 0.5  # between two attempts to start it


class RouterSupervisor:
    """Supervises the router of an environment.

    Args:
        router: the router.
        hang_s: seconds without an answer after which it is killed and started anew, if it does
            nothing meanwhile; otherwise it has `STUCK` times as long.
        starts: the thread in which it is started. Routers of one folder have the same, as each
            start ends processes in the folder that no file names yet.

    Attributes:
        problem: the error that the router reports in its routes; "" if there is none.
    """

    def __init__(self, router: Router, hang_s: float, starts: Executor) -> None:
        self._router = router
        self.hang_s = hang_s
        self._starts = starts
        self._starting: Future[Process] | None = None
        self._pool = ThreadPoolExecutor(1, "router")
        self._look: Future[bool] | None = None
        self._looked = 0.0  # when the last check began; all times are monotonic
        self._good = 0.0  # when the last answered check began, or the start
        self._tried = 0.0
        self._failed: FacemodelsError | None = None  # the error of the last start
        self._tended = 0.0
        self._silence = Silence()
        self._pid: int | None = None
        self._applied: tuple[int | None, str] = (None, "")  # the process, and the routes it uses
        self._log = structlog.get_logger("facemodels.deployment")
        self.problem = ""

    def tend(self, published: str) -> None:
        """Take one step: start the router if it does not run, restart it if it hangs.

        Args:
            published: the name of the routes that were published last; "" if there are none.

        Raises:
            FacemodelsError: the router does not start.
        """
        process = self._router.process
        now = time.monotonic()
        if process is None or self._starting is not None or self._router.closed:
            self._start(now)
            return
        self._failed = None
        # After a pause of this process, the silence is not the router's.
        slept = now - self._tended > self.hang_s / 2
        self._tended = now
        if process.pid != self._pid or slept:
            self._pid, self._good, self._look = process.pid, now, None
        self._ask(published, now)
        silent = now - self._good
        idle = self._silence.idle(process.pid, silent, now, self.hang_s)
        if idle or silent > STUCK * self.hang_s:
            self._log.error("router hangs, it is started anew", pid=process.pid)
            process.end(0)
            self._tried = 0.0
            self.tend(published)

    def _start(self, now: float) -> None:
        """Start the router in its thread; between two attempts the last error still holds."""
        if self._starting is None and (not self._tried or now - self._tried >= _AGAIN_S):
            self._tried = now
            self._starting = self._starts.submit(self._router.start)
        if self._starting is not None and self._starting.done():
            error = self._starting.exception()
            self._starting, self._failed, self._good = None, None, time.monotonic()
            if isinstance(error, FacemodelsError):
                self._failed = error
            elif error is not None:
                raise error
        if self._failed is not None:
            raise self._failed

    def _ask(self, published: str, now: float) -> None:
        if self._look is not None and self._look.done():
            if self._look.result():
                self._good = self._looked
            self._look = None
        settled = self._applied == (self._pid, published)
        every = min(_SETTLED_S, self.hang_s / 3) if settled else _EVERY_S
        if self._look is None and now - self._looked >= every:
            self._looked = now
            self._look = self._pool.submit(self._see, published, self._pid)

    def _see(self, published: str, pid: int | None) -> bool:
        """Whether the router answers; notes also which routes it uses."""
        if not self._router.ready():
            return False
        if published and self._applied == (pid, published):
            return True  # it goes on with its routes until there are others
        try:
            self._applied = (pid, published if self._router.applied(published) else "")
            self.problem = ""
        except FacemodelsError as error:
            self._applied, self.problem = (pid, ""), str(error)
        return True

    def applied(self, published: str) -> bool:
        """Whether the router used these routes at the last check.

        A router that has just started answers 404 until it has read its routes.
        """
        process = self._router.process
        if process is None or self._router.closed:
            return False
        return bool(published) and self._applied == (process.pid, published)

    def close(self) -> None:
        """Stop checking; the router keeps running."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class RouterPair:
    """Supervises the router of an environment and the spare one that shares its address.

    Args:
        router: the router.
        hang_s: see `RouterSupervisor`.
    """

    def __init__(self, router: Router, hang_s: float) -> None:
        self._router = router
        self._starts = ThreadPoolExecutor(1, "router-start")
        self._first = RouterSupervisor(router, hang_s, self._starts)
        self._spare = RouterSupervisor(router.spare, hang_s, self._starts)

    @property
    def problem(self) -> str:
        """The error that a router reports in its routes; "" if there is none."""
        return self._first.problem or self._spare.problem

    def configure(self, hang_s: float) -> None:
        """Take over a changed setting."""
        self._first.hang_s = self._spare.hang_s = hang_s

    def tend(self, published: str) -> None:
        """Take one step for both, see `RouterSupervisor.tend`.

        Raises:
            FacemodelsError: one of them does not start.
        """
        try:
            self._first.tend(published)
        finally:
            if self._router.shares or self._router.spare.alive():
                self._spare.tend(published)

    def applied(self, published: str) -> bool:
        """Whether every router that takes requests used these routes at the last check."""
        pairs = ((self._router, self._first), (self._router.spare, self._spare))
        known = [kept.applied(published) for one, kept in pairs if one.alive() and not one.closed]
        return bool(known) and all(known)

    def close(self) -> None:
        """Stop checking; the routers keep running."""
        self._starts.shutdown(wait=True, cancel_futures=True)
        for one in (self._first, self._spare):
            one.close()

    def end(self) -> None:
        """End both at once; open requests finish."""
        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(one.end) for one in (self._router, self._router.spare)]:
                done.result()
