"""The alarms of an environment: what `facemodels status` shows until it is mended."""

from __future__ import annotations

from collections.abc import Callable

from structlog.typing import FilteringBoundLogger

from facemodels.errors import FacemodelsError


class Alarms:
    """The problems that hold now, by the name of the part that has them.

    Threads may share it: each method changes one entry.

    Args:
        log: the log that gets a line for each new problem.
    """

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._problems: dict[str, str] = {}

    def run(self, name: str, step: Callable[[], None]) -> None:
        """Run one step. An error becomes an alarm and stops no other step."""
        try:
            step()
        except (FacemodelsError, OSError) as error:
            self.put(name, str(error))
        except Exception as error:  # noqa: BLE001  (traffic must go on whatever happens in a step)
            if name not in self._problems:
                self._log.exception("step failed", step=name)
            self._problems[name] = f"{type(error).__name__}: {error}"
        else:
            self.clear(name)

    def put(self, name: str, problem: str) -> None:
        """Raise an alarm, or end it if `problem` is empty."""
        if not problem:
            self.clear(name)
            return
        if self._problems.get(name) != problem:
            self._log.error("alarm", step=name, problem=problem)
        self._problems[name] = problem

    def clear(self, name: str) -> None:
        """End an alarm."""
        self._problems.pop(name, None)

    def all(self) -> dict[str, str]:
        """All problems that hold now."""
        return dict(self._problems)
