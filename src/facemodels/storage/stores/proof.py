"""Proof that an object in a store is what its name says, without reading it again each time.

An object is proven in one of three ways: the store computed its md5 (S3's ETag of an upload in
one part is one); the ETag of an upload in parts follows from a local file with the right md5; or
the object was read. What was read once is noted with the size, ETag and date that the store gave,
and the proof holds as long as these do not change.
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

from facemodels.storage.stores.object_info import ObjectInfo
from facemodels.storage.stores.object_store import ObjectStore, md5

Condition = Literal["whole", "wrong", "missing"]
LEDGER = Path(".facemodels", "storage", "proofs.sqlite")  # below the root; may be deleted
_PARTS = re.compile(r"([0-9a-f]{32})-([1-9][0-9]{0,4})")
_MIB = 1 << 20
# Part sizes of s3fs, boto3, the AWS CLI, rclone and their usual settings, MiB.
_PART_SIZES = (5, 6, 8, 10, 15, 16, 20, 25, 32, 50, 64, 100, 128, 256, 512, 1024)
_TABLE = """CREATE TABLE IF NOT EXISTS proven (
    url TEXT, oid TEXT, size INTEGER, etag TEXT, modified TEXT, PRIMARY KEY (url, oid)
) WITHOUT ROWID"""


class ProofLedger:
    """Remembers which objects were proven, and what the store said of them then.

    The file may be lost: the objects are then read again.

    Args:
        path: the SQLite file; one that cannot be read is replaced by a new one.
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

    def knows(self, url: str, oid: str, info: ObjectInfo) -> bool:
        """Whether the object was proven when the store said the same of it."""
        with self._lock, self._connect() as connection:
            row = connection.execute(
                "SELECT size, etag, modified FROM proven WHERE url = ? AND oid = ?", (url, oid)
            ).fetchone()
        return bool(row == (info.size, info.etag, info.modified))

    def note(self, url: str, oid: str, info: ObjectInfo) -> None:
        """Remember that an object was proven."""
        values = (url, oid, info.size, info.etag, info.modified)
        with self._lock, self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO proven VALUES (?, ?, ?, ?, ?)", values)


def examine(
    store: ObjectStore,
    oid: str,
    info: ObjectInfo | None,
    *,
    ledger: ProofLedger,
    copy: Path | None = None,
    read_back: bool = False,
) -> Condition:
    """Find out whether an object in a store is what its name says.

    Without `read_back` the store is believed: an object that has rotted under its right ETag
    counts as whole.

    Args:
        store: the store that the object is in.
        oid: the id of the object.
        info: what the store says of it now; None: it is not there.
        ledger: earlier proofs; a new one is noted there.
        copy: a local file that may hold the same bytes; it is read only if the ETag asks for it.
        read_back: read the object's bytes, whatever the store or an earlier proof says.
    """
    if info is None:
        return "missing"
    wanted = oid.removesuffix(".dir")
    if not read_back and (info.md5 == wanted or ledger.knows(store.url, oid, info)):
        return "whole"
    if not read_back and copy is not None and is_etag_of(copy, info, wanted):
        ledger.note(store.url, oid, info)
        return "whole"
    digest = store.digest(oid)
    # If it was written anew while it was read, the proof is not of what lies there now.
    if digest == wanted and store.info(oid) == info:
        ledger.note(store.url, oid, info)
    if digest is None:
        return "missing"
    return "whole" if digest == wanted else "wrong"


def is_etag_of(path: Path, info: ObjectInfo, wanted: str) -> bool:
    """Whether the ETag of an upload in parts is that of a file with the md5 `wanted`.

    S3 gives the md5 of the parts' md5 digests and the number of parts. It does not say how large
    the parts are, so the usual sizes are tried. False means that nothing is known.
    """
    match = _PARTS.fullmatch(info.etag)
    try:
        if match is None or path.stat().st_size != info.size or md5(path) != wanted:
            return False
        count = int(match[2])
        fitting = [s * _MIB for s in _PART_SIZES if -(-info.size // (s * _MIB)) == count]
        return any(parts_etag(path, size) == info.etag for size in fitting)
    except OSError:
        return False


def parts_etag(path: Path, part_size: int) -> str:
    """The ETag that S3 gives a file that is uploaded in parts.

    Args:
        path: the file.
        part_size: the bytes of every part but the last.
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
