"""The SQLite file of samples: its tables, how it is opened, and what happens if it is broken."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels.errors import ToolError

VERSION = 1
_BUSY_S = 2.0
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
_LOG = logging.getLogger(__name__)
# `passes.time` only rises; `passes.wall` is the machine's clock at that moment.
_TABLES = f"""
CREATE TABLE passes (id INTEGER PRIMARY KEY, time REAL NOT NULL, wall REAL NOT NULL);
CREATE INDEX passes_time ON passes (time);
CREATE TABLE shapes (id INTEGER PRIMARY KEY, bounds TEXT NOT NULL UNIQUE);
CREATE TABLE instances (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL, instance TEXT NOT NULL,
    fresh INTEGER NOT NULL, first INTEGER, UNIQUE (model, version, instance)
);
CREATE TABLE readings (
    pass INTEGER NOT NULL, instance INTEGER NOT NULL, shape INTEGER, total INTEGER, memory REAL,
    in_flight REAL, gpu_memory REAL, gpu_load REAL, data BLOB, why TEXT,
    PRIMARY KEY (pass, instance)
) WITHOUT ROWID;
CREATE INDEX readings_instance ON readings (instance, pass) WHERE total IS NOT NULL;
CREATE TABLE gauges (
    time REAL NOT NULL, name TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL,
    value REAL NOT NULL
);
CREATE INDEX gauges_time ON gauges (name, model, version, time);
PRAGMA user_version = {VERSION};
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file for writing, or make a new one; a broken file is moved aside with a warning.

    Raises:
        ToolError: the file cannot be opened or written.
    """
    with failures(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _open(path)
    except sqlite3.DatabaseError as error:
        if not is_broken(error):
            raise _refused(path, error) from error
        move_aside(path, str(error))
    with failures(path):
        return _open(path)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        # A kill loses nothing. A power cut may lose the last transactions, but not the file.
        for setting in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "journal_size_limit = 8388608",
        ):
            connection.execute(f"PRAGMA {setting}")
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if not tables:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        _check(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        raise broken(f"its schema is {version}, this program knows {VERSION}")
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise broken(said)


def broken(why: str) -> sqlite3.DatabaseError:
    """The error that SQLite raises for a broken file, for a fault that only we can see."""
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_broken(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken, and not the disk full or another program in the way."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _BROKEN


def move_aside(path: Path, why: str) -> None:
    """Rename a broken file to `<name>.broken`, in place of an earlier one.

    Raises:
        ToolError: the file cannot be renamed.
    """
    aside = path.with_name(f"{path.name}.broken")
    with failures(path):
        for tail in ("-wal", "-shm"):  # parts of the broken file, which would spoil the next one
            path.with_name(path.name + tail).unlink(missing_ok=True)
        path.replace(aside)
    _LOG.warning(
        "%s is broken (%s); it was moved to %s and a new one begun. Samples before now are lost.",
        path, why, aside.name,
    )  # fmt: skip


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for reading in one transaction; the writer may go on meanwhile.

    Raises:
        ToolError: the file cannot be read.
    """
    with failures(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S, isolation_level=None
        )
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.close()


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turn errors of the disk and of SQLite into our error.

    Raises:
        ToolError: reading or writing the file failed.
    """
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> ToolError:
    return ToolError(
        f"The samples in {path} cannot be read or written: {error}.",
        "Look for a full disk and for who may write there. Traffic is not touched.",
    )
