"""Decodes images within limits: bytes or files to uint8 (H, W, 3), RGB, upright.

Pillow alone decodes. The limits are checked before anything is decoded, so that a small file
cannot claim much memory.
"""

from __future__ import annotations

import io
import stat
import struct
from math import ceil
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.imaging.arrays import FORMATS, MAX_PIXELS, ImageError, as_rgb
from facemodels.imaging.colour import eight_bits, to_srgb
from facemodels.imaging.decoding_cost import STRIPE, decoding_bytes
from facemodels.imaging.photo import Photo, turn

MAX_BYTES = 10_000_000  # bytes of an encoded image

_ORIENTATION = 0x0112  # EXIF tag
_SWAPS_SIDES = frozenset({5, 6, 7, 8})
# What Pillow's readers raise on broken bytes. Warning: a decompression bomb or odd
# metadata, where the process turns warnings into errors. RuntimeError: libwebp.
_BROKEN = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError,
    AttributeError, MemoryError, RuntimeError, struct.error, Warning,
    Image.DecompressionBombError,
)  # fmt: skip


def decode(
    source: bytes | Path,
    *,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = FORMATS,
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
        formats: Pillow's names of the formats that are read; a dataset may have more than a server.

    Raises:
        ImageError: unreadable, too large, truncated, or not one of `formats`.
    """
    with EncodedImage(source, max_bytes=max_bytes, max_pixels=max_pixels, formats=formats) as image:
        return image.decode().pixels


class EncodedImage:
    """An image whose header is read, and nothing else yet; it is closed by `with`.

    Args:
        source: the encoded bytes, or the file that holds them.
        max_bytes: most bytes of the encoded image.
        max_pixels: most pixels, as the header says.
        reduce_over: a picture of more pixels is decoded at a half of each side, or a quarter and
            so on, until it has no more; None for the whole picture always.
        formats: Pillow's names of the formats that are read.

    Attributes:
        size: width and height in pixels as they are stored, before the orientation is applied.
        scale: pixels of the file for each pixel of the decoded image, along one side.

    Raises:
        ImageError: unreadable, too large, or not one of `formats`.
    """

    def __init__(
        self,
        source: bytes | Path,
        *,
        max_bytes: int = MAX_BYTES,
        max_pixels: int = MAX_PIXELS,
        reduce_over: int | None = None,
        formats: tuple[str, ...] = FORMATS,
    ) -> None:
        self._path = source if isinstance(source, Path) else None
        self._data = _bounded(source, max_bytes)
        self._image = _open(self._data, formats, max_pixels=max_pixels, path=self._path)
        self.size: tuple[int, int] = self._image.size
        self.scale = _scale(*self.size, reduce_over)

    def __enter__(self) -> Self:
        """Use the image."""
        return self

    def __exit__(self, *_: object) -> None:
        """Free the encoded bytes."""
        self._image.close()

    @property
    def held_bytes(self) -> int:
        """What the decoded image takes."""
        width, height = self.size
        return 3 * ceil(width / self.scale) * ceil(height / self.scale)

    @property
    def peak_bytes(self) -> int:
        """The most that decoding takes, the decoded image included."""
        return decoding_bytes(self._image, self._data, self.scale)

    def decode(self) -> Photo:
        """Decode the image; see the function `decode`.

        Raises:
            ImageError: broken or truncated.
        """
        image = self._image
        try:
            turned_by = _orientation(image)
            left = self._load_reduced()
            pixels = _to_rgb(image, left)
            image.close()  # what it holds is not needed beside the turned copy
        except _BROKEN as error:
            raise ImageError(f"broken or truncated {image.format} data", self._path) from error
        width, height = self.size
        if turned_by in _SWAPS_SIDES:
            width, height = height, width
        turned = np.ascontiguousarray(turn(pixels, turned_by))
        return Photo(turned, self.scale, width, height)

    def _load_reduced(self) -> int:
        """Decode, a JPEG at a fraction of its sides; returns by how much to reduce after that."""
        if self.scale == 1:
            self._image.load()
            return 1
        before = self.size[0]
        asked = (self.size[0] // self.scale, self.size[1] // self.scale)
        self._image.draft(None, asked)  # None: the mode stays
        self._image.load()
        return self.scale // max(1, round(before / self._image.size[0]))


def _scale(width: int, height: int, most: int | None) -> int:
    """The power of two by which the sides are divided, so that at most so many pixels are left."""
    scale = 1
    while most is not None and ceil(width / scale) * ceil(height / scale) > most:
        scale *= 2
    return scale


def image_size(
    source: bytes | Path, *, max_pixels: int = MAX_PIXELS, formats: tuple[str, ...] = FORMATS
) -> tuple[int, int]:
    """Width and height in pixels of the upright image, read from its header only.

    Raises:
        ImageError: unreadable, too large, or not one of `formats`.
    """
    path = source if isinstance(source, Path) else None
    if path is not None:
        _require_ordinary(path)
    with _open(source, formats, max_pixels=max_pixels, path=path) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _SWAPS_SIDES else (width, height)


def orientation(source: bytes | Path, *, formats: tuple[str, ...] = FORMATS) -> int:
    """How the stored pixels are turned to be upright: EXIF orientation, 1 to 8; 1 for upright.

    Raises:
        ImageError: unreadable, too large, or not one of `formats`.
    """
    path = source if isinstance(source, Path) else None
    with _open(source, formats, max_pixels=MAX_PIXELS, path=path) as image:
        return _orientation(image)


def _open(
    source: bytes | Path, formats: tuple[str, ...], *, max_pixels: int, path: Path | None
) -> Image.Image:
    """Open an image and check format and size by its header; nothing is decoded yet."""
    if not source:
        raise ImageError("no bytes at all", path)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    try:
        image = Image.open(stream, formats=formats)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError(f"more than {max_pixels} pixels", path) from error
    except FileNotFoundError as error:
        raise ImageError("no such file", path) from error
    except _BROKEN as error:
        raise ImageError(f"not a readable {', '.join(formats)} picture", path) from error
    width, height = image.size
    if width * height > max_pixels:
        image.close()
        raise ImageError(f"{width}x{height} is more than {max_pixels} pixels", path)
    return image


def _require_ordinary(path: Path) -> None:
    """Refuse a pipe or a device, from which nothing may ever come."""
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):  # whoever opens it says why
        return
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise ImageError("no ordinary file", path)


def _bounded(source: bytes | Path, max_bytes: int) -> bytes:
    """The bytes of `source`, at most `max_bytes`."""
    if isinstance(source, Path):
        _require_ordinary(source)
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
    if len(data) > max_bytes:
        raise ImageError(f"more than {max_bytes} bytes", path)
    return data


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; broken metadata counts as upright, the pixels may be fine."""
    if image.format == "TIFF":  # Pillow itself turns these
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image, reduce: int) -> NDArray[np.uint8]:
    """Any mode that the allowed formats decode to, as uint8 (H, W, 3) in sRGB.

    Large pictures are converted some rows at a time: each step makes a copy of what it converts.
    """
    width, height = image.size
    rows = max(1, STRIPE // (width * reduce)) * reduce
    if rows >= height:
        return _stripe(image, reduce)
    made = np.empty((ceil(height / reduce), ceil(width / reduce), 3), np.uint8)
    for top in range(0, height, rows):
        part = _stripe(image.crop((0, top, width, min(top + rows, height))), reduce)
        made[top // reduce : top // reduce + len(part)] = part
    return made


def _stripe(image: Image.Image, reduce: int) -> NDArray[np.uint8]:
    plain = _plain(image)
    if reduce > 1:
        plain = plain.reduce(reduce)
    return as_rgb(np.asarray(to_srgb(plain, image.info.get("icc_profile"))))


def _plain(image: Image.Image) -> Image.Image:
    """A picture of the mode L, RGB, RGBA or CMYK with the same colours."""
    if image.mode.startswith("I"):
        return eight_bits(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")
