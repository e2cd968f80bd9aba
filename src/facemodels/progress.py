"""Shows the progress of long work on standard error: a bar on a terminal, few lines in a log."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
_LOG_STEPS = 5  # lines in a log for work whose length is known
_LOG_EVERY = 5000  # units between two lines for work whose length is not known


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Advance]:
    """Show progress while the block runs; the block gets a function that adds finished units.

    Nothing is written to standard output, which is for results.

    Args:
        label: name of the work.
        total: number of units, or None if it is not known before the end.
    """
    if sys.stderr.isatty():
        with _bar(label, total) as advance:
            yield advance
    else:
        yield _lines(label, total)


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeElapsedColumn as Elapsed
    from rich.progress import TimeRemainingColumn as Remaining

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), Elapsed(), Remaining())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda count: bar.advance(task, count)


def _lines(label: str, total: int | None) -> Advance:
    done = 0
    step = _LOG_EVERY if total is None else max(1, total // _LOG_STEPS)
    of = "" if total is None else f"/{total}"

    def advance(count: int) -> None:
        nonlocal done
        before, done = done, done + count
        if done // step > before // step or (total is not None and done >= total > before):
            sys.stderr.write(f"{label}: {done}{of}\n")
            sys.stderr.flush()

    return advance
