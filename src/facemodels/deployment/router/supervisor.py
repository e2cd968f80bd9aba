"""The router, kept alive: started, asked beside the loop how it is, replaced where it hangs.

A stopped process runs, for the kernel; only an answer shows that it serves.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from facemodels.deployment.router import Router
from facemodels.errors import FacemodelsError

_EVERY_S = 0.1  # between two looks
_AGAIN_S = 0.5  # between two tries to start it; the first one comes at once


class RouterSupervisor:
    """The router of an environment and what is known of it.

    Args:
        router: that is kept.
        hang_s: without an answer for so long, it is killed and started anew.

    Attributes:
        problem: what the router finds wrong with its routes; "" if nothing.
    """

    def __init__(self, router: Router, hang_s: float) -> None:
        self._router = router
        self.hang_s = hang_s
        self._pool = ThreadPoolExecutor(1, "router")
        self._look: Future[bool] | None = None
        self._looked = 0.0  # monotonic, as all times here
        self._good = 0.0  # last answer, or start
        self._tried = 0.0
        self._tended = 0.0
        self._pid: int | None = None
        self._applied: tuple[int | None, str] = (None, "")  # process, what it goes by
        self._log = structlog.get_logger("facemodels.deployment")
        self.problem = ""

    def tend(self, published: str) -> None:
        """Start it where it does not run, replace it where it hangs.

        Args:
            published: what it was given last, as `publish` names it; "" if nothing.

        Raises:
            FacemodelsError: it does not start.
        """
        process = self._router.process
        now = time.monotonic()
        if process is None:
            if not self._tried or now - self._tried >= _AGAIN_S:
                self._tried = now
                self._router.start()
                self._good = time.monotonic()
            return
        # Who was stopped itself has not looked: that silence is nobody's.
        slept = now - self._tended > self.hang_s / 2
        self._tended = now
        if process.pid != self._pid or slept:
            self._pid, self._good, self._look = process.pid, now, None
        self._ask(published, now)
        if now - self._good > self.hang_s:
            self._log.error("router hangs, it is started anew", pid=process.pid)
            process.end(0)
            self._tried = 0.0
            self.tend(published)

    def _ask(self, published: str, now: float) -> None:
        if self._look is not None and self._look.done():
            if self._look.result():
                self._good = self._looked
            self._look = None
        if self._look is None and now - self._looked >= _EVERY_S:
            self._looked = now
            self._look = self._pool.submit(self._see, published, self._pid)

    def _see(self, published: str, pid: int | None) -> bool:
        """Whether it answers; and by which routes it goes."""
        if not self._router.ready():
            return False
        try:
            self._applied = (pid, published if self._router.applied(published) else "")
            self.problem = ""
        except FacemodelsError as error:
            self._applied, self.problem = (pid, ""), str(error)
        return True

    def applied(self, published: str) -> bool:
        """Whether requests go by these routes, as of the last look at the router of now.

        One that starts answers 404 until it has read them.
        """
        process = self._router.process
        return bool(published) and process is not None and self._applied == (process.pid, published)

    def close(self) -> None:
        """Look no more; the router goes on."""
        self._pool.shutdown(wait=False, cancel_futures=True)
