"""Reads images that stand in JSON as base64: `{"images": ["/9j/4AAQ…"]}`."""

from __future__ import annotations

import binascii
import re

import orjson

from facemodels.serving.http.errors import RequestError

JSON = "application/json"
KEY = "images"
_DATA_URL = re.compile(r"data:image/[a-z.+-]{1,30};base64,", re.IGNORECASE)
# A parser holds the interpreter's lock, for a second where 6 MB hold nothing but brackets. Texts
# take it no time, and beside texts there is nearly nothing here.
_SIGNS = (b"[", b"{", b",", b":")
_MOST_SIGNS = 1000


def read_json(body: bytes, most: int) -> list[tuple[str, bytes]]:
    """Read the images of a JSON body.

    Each is a text of base64 (RFC 4648, 4); lines and the head of a data URL may be in it.

    Args:
        body: the whole JSON.
        most: the largest number of images.

    Returns:
        A name for the messages and the bytes of every image, in their order.

    Raises:
        RequestError: 400 for another JSON than this, 413 for too many images.
    """
    if sum(map(body.count, _SIGNS)) > _MOST_SIGNS:
        raise _broken()
    try:
        given = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _broken() from None
    texts = given.get(KEY) if isinstance(given, dict) and given.keys() == {KEY} else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _broken()
    if len(texts) > most:
        raise RequestError(413, "too_many_images", f"At most {most} images a request.")
    return [(f"image {place}", _decoded(text, place)) for place, text in enumerate(texts, start=1)]


def _decoded(text: str, place: int) -> bytes:
    head = _DATA_URL.match(text)
    plain = "".join(text[head.end() if head else 0 :].split())
    try:
        return binascii.a2b_base64(plain, strict_mode=True)
    except ValueError:  # letters beyond ASCII, or binascii.Error
        raise RequestError(400, "broken_base64", f"Image {place} is no base64.") from None


def _broken() -> RequestError:
    text = f'Send JSON such as {{"{KEY}": ["…", "…"]}}, each image a text of base64.'
    return RequestError(400, "broken_json", text)
