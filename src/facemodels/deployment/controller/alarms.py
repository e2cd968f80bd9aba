"""The alarms of an environment: what `facemodels status` shows until it is mended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from facemodels.errors import FacemodelsError

_AGAIN_S = 3600.0  # before the same problem is logged again
_KINDS = 1000  # of problems are remembered
_NUMBER = re.compile(r"\d+(\.\d+)?")


class Alarms:
    """The problems that hold now, by the name of the part that has them.

    Threads may share it: each method changes one entry.

    Args:
        log: the log that gets a line for each new problem. One that lasts, or comes again and
            again, gets one line an hour, even if its numbers change.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._problems: dict[str, str] = {}
        self._logged: dict[tuple[str, str], float] = {}  # by name and text without its numbers

    def run(self, name: str, step: Callable[[], None]) -> None:
        """Run one step. An error becomes an alarm and stops no other step."""
        try:
            step()
        except (FacemodelsError, OSError) as error:
            self.put(name, str(error))
        except Exception as error:  # noqa: BLE001  (traffic must go on whatever happens in a step)
            text = f"{type(error).__name__}: {error}"
            if name not in self._problems and self._is_news(name, text):
                self._log.exception("step failed", step=name)
            self._problems[name] = text
        else:
            self.clear(name)

    def put(self, name: str, problem: str) -> None:
        """Raise an alarm, or end it if `problem` is empty."""
        if not problem:
            self.clear(name)
            return
        if self._problems.get(name) != problem and self._is_news(name, problem):
            self._log.error("alarm", step=name, problem=problem)
        self._problems[name] = problem

    def _is_news(self, name: str, problem: str) -> bool:
        kind, now = (name, _NUMBER.sub("#", problem)), time.monotonic()
        last = self._logged.get(kind)
        if last is not None and now - last < _AGAIN_S:
            return False
        if len(self._logged) >= _KINDS:
            self._logged.clear()
        self._logged[kind] = now
        return True

    def clear(self, name: str) -> None:
        """End an alarm."""
        self._problems.pop(name, None)

    def all(self) -> dict[str, str]:
        """All problems that hold now."""
        return dict(self._problems)
