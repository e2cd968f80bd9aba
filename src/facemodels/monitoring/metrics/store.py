"""The store of our own scrapes in SQLite, with one writer and readers in other processes."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from facemodels.errors import ToolError
from facemodels.monitoring.metrics import database, encoding
from facemodels.monitoring.metrics.increase import InstanceReading
from facemodels.monitoring.metrics.reading import Reading, Series
from facemodels.monitoring.metrics.scraper import MissingReading, Scrape, ScrapeTarget
from facemodels.monitoring.metrics.source import PeakUsage, window_of

RETENTION_S = 48 * 3600.0
_PRUNE_EVERY = 60  # passes
_PRUNE_AT_ONCE = 3600  # passes; after a long stop the writer prunes in several steps
# It counts while the machine sleeps, where the system has such a clock.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
T = TypeVar("T")

# Of the readings in (low, high]: the last of each window, and both sides of a fall of the counters.
# The readings between change no sum. Counting starts at the last reading before.
_CHOSEN_READINGS = """
WITH looks AS (
    SELECT r.pass, r.total, p.time, slot(p.time) AS slot
    FROM readings r JOIN passes p ON p.id = r.pass
    WHERE r.instance = :instance AND r.total IS NOT NULL AND r.pass > :low AND r.pass <= :high
), marked AS (
    SELECT *, lead(slot) OVER w AS next_slot, lead(total) OVER w AS next_total,
        lag(total) OVER w AS last_total
    FROM looks WINDOW w AS (ORDER BY pass)
), chosen AS (
    SELECT max(pass) AS pass FROM readings
    WHERE instance = :instance AND total IS NOT NULL AND pass <= :low
    UNION SELECT pass FROM marked
    WHERE next_slot IS NULL OR next_slot <> slot OR next_total < total OR total < last_total
        OR last_total IS NULL
)
SELECT p.time, r.pass = i.first AND i.fresh AS fresh, r.data, s.bounds
FROM chosen c JOIN readings r ON r.pass = c.pass AND r.instance = :instance
    JOIN passes p ON p.id = r.pass JOIN instances i ON i.id = r.instance
    JOIN shapes s ON s.id = r.shape
ORDER BY r.pass
"""


class StoredSamples:
    """A source that reads what a `SampleStore` writes, for example in another process.

    It opens the file for each question, so the file may be replaced meanwhile.

    Args:
        path: the path of the file.

    Attributes:
        problem: why nothing can be read; "" if it can.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""

    def now(self) -> float:
        """The time on the samples' clock: the machine's, corrected as at the last pass."""
        with self._reading() as file:
            last = file.execute("SELECT time, wall FROM passes ORDER BY id DESC LIMIT 1").fetchone()
        return time.time() + (last[0] - last[1] if last else 0.0)

    def readings(
        self, series: Series, since: float, until: float, width_s: float | None = None
    ) -> list[InstanceReading]:
        """The readings of a version's servers, see `SampleSource`.

        Raises:
            ToolError: the file cannot be read.
        """
        with self._reading() as file:
            width = width_s or max(until - since, 1e-9)
            file.create_function(
                "slot", 1, lambda at: window_of(at, since, width), deterministic=True
            )
            span = {"low": _pass(file, since), "high": _pass(file, until)}
            return [
                each
                for number, instance in file.execute(
                    "SELECT id, instance FROM instances i WHERE model = ? AND version = ?"
                    " AND EXISTS (SELECT 1 FROM readings WHERE instance = i.id"
                    " AND total IS NOT NULL AND pass > ? AND pass <= ?) ORDER BY id",
                    (*series, span["low"], span["high"]),
                ).fetchall()
                for each in _readings(file, instance, {"instance": number, **span})
            ]

    def peaks(self, series: Series, since: float, until: float) -> PeakUsage | None:
        """The highest usage of a server, see `SampleSource`.

        Raises:
            ToolError: the file cannot be read.
        """
        with self._reading() as file:
            found = file.execute(
                "SELECT max(memory), max(in_flight), max(gpu_memory), max(gpu_load)"
                " FROM readings r JOIN instances i ON i.id = r.instance"
                " WHERE model = ? AND version = ? AND pass > ? AND pass <= ?",
                (*series, _pass(file, since), _pass(file, until)),
            ).fetchone()
        return None if found is None or found[0] is None else PeakUsage(*found)

    def gauge(
        self, name: str, series: Series, since: float, until: float
    ) -> list[tuple[float, float]]:
        """The times and values that `SampleStore.put_gauge` stored.

        Raises:
            ToolError: the file cannot be read.
        """
        with self._reading() as file:
            return file.execute(
                "SELECT time, value FROM gauges WHERE name = ? AND model = ? AND version = ?"
                " AND time > ? AND time <= ? ORDER BY time",
                (name, *series, since, until),
            ).fetchall()

    def missing(self, series: Series, since: float, until: float) -> list[tuple[float, str, str]]:
        """The time, instance and reason of each scrape that brought no numbers.

        Raises:
            ToolError: the file cannot be read.
        """
        with self._reading() as file:
            return file.execute(
                "SELECT p.time, i.instance, r.why FROM readings r JOIN passes p ON p.id = r.pass"
                " JOIN instances i ON i.id = r.instance"
                " WHERE model = ? AND version = ? AND pass > ? AND pass <= ? AND why IS NOT NULL"
                " ORDER BY pass, i.id",
                (*series, _pass(file, since), _pass(file, until)),
            ).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with database.reading(self.path) as file:
                yield file
        except ToolError as error:
            self.problem = str(error)
            raise
        self.problem = ""


def _pass(file: sqlite3.Connection, at: float) -> int:
    """The number of the last pass up to a time; 0 if all are later."""
    (found,) = file.execute("SELECT max(id) FROM passes WHERE time <= ?", (at,)).fetchone()
    return found or 0


def _readings(
    file: sqlite3.Connection, instance: str, span: dict[str, int]
) -> Iterator[InstanceReading]:
    for at, fresh, data, bounds in file.execute(_CHOSEN_READINGS, span):
        try:
            found = encoding.decode(data, encoding.bounds_of(bounds))
        except ValueError as error:
            raise database.broken(str(error)) from error
        yield InstanceReading(at, instance, bool(fresh), found)


class SampleStore(StoredSamples):
    """The only writer of its file; it may be used by several threads.

    Its clock never goes back: it starts at the machine's clock and then counts seconds, also while
    the machine sleeps. If the machine's clock was set back before a start, the older samples are
    dated back by as much, so that they stay in the past.

    A server that the first pass finds may have counted for a long time, so counting starts at its
    first reading. The same holds for a server that started before the first pass, where its target
    says when it started. So put an empty pass before the first server starts.

    Args:
        path: the path of the file; a new one is made if it does not exist or is broken.
        retention_s: how long samples are kept.
        wall: the machine's clock, seconds since 1970.
        elapsed: a clock whose seconds only rise.

    Raises:
        ToolError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        retention_s: float = RETENTION_S,
        wall: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = lambda: time.clock_gettime(_CLOCK),
    ) -> None:
        super().__init__(path)
        self._retention_s, self._wall, self._elapsed = retention_s, wall, elapsed
        self._lock = threading.Lock()
        self._start = wall() - elapsed()
        self._puts = 0
        self._file = database.open_writer(path)
        self._write(self._date_back)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._file.close()

    def now(self) -> float:
        """The time on the samples' clock, seconds since 1970."""
        return self._start + self._elapsed()

    def put(self, scrapes: Sequence[Scrape]) -> float:
        """Store a pass over all servers, with those that brought no numbers.

        Returns:
            The time of the pass, on the samples' clock.

        Raises:
            ToolError: the file cannot be written; nothing of the pass was stored.
        """
        now, wall = self.now(), self._wall()

        def act(file: sqlite3.Connection) -> None:
            last = file.execute("SELECT max(id) FROM passes").fetchone()[0] or 0
            file.execute("INSERT INTO passes VALUES (?, ?, ?)", (last + 1, now, wall))
            watched = last > 0
            for scrape in scrapes:
                _put(file, last + 1, scrape, fresh=watched and self._is_new(file, scrape.target))
            if self._puts % _PRUNE_EVERY == 0:
                _prune(file, now - self._retention_s)

        self._write(act)
        self._puts += 1
        return now

    def put_gauge(self, name: str, series: Series, value: float, at: float | None = None) -> None:
        """Store the value of a gauge that the controller measured.

        Args:
            name: for example `facemodels_probe_accuracy`.
            series: the labels of the version.
            value: the value.
            at: the time on the samples' clock; now if None.

        Raises:
            ToolError: the file cannot be written.
        """
        row = (self.now() if at is None else at, name, *series, value)
        self._write(lambda file: file.execute("INSERT INTO gauges VALUES (?, ?, ?, ?, ?)", row))

    def _is_new(self, file: sqlite3.Connection, target: ScrapeTarget) -> bool:
        """Whether a server without readings started after the first pass, as far as is known."""
        if target.started_s is None:
            return True
        (begun,) = file.execute("SELECT min(time) FROM passes").fetchone()
        return self._start + target.started_s >= float(begun)

    def _date_back(self, file: sqlite3.Connection) -> None:
        (last,) = file.execute("SELECT max(time) FROM passes").fetchone()
        ahead = (last or 0.0) - self.now()
        if ahead > 0:
            file.execute("UPDATE passes SET time = time - ?", (ahead,))
            file.execute("UPDATE gauges SET time = time - ?", (ahead,))

    def _write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction; if the file is broken, run it on a new one instead."""
        with self._lock:
            try:
                return self._transact(act)
            except sqlite3.DatabaseError as error:
                if not database.is_broken(error):
                    with database.failures(self.path):
                        raise
                self._begin_anew(error)
                with database.failures(self.path):
                    return self._transact(act)

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Read the file; if it turns out broken, replace it for the next reader."""
        try:
            with super()._reading() as file:
                yield file
        except ToolError as error:
            cause = error.__cause__
            if isinstance(cause, sqlite3.Error) and database.is_broken(cause):
                with self._lock:
                    self._begin_anew(cause)
            raise

    def _begin_anew(self, why: sqlite3.Error) -> None:
        self._file.close()
        database.move_aside(self.path, str(why))
        self._file = database.open_writer(self.path)

    def _transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            done = act(self._file)
            self._file.execute("COMMIT")
        except BaseException:
            if self._file.in_transaction:
                self._file.execute("ROLLBACK")
            raise
        return done


def _put(file: sqlite3.Connection, number: int, scrape: Scrape, *, fresh: bool) -> None:
    target, found = scrape.target, scrape.found
    key = (*target.series, target.instance)
    file.execute(
        "INSERT INTO instances (model, version, instance, fresh) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING",
        (*key, fresh),
    )
    instance, first = file.execute(
        "SELECT id, first FROM instances WHERE model = ? AND version = ? AND instance = ?", key
    ).fetchone()
    if isinstance(found, MissingReading):
        values: tuple[object, ...] = (number, instance, *[None] * 7, found.why)
    else:
        if first is None:
            file.execute("UPDATE instances SET first = ? WHERE id = ?", (number, instance))
        values = (
            number, instance, _shape(file, found), found.total, found.memory_bytes,
            found.in_flight, found.gpu_memory_bytes, found.gpu_load, encoding.encode(found), None,
        )  # fmt: skip
    file.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)


def _shape(file: sqlite3.Connection, found: Reading) -> int:
    text = encoding.shape(found)
    file.execute("INSERT INTO shapes (bounds) VALUES (?) ON CONFLICT DO NOTHING", (text,))
    number: int = file.execute("SELECT id FROM shapes WHERE bounds = ?", (text,)).fetchone()[0]
    return number


def _prune(file: sqlite3.Connection, before: float) -> None:
    """Delete old passes, and each server whose last reading goes with them."""
    first, last = file.execute(
        "SELECT min(id), max(id) FROM passes WHERE time < ?", (before,)
    ).fetchone()
    if first is None:
        return
    last = min(last, first + _PRUNE_AT_ONCE)
    file.execute("DELETE FROM readings WHERE pass <= ?", (last,))
    file.execute("DELETE FROM passes WHERE id <= ?", (last,))
    file.execute("DELETE FROM gauges WHERE time < ?", (before,))
    file.execute(
        "DELETE FROM instances WHERE NOT EXISTS"
        " (SELECT 1 FROM readings WHERE instance = instances.id)"
    )
