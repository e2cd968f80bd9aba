"""What schemathesis sends as images: real ones, and now and then none. Loaded by its command."""

from __future__ import annotations

import io

import schemathesis
from hypothesis import strategies as st
from PIL import Image


def _picture(size: tuple[int, int], form: str, colour: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (colour, 90, 200)).save(stream, form)
    return stream.getvalue()


IMAGES = st.builds(
    _picture,
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]),
    st.integers(0, 255),
)
BODIES = st.one_of(IMAGES, IMAGES, IMAGES, st.binary(max_size=100))
for kind in ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, BODIES)
schemathesis.openapi.format("binary", BODIES)
