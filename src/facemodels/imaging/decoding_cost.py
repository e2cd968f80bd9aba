"""What decoding a picture costs, told by its structure alone.

A picture of 6 kB can have 50 million pixels, and what a decoder takes for each differs by format:
a progressive JPEG keeps all its coefficients, libwebp keeps three canvases. A picture within the
limits of bytes and pixels can also keep a thread for minutes: each scan of a JPEG makes the decoder
pass over all pixels again (45 ms at 49 million pixels, for 75 bytes), and Pillow spends 4
microseconds on each segment of a JPEG or chunk of a PNG, of which 10 MB hold two million.
"""

from __future__ import annotations

import re

from PIL import Image

MOST_SCANS = 64  # a progressive encoder writes about ten
MOST_PARTS = 5000  # libpng writes chunks of 8 kB: 1,221 of them are 10 MB
STRIPE = 1 << 18  # pixels that are converted at once
_CONVERTED = 24  # bytes for each of them: the steps from any mode to RGB, each with its copies
_RGB = 3  # bytes of a pixel of the array that is made
# Bytes of a pixel as Pillow keeps it.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
_OTHERS = 4
_WEBP = 20  # bytes a pixel: two canvases of RGBA, the frame, its copy, and Pillow's image
_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # the markers left out have no length
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA


def decoding_bytes(image: Image.Image, data: bytes, scale: int) -> int:
    """The most memory that decoding takes, with some to spare.

    Args:
        image: a picture whose header alone was read.
        data: its encoded bytes.
        scale: by which its sides are divided, see `EncodedImage`.
    """
    width, height = image.size
    pixels = width * height
    made = _RGB * (pixels // scale**2) + _CONVERTED * min(pixels, STRIPE)
    if image.format == "JPEG":
        buffered = _coefficients(image) if (_scans(data) or 2) > 1 else 0
        return buffered + _OTHERS * (pixels // min(scale, 8) ** 2) + made
    if image.format == "WEBP":
        return _WEBP * pixels + made
    return _STORED.get(image.mode, _OTHERS) * pixels + made


def _coefficients(image: Image.Image) -> int:
    """The bytes of all coefficients of a JPEG, two for each sample of each component.

    A decoder keeps them where a file has several scans.
    """
    width, height = image.size
    layers = [(across, down) for _, across, down, _ in getattr(image, "layer", [])]
    largest = (
        max((across for across, _ in layers), default=1),
        max((d for _, d in layers), default=1),
    )
    share = sum(across * down for across, down in layers) / (largest[0] * largest[1])
    return round(2 * width * height * (share or 3))


def is_costly(data: bytes) -> bool:
    """Whether an encoded image has more scans, segments or chunks than an image needs."""
    if data.startswith(_JPEG):
        return _scans(data) is None
    return data.startswith(_PNG) and _has_many_chunks(data)


def _scans(data: bytes) -> int | None:
    """The number of scans of a JPEG; None if it has too many of them, or of its segments."""
    scans, at = 0, len(_JPEG)
    for _ in range(MOST_PARTS):
        found = _MARKER.search(data, at)
        if found is None or data[found.end() - 1] == _END:
            return scans
        at = found.end()
        scans += data[at - 1] == _SCAN
        if scans > MOST_SCANS:
            return None
        if data[at - 1] != _START:
            at += int.from_bytes(data[at : at + 2], "big")
    return None


def _has_many_chunks(data: bytes) -> bool:
    at = len(_PNG)
    for _ in range(MOST_PARTS):
        if at >= len(data) or data[at + 4 : at + 8] == b"IEND":
            return False
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return True
