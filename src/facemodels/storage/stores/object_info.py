"""What a store says of an object without sending its bytes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class ObjectInfo:
    """Size, date and digest of an object, as its store gives them.

    Attributes:
        size: the number of bytes.
        etag: the mark that the store gives to this content; empty if it gives none.
        modified: when the object was written, in the store's own format.
        md5: the digest of the content where the store computed one; empty if it did not.
    """

    size: int
    etag: str
    modified: str
    md5: str = ""


@dataclass(frozen=True)
class Listing:
    """Everything that lies in a store.

    Attributes:
        objects: what the store says of each object, by object id.
        foreign: the paths, below the store, of files that are no objects.
    """

    objects: Mapping[str, ObjectInfo]
    foreign: tuple[str, ...]


def read_info(facts: Mapping[str, Any]) -> ObjectInfo:
    """Read what a file system says of a file; each cloud has its own names for the same facts.

    Args:
        facts: as fsspec's `info` and `find` give them for S3, Google Cloud, Azure and folders.
    """
    etag = str(facts.get("ETag") or facts.get("etag") or facts.get("ino") or "").strip('"')
    moment = next(
        (
            facts[key]
            for key in ("LastModified", "last_modified", "updated", "mtime")
            if facts.get(key)
        ),
        "",
    )
    if hasattr(moment, "timestamp"):
        moment = int(moment.timestamp())  # a listing gives fractions, a HEAD does not
    digest = ""
    if _MD5.fullmatch(etag):
        digest = etag
    elif facts.get("md5Hash"):  # Google Cloud's
        digest = _from_base64(str(facts["md5Hash"]))
    return ObjectInfo(int(facts["size"]), etag, str(moment), digest)


def written(facts: Mapping[str, Any]) -> float:
    """When a file was written, in seconds since 1970, by the clock of its store; 0 if unknown.

    Args:
        facts: as for `read_info`.
    """
    for key in ("LastModified", "last_modified", "mtime"):
        moment = facts.get(key)
        if moment:
            return float(moment.timestamp() if hasattr(moment, "timestamp") else moment)
    return 0.0


def _from_base64(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).hex()
    except binascii.Error:
        return ""
