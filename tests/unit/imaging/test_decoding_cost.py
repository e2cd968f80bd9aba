"""Pictures that would keep a thread for minutes are told by their outline."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from facemodels.imaging.decoding_cost import MOST_PARTS, MOST_SCANS, is_costly
from facemodels.serving.api.images import Upload, decode_all
from facemodels.serving.http.errors import RequestError
from facemodels.serving.settings import Limits


def picture(form: str, side: int = 64, **save) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 255, (side, side, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **save)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def many_scans(count: int) -> bytes:
    """A progressive JPEG, its last scan repeated."""
    data = picture("JPEG", progressive=True)
    last = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


@pytest.mark.parametrize(
    "data",
    [
        picture("JPEG"), picture("JPEG", progressive=True), picture("PNG", 700), picture("WEBP"),
        picture("BMP"), many_scans(MOST_SCANS - 20), b"", b"\xff\xd8", b"\xff\xd8\xff\xe0",
        picture("JPEG") + b"\xff\xda" * 500,  # behind its end: a video, say
        picture("JPEG", comment=b"\xff\xda" * 500), picture("PNG") + chunk(b"prVt") * 9999,
        picture("JPEG", progressive=True, restart_marker_blocks=1),
    ],
)  # fmt: skip
def test_a_picture_as_programs_write_them_is_not_costly(data: bytes) -> None:
    assert not is_costly(data)


@pytest.mark.parametrize(
    "data",
    [
        many_scans(MOST_SCANS),
        b"\xff\xd8" + b"\xff\xe5\x00\x02" * MOST_PARTS + picture("JPEG")[2:],
        picture("PNG")[:33] + chunk(b"prVt") * MOST_PARTS + picture("PNG")[33:],
        picture("PNG")[:-12] + chunk(b"IDAT") * MOST_PARTS + picture("PNG")[-12:],
    ],
    ids=["scans", "segments", "chunks before", "chunks behind"],
)
def test_more_scans_or_parts_than_a_picture_needs_are_refused(data: bytes) -> None:
    assert is_costly(data)
    with pytest.raises(RequestError) as caught:
        decode_all(Upload(("image",), (data,)), Limits())
    assert caught.value.status == 422


def test_ten_megabytes_of_segments_are_told_at_once() -> None:
    data = b"\xff\xd8" + b"\xff\xe5\x00\x02" * 2_400_000
    start = time.perf_counter()
    assert is_costly(data)
    assert time.perf_counter() - start < 0.5  # decoding takes ten seconds


@given(st.sampled_from([b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b""]), st.binary(max_size=300))
def test_any_bytes_have_an_answer(head: bytes, tail: bytes) -> None:
    assert is_costly(head + tail) in (True, False)
