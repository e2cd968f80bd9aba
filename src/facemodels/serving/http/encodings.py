"""Compressed bodies of requests: gzip and deflate, never to more than the limit of a body."""

from __future__ import annotations

import zlib

from facemodels.serving.http.errors import RequestError

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
ENCODINGS = ("gzip", "deflate")


def encoding_of(value: bytes) -> str:
    """The encoding that a `Content-Encoding` header names; empty for none.

    Raises:
        RequestError: 415 for one that is not taken here, or several.
    """
    name = value.decode("latin-1").strip().lower().removeprefix("x-")
    if name in ("", "identity"):
        return ""
    if name not in ENCODINGS:
        text = f"Send the body as it is, or by {' or '.join(ENCODINGS)}."
        raise RequestError(415, "unsupported_encoding", text, {"accept-encoding": "gzip, deflate"})
    return name


def expanded(data: bytes, encoding: str, most: int) -> bytes:
    """The bytes of a compressed body.

    Args:
        data: the whole body.
        encoding: `gzip` or `deflate`. Some clients send deflate without zlib's frame, and both
            forms are taken.
        most: the limit of the result in bytes; not much more is ever in memory.

    Raises:
        RequestError: 400 if it is no such data or breaks off, 413 if it is larger.
    """
    bits = _GZIP if encoding == "gzip" else _ZLIB
    try:
        return _inflated(data, bits, most)
    except zlib.error:
        try:
            if encoding == "deflate":
                return _inflated(data, _RAW, most)
        except zlib.error:
            pass
    raise RequestError(400, "broken_encoding", f"The body is no {encoding}, or it breaks off.")


def _inflated(data: bytes, bits: int, most: int) -> bytes:
    inflater = zlib.decompressobj(bits)
    found = inflater.decompress(data, most + 1)
    if len(found) > most:
        raise RequestError(413, "body_too_large", f"At most {most} bytes a request, expanded.")
    if not inflater.eof or inflater.unused_data:
        raise zlib.error("not one whole stream")
    return found
