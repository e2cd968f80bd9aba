"""Broken pictures, forms and tensors by the thousand: no failure, no crash, flat memory."""

from __future__ import annotations

import io
import json
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from .answers import check
from .conftest import Server

# Growth of the resident memory over a campaign, after a tenth of the same kind as warm-up.
# Without `memory.return_large_blocks` the long campaign grows the server by 700 MiB.
GROWTH = 48 * 2**20
BOMB = 32 * 2**20  # what a picture that is refused for its size may cost at the most
Make = Callable[[random.Random], tuple[str, bytes, dict[str, str]]]


def encoded(mode: str, form: str, **save) -> bytes:
    pixels = np.random.default_rng(1).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, form, **save)
    return stream.getvalue()


def bases() -> list[bytes]:
    """Valid pictures of all formats, modes and kinds of metadata."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "words"
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    several = {"save_all": True, "append_images": frames[1:], "duration": 9}
    animated = []
    for form in ("PNG", "WEBP"):
        stream = io.BytesIO()
        frames[0].save(stream, form, **several)
        animated.append(stream.getvalue())
    deep = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 150).save(deep, "PNG")
    icc = bytes(range(256)) * 4
    return [
        encoded("RGB", "JPEG", exif=exif), encoded("RGB", "JPEG", progressive=True),
        encoded("L", "JPEG", icc_profile=icc), encoded("CMYK", "JPEG"),
        encoded("RGB", "PNG", exif=exif), encoded("P", "PNG"), encoded("RGBA", "PNG", icc_profile=icc),
        encoded("LA", "PNG"), encoded("1", "PNG"), encoded("P", "PNG", transparency=3), deep.getvalue(),
        encoded("RGB", "WEBP", exif=exif), encoded("RGBA", "WEBP", lossless=True),
        encoded("RGB", "BMP"), encoded("P", "BMP"), encoded("1", "BMP"), *animated,
    ]  # fmt: skip


BASES = bases()


def flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def head(data: bytearray, chance: random.Random) -> None:
    """Where sizes, types and tables are."""
    at = chance.randrange(min(64, len(data)))
    data[at : at + 4] = chance.choice(
        (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", chance.randbytes(4))
    )


def truncate(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = chance.randbytes(chance.choice((1, 3, 100, 5000)))


def repeat(data: bytearray, chance: random.Random) -> None:
    at, size = chance.randrange(len(data)), chance.randrange(1, 200)
    data[at:at] = data[at : at + size] * chance.choice((1, 2, 30))


def splice(data: bytearray, chance: random.Random) -> None:
    other = chance.choice(BASES)
    at = chance.randrange(len(data))
    data[at:] = other[chance.randrange(len(other)) :]


def png_chunk(data: bytearray, chance: random.Random) -> None:
    """Change a chunk and set its checksum right, so that it is read."""
    if not data.startswith(b"\x89PNG") or len(data) < 60:
        flip(data, chance)
        return
    at = 8
    for _ in range(chance.randrange(4)):
        step = 12 + int.from_bytes(data[at : at + 4], "big")
        at = at + step if at + step + 12 < len(data) else at
    size = min(int.from_bytes(data[at : at + 4], "big"), len(data) - at - 12)
    if size > 0:
        data[at + 8 + chance.randrange(size)] = chance.randrange(256)
    data[at + 8 + size : at + 12 + size] = struct.pack(
        ">I", zlib.crc32(data[at + 4 : at + 8 + size])
    )


def dimensions(data: bytearray, chance: random.Random) -> None:
    """Say that a picture is huge, tiny or nothing."""
    sides = [chance.choice((0, 1, 7, 5000, 9000, 40_000, 65_535, 2**31 - 1)) for _ in range(2)]
    if data.startswith(b"\x89PNG"):
        data[16:24] = struct.pack(">II", *sides)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif data.startswith(b"BM"):
        data[18:26] = struct.pack("<II", *sides)
    elif data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            at = data.find(marker)
            if at > 0:
                data[at + 5 : at + 9] = struct.pack(">HH", *(side & 0xFFFF for side in sides))
    else:
        head(data, chance)


CHANGES = (flip, head, truncate, insert, repeat, splice, png_chunk, dimensions)
KINDS = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")


def image(chance: random.Random) -> tuple[str, bytes, dict[str, str]]:
    data = bytearray(chance.choice(BASES))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if data:
            chance.choice(CHANGES)(data, chance)
    if chance.random() < 0.2:
        return form(chance, bytes(data))
    return "", bytes(data), {"content-type": chance.choice(KINDS)}


def form(chance: random.Random, data: bytes) -> tuple[str, bytes, dict[str, str]]:
    """Broken pictures in a form, and every other time a broken form."""
    parts = [("image", ("a.png", one)) for one in (data, chance.choice(BASES))]
    request = httpx.Request("POST", "http://x", files=parts[: chance.choice((1, 2))])
    body = bytearray(request.read())
    if chance.random() < 0.5:
        chance.choice((flip, truncate, insert, repeat))(body, chance)
    return "", bytes(body), {"content-type": request.headers["content-type"]}


LANDMARKS = (
    {
        "inputs": [
            {"name": "images", "datatype": "UINT8", "shape": [1, 4, 4, 3], "parameters": {"binary_data_size": 48}},
            {"name": "boxes", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 4, 4]},
        ]
    },
    bytes(range(48)),
)  # fmt: skip
FACES = (
    {
        "id": "1",
        "inputs": [{"name": "images", "datatype": "FP32", "shape": [1, 3, 80, 80], "parameters": {"binary_data_size": 76_800}}],
        "outputs": [{"name": "embeddings", "parameters": {"binary_data": True}}],
    },
    bytes(76_800),
)  # fmt: skip
ODD = (
    None, True, -1, 0, 1, 2**31, 2**63 - 1, 1.5, 1e38, "", "FP64", "BYTES", [], {}, [[[]]], [1, 4],
    [1, 4, 4, 3], [2, 4, 4, 3], [1e38] * 4, ["0"] * 4, [0, 0, 1e-30, 1e-30], {"binary_data_size": 16},
)  # fmt: skip


def tensors(base: tuple[dict, bytes], model: str) -> Make:
    def make(chance: random.Random) -> tuple[str, bytes, dict[str, str]]:
        request, tail = json.loads(json.dumps(base[0])), bytearray(base[1])
        for _ in range(chance.choice((0, 1, 1, 2))):
            target = chance.choice([request, *request["inputs"], *request.get("outputs", [])])
            if isinstance(target, dict):
                target[chance.choice([*target, "data", "parameters"])] = chance.choice(ODD)
            if not all(isinstance(request.get(key, []), list) for key in ("inputs", "outputs")):
                break
        text = bytearray(json.dumps(request).encode())
        if chance.random() < 0.3:
            chance.choice((flip, truncate, insert, repeat))(text, chance)
        if chance.random() < 0.4:
            chance.choice((flip, truncate, insert))(tail, chance)
        length = chance.choice((len(text),) * 8 + (len(text) + 1, 0, 7))
        headers = {"inference-header-content-length": str(length)}
        return f"/v2/models/{model}/infer", bytes(text + tail), headers

    return make


def campaign(server: Server, make: Make, address: str, *, count: int, seed: int) -> Counter[int]:
    """Send mutations over connections that are kept, a tenth more as warm-up; the statuses."""
    chance = random.Random(seed)
    process = psutil.Process(server.process.pid)
    statuses: Counter[int] = Counter()
    before = 0
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for number in range(count + count // 10):
            if number == count // 10:
                before = process.memory_info().rss
            path, body, headers = make(chance)
            answer = client.post(path or address, content=body, headers=headers)
            check(answer)
            statuses[answer.status_code] += 1
        assert client.get("/v2/health/ready").status_code == 200
    grown = process.memory_info().rss - before
    print(
        f"{address or make.__qualname__}: {dict(statuses)}, {grown / 2**20:+.1f} MiB of {before / 2**20:.0f}"
    )
    assert grown < GROWTH
    assert not [line for line in server.lines if line["event"] == "failed"]
    return statuses


def campaigns(count: int, seed: int) -> Iterator[tuple[str, Make, str, int, int]]:
    yield "landmark_server", image, "/api/landmarks", count // 2, seed
    yield "face_server", image, "/api/embed", count // 4, seed + 1
    yield "detection_server", image, "/api/detect", count // 4, seed + 2
    yield "landmark_server", tensors(LANDMARKS, "landmark-dlib"), "", count * 3 // 4, seed + 3
    yield "face_server", tensors(FACES, "recognition-facenet"), "", count // 4, seed + 4


def name(case: tuple) -> str:
    return f"{case[0].removesuffix('_server')}-{'images' if case[2] else 'tensors'}"


@pytest.mark.parametrize("case", list(campaigns(500, 20_000)), ids=name)
def test_mutations_are_answered_and_refused(request: pytest.FixtureRequest, case: tuple) -> None:
    server, make, address, count, seed = case
    statuses = campaign(request.getfixturevalue(server), make, address, count=count, seed=seed)
    assert statuses[200]
    assert len(statuses) > 1


@pytest.mark.full
@pytest.mark.parametrize("case", list(campaigns(10_000, 10_000)), ids=name)
def test_ten_thousand_mutations_are_answered_and_refused(
    request: pytest.FixtureRequest, case: tuple
) -> None:
    server, make, address, count, seed = case
    campaign(request.getfixturevalue(server), make, address, count=count, seed=seed)


def peak(server: Server) -> int:
    """Most resident memory that the process ever had, bytes."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def claimed(base: bytes, width: int, height: int) -> bytes:
    """A small picture that says it is large."""
    data = bytearray(base)
    if base.startswith(b"BM"):
        data[18:26] = struct.pack("<II", width, height)
    else:
        data[16:24] = struct.pack(">II", width, height)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def real(form: str, side: int = 8000) -> bytes:
    """A picture of one colour with all its pixels, in a few thousand bytes."""
    stream = io.BytesIO()
    Image.new("L" if form == "JPEG" else "1", (side, side)).save(stream, form)
    return stream.getvalue()


def test_bombs_are_refused_before_their_memory_is_spent(landmark_server: Server) -> None:
    landmark_server.post("/api/landmarks", content=BASES[0], headers={"content-type": "image/png"})
    bombs = [
        claimed(encoded("RGB", "PNG"), 7100, 7100), claimed(encoded("RGB", "PNG"), 60_000, 60_000),
        claimed(encoded("RGB", "PNG"), 2**31 - 1, 2**31 - 1), claimed(encoded("RGB", "BMP"), 9000, 9000),
        real("PNG"), real("JPEG"), claimed(encoded("RGB", "PNG"), 1, 40_000_000),
    ]  # fmt: skip
    before = peak(landmark_server)
    for data in bombs:
        answer = landmark_server.post(
            "/api/landmarks", content=data, headers={"content-type": "image/png"}
        )
        assert answer.status_code == 413
        check(answer)
    parts = [("image", (f"{n}.png", real("PNG", 4000))) for n in range(5)]
    assert peak(landmark_server) - before < BOMB
    answer = landmark_server.post("/api/landmarks", files=parts)
    assert answer.status_code == 413, "each is within the limit, together they are not"
