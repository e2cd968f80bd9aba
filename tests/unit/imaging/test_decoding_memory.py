"""What decoding takes is counted before it is taken."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageCms

from facemodels.imaging import EncodedImage, decoding

_MEASURED = """
import ctypes, io, json, sys, threading, time
import numpy as np
from PIL import Image
from facemodels.imaging import EncodedImage
from facemodels.serving.memory import return_large_blocks

class Peak(threading.Thread):
    def __enter__(self):
        self.ended, self.before = False, self.now()
        self.most = self.before
        self.start()
        return self
    def now(self):
        return 4096 * int(open("/proc/self/statm").read().split()[1])
    def run(self):
        while not self.ended:
            self.most = max(self.most, self.now())
            time.sleep(0.0005)
    def __exit__(self, *_):
        self.ended = True
        self.join()

def encoded(mode, form, **options):
    if mode == "I;16":
        image = Image.fromarray(np.zeros((SIDE, SIDE), np.uint16))
    else:
        image = Image.new(mode, (SIDE, SIDE))
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()

SIDE = 3000
return_large_blocks()
found = []
for mode, form, options in json.loads(sys.argv[1]):
    data = encoded(mode, form, **options)
    for most in (SIDE**2, SIDE**2 // 4):
        ctypes.CDLL(None).malloc_trim(0)
        with Peak() as peak, EncodedImage(data, reduce_over=most) as image:
            counted = image.peak_bytes
            photo = image.decode()
        found.append([mode, form, image.scale, counted, peak.most - peak.before])
        del photo, image
print(json.dumps(found))
"""
KINDS = [
    ["1", "PNG", {}], ["L", "PNG", {}], ["P", "PNG", {"transparency": 0}], ["I;16", "PNG", {}],
    ["LA", "PNG", {}], ["RGB", "PNG", {}], ["RGBA", "PNG", {}],
    ["RGB", "JPEG", {}], ["CMYK", "JPEG", {"progressive": True}], ["RGB", "WEBP", {"method": 0}],
]  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_no_picture_takes_more_memory_than_is_counted() -> None:
    command = [sys.executable, "-c", _MEASURED, json.dumps(KINDS)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    spare = 6 << 20  # what Pillow and the allocator keep beside a picture
    assert [one for one in found if one[4] > one[3] + spare] == []
    assert {one[2] for one in found} == {1, 2}


@pytest.mark.parametrize("reduce_over", [None, 1500, 400])
@pytest.mark.parametrize(
    ("mode", "form"),
    [("RGB", "PNG"), ("RGBA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"), ("L", "JPEG"),
     ("CMYK", "JPEG")],
)  # fmt: skip
def test_a_picture_in_stripes_is_the_picture_at_once(
    mode: str, form: str, reduce_over: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (61, 37, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("RGBA" if mode == "RGBA" else "RGB")
    if mode == "I;16":
        image = Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257)
    elif mode != "RGBA":
        image = image.convert(mode)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    options = {"transparency": 3} if mode == "P" else {"icc_profile": profile}
    stream = io.BytesIO()
    image.save(stream, form, **options)

    def decoded() -> np.ndarray:
        with EncodedImage(stream.getvalue(), reduce_over=reduce_over) as encoded:
            return encoded.decode().pixels

    whole = decoded()
    monkeypatch.setattr(decoding, "STRIPE", 200)
    np.testing.assert_array_equal(decoded(), whole)
