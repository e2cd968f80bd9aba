"""Proving that an object in a remote is what its name says, without reading it again each time.

An object counts as whole when its md5 is known: the store computed one (S3's ETag of an upload
in one part), the ETag of an upload in parts follows from a file here whose md5 is the right one,
or it was read. What was read once is noted with the store's stamp (size, ETag, date) and holds
as long as the stamp does.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Literal

from facemodels.storage.stores.object_store import Place, Stamp, md5

Verdict = Literal["whole", "wrong", "missing"]
LEDGER = Path(".facemodels", "storage", "proofs.sqlite")  # below the root; may be deleted
_PARTS = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})")
_MIB = 1 << 20
# Part sizes of s3fs, boto3, the AWS CLI, rclone and their usual settings, MiB.
_PART_SIZES = (5, 6, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024)
_TABLE = """CREATE TABLE IF NOT EXISTS proven (
    url TEXT, oid TEXT, size INTEGER, etag TEXT, modified TEXT, PRIMARY KEY (url, oid)
) WITHOUT ROWID"""


class Ledger:
    """What was proven, and what the store said of it then; a file that may be lost.

    Args:
        path: of the file; one that cannot be read is begun anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        with self._connect() as connection:
            connection.execute(_TABLE)
            connection.execute("SELECT url, oid, size, etag, modified FROM proven LIMIT 1")

    def _connect(self) -> closing[sqlite3.Connection]:
        # autocommit: what is noted is noted, whatever kills the process next
        return closing(sqlite3.connect(self._path, timeout=30, isolation_level=None))

    def knows(self, url: str, oid: str, stamp: Stamp) -> bool:
        """Whether the object was proven when the store said the same of it."""
        with self._lock, self._connect() as connection:
            row = connection.execute(
                "SELECT size, etag, modified FROM proven WHERE url = ? AND oid = ?", (url, oid)
            ).fetchone()
        return bool(row == (stamp.size, stamp.etag, stamp.modified))

    def note(self, url: str, oid: str, stamp: Stamp) -> None:
        """Remember a proof."""
        values = (url, oid, stamp.size, stamp.etag, stamp.modified)
        with self._lock, self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO proven VALUES (?, ?, ?, ?, ?)", values)


def judge(
    place: Place, oid: str, stamp: Stamp | None, *, ledger: Ledger, copy: Path | None = None
) -> Verdict:
    """Whether an object in a place is what its name says.

    Args:
        place: of the object.
        oid: of the object.
        stamp: what the place says of it now; None: it is not there.
        ledger: of earlier proofs.
        copy: a file here that may be the same; it is read only if the ETag asks for it.
    """
    if stamp is None:
        return "missing"
    wanted = oid.removesuffix(".dir")
    if stamp.md5 == wanted or ledger.knows(place.url, oid, stamp):
        return "whole"
    if copy is not None and is_etag_of(copy, stamp, wanted):
        ledger.note(place.url, oid, stamp)
        return "whole"
    digest = place.digest(oid)
    # Written anew while it was read? Then the proof is not of what lies there now.
    if digest == wanted and place.stamp(oid) == stamp:
        ledger.note(place.url, oid, stamp)
    if digest is None:
        return "missing"
    return "whole" if digest == wanted else "wrong"


def is_etag_of(path: Path, stamp: Stamp, wanted: str) -> bool:
    """Whether an ETag of an upload in parts is that of a file with the md5 `wanted`.

    S3 gives the md5 of the parts' md5 digests and their number; the size of the parts is not
    said, so the usual ones are tried. False means that nothing is known.
    """
    match = _PARTS.fullmatch(stamp.etag)
    try:
        if match is None or path.stat().st_size != stamp.size or md5(path) != wanted:
            return False
        count = int(match[2])
        fitting = [s * _MIB for s in _PART_SIZES if -(-stamp.size // (s * _MIB)) == count]
        return any(parts_etag(path, size) == stamp.etag for size in fitting)
    except OSError:
        return False


def parts_etag(path: Path, part_size: int) -> str:
    """The ETag that S3 gives a file that is uploaded in parts.

    Args:
        path: of the file.
        part_size: bytes of every part but the last.
    """
    total, count = hashlib.md5(usedforsecurity=False), 0
    with path.open("rb") as stream:
        remaining = os.fstat(stream.fileno()).st_size
        while remaining > 0:
            part, left = hashlib.md5(usedforsecurity=False), min(part_size, remaining)
            while left > 0 and (block := stream.read(min(_MIB, left))):
                part.update(block)
                left -= len(block)
            total.update(part.digest())
            count += 1
            remaining -= part_size
    return f"{total.hexdigest()}-{count}"
