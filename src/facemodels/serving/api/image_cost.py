"""Finds images that are cheap to send and expensive to decode, from their structure alone.

An image within the limits of bytes and pixels can still keep a thread for minutes. Each scan of a
JPEG makes the decoder pass over all pixels again (45 ms at 49 million pixels, for 75 bytes), and
Pillow spends 4 microseconds on each segment of a JPEG or chunk of a PNG, of which 10 MB hold two
million.
"""

from __future__ import annotations

import re

MOST_SCANS = 64  # a progressive encoder writes about ten
MOST_PARTS = 5000  # libpng writes chunks of 8 kB: 1,221 of them are 10 MB
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # the markers left out have no length
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA


def is_costly(data: bytes) -> bool:
    """Whether an encoded image has more scans, segments or chunks than an image needs."""
    if data.startswith(_JPEG):
        return _jpeg(data)
    return data.startswith(_PNG) and _png(data)


def _jpeg(data: bytes) -> bool:
    scans, at = 0, len(_JPEG)
    for _ in range(MOST_PARTS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] == _END:
            return False
        at = found.end()
        scans += data[at - 1] == _SCAN
        if scans > MOST_SCANS:
            return True
        if data[at - 1] != _START:
            at += int.from_bytes(data[at : at + 2], "big")
    return True


def _png(data: bytes) -> bool:
    at = len(_PNG)
    for _ in range(MOST_PARTS):
        if at >= len(data) or data[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return True
