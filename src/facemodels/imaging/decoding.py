"""Decodes images within limits: bytes or files to uint8 (H, W, 3), RGB, upright.

Pillow alone decodes. The limits are checked before anything is decoded, so that a small file
cannot claim much memory.
"""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.imaging.arrays import FORMATS, MAX_PIXELS, ImageError, as_rgb
from facemodels.imaging.colour import eight_bits, to_srgb

MAX_BYTES = 10_000_000  # bytes of an encoded image

_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = frozenset({5, 6, 7, 8})
# What Pillow's readers raise on broken bytes. Warning: a decompression bomb or odd
# metadata, where the process turns warnings into errors. RuntimeError: libwebp.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, MemoryError, RuntimeError, struct.error, Warning,
    Image.DecompressionBombError,
)  # fmt: skip


def decode(
    source: bytes | Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode an image to uint8 (H, W, 3), RGB, upright.

    EXIF orientation is applied. Grey, palette and CMYK images become 8-bit RGB, and colours become
    sRGB where an ICC profile names another space. Grey of 16 bits is divided by 257 and rounded.
    Transparent pixels are laid on black, which is also what `crop` puts outside of an image.
    Of an animation the first frame is taken.

    Args:
        source: the encoded bytes, or the file that holds them.
        max_bytes: most bytes of the encoded image.
        max_pixels: most pixels, as the header says.

    Raises:
        ImageError: unreadable, too large, truncated, or not one of `FORMATS`.
    """
    path = source if isinstance(source, Path) else None
    with _open(source, max_bytes=max_bytes, max_pixels=max_pixels) as image:
        try:
            turn = _TRANSPOSE.get(_orientation(image))
            image.load()
            rgb = _to_rgb(image)
            if turn is not None:
                rgb = np.asarray(Image.fromarray(rgb).transpose(turn))
        except _BROKEN as error:
            raise ImageError(f"broken or truncated {image.format} data", path) from error
    return np.ascontiguousarray(rgb)


def image_size(source: bytes | Path, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels of the upright image, read from its header only.

    Raises:
        ImageError: unreadable, too large, or not one of `FORMATS`.
    """
    with _open(source, max_bytes=None, max_pixels=max_pixels) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _SWAPS_SIDES else (width, height)


def _open(source: bytes | Path, *, max_bytes: int | None, max_pixels: int) -> Image.Image:
    """Open an image and check format and size by its header; nothing is decoded yet."""
    path = source if isinstance(source, Path) else None
    stream = _bounded(source, max_bytes)
    try:
        image = Image.open(stream, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"more than {max_pixels} pixels", path) from error
    except FileNotFoundError as error:
        raise ImageError("no such file", path) from error
    except _BROKEN as error:
        raise ImageError(f"not a readable {', '.join(FORMATS)} picture", path) from error
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise ImageError(f"{width}x{height} is more than {max_pixels} pixels", path)
    return image


def _bounded(source: bytes | Path, max_bytes: int | None) -> io.BytesIO | Path:
    """The bytes of `source`, at most `max_bytes`; the path itself where there is no limit."""
    if isinstance(source, Path):
        if max_bytes is None:
            return source
        try:
            with source.open("rb") as stream:
                data = stream.read(max_bytes + 1)
        except FileNotFoundError as error:
            raise ImageError("no such file", source) from error
        except (OSError, ValueError) as error:  # ValueError: a null byte in the name
            raise ImageError(f"cannot be read ({type(error).__name__})", source) from error
    else:
        data = source
    path = source if isinstance(source, Path) else None
    if not data:
        raise ImageError("no bytes at all", path)
    if max_bytes is not None and len(data) > max_bytes:
        raise ImageError(f"more than {max_bytes} bytes", path)
    return io.BytesIO(data)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; broken metadata counts as upright, the pixels may be fine."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Any mode that the allowed formats decode to, as uint8 (H, W, 3) in sRGB."""
    return as_rgb(np.asarray(to_srgb(_plain(image), image.info.get("icc_profile"))))


def _plain(image: Image.Image) -> Image.Image:
    """A picture of the mode L, RGB, RGBA or CMYK with the same colours."""
    if image.mode.startswith("I"):
        return eight_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
