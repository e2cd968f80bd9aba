"""Pictures: decode with limits, resize, letterbox, crop. One code for training and serving.

An image here is uint8 (H, W, 3), RGB. Two frames of coordinates are in use, half a pixel
apart, and every function says which it takes:

    edges    boxes: (0, 0) is the outer corner of the first pixel, (W, H) of the last
    centres  points: (0, 0) is the centre of the first pixel; edges = centres + 0.5

Pillow alone decodes and resizes. Resizing is bilinear over the whole area that a new pixel
covers (antialiased when shrinking), so a served face is the face the model was trained on.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # no other decoder of Pillow is ever reached
EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
MAX_BYTES = 10_000_000  # bytes of an encoded picture
MAX_PIXELS = 50_000_000  # pixels of a decoded picture; three bytes each
LETTERBOX_FILL = 114  # the grey that YOLO is trained with

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


class ImageError(DataError):
    """A picture cannot be used.

    Attributes:
        reason: what is wrong, without the path.
        path: the file, or None for bytes and arrays.
    """

    def __init__(self, reason: str, path: Path | None = None) -> None:
        self.reason = reason
        self.path = path
        super().__init__(
            f"{path or 'image'}: {reason}.", f"Give a {', '.join(FORMATS)} picture within limits."
        )


def decode(
    source: bytes | Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a picture to uint8 (H, W, 3), RGB, upright.

    EXIF orientation is applied. Grey, palette, CMYK and 16-bit pictures become 8-bit RGB.
    Transparent pixels are laid on black, the value `crop` gives to what lies outside a
    picture. Of an animation the first frame is taken.

    Args:
        source: the encoded bytes, or the file that holds them.
        max_bytes: most bytes of the encoded picture.
        max_pixels: most pixels; read from the header, before anything is decoded.

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
    """Width and height in pixels of the upright picture, read from its header alone.

    Raises:
        ImageError: unreadable, too large, or not one of `FORMATS`.
    """
    with _open(source, max_bytes=None, max_pixels=max_pixels) as image:
        width, height = image.size
        return (height, width) if _orientation(image) in _SWAPS_SIDES else (width, height)


def as_rgb(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring an array to uint8 (H, W, 3).

    Args:
        image: uint8 (H, W) or (H, W, 1) grey, (H, W, 3) RGB, (H, W, 4) RGBA (on black).

    Raises:
        ImageError: another type or shape, or no pixel at all.
    """
    if image.dtype != np.uint8:
        raise ImageError(f"pixels are {image.dtype}, not uint8")
    if image.ndim == 2:
        image = image[:, :, None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4):
        raise ImageError(f"array of shape {image.shape} is not (H, W), (H, W, 1), 3 or 4 channels")
    if image.size == 0:
        raise ImageError(f"array of shape {image.shape} has no pixels")
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    if image.shape[2] == 4:
        alpha = image[:, :, 3:].astype(np.uint16)
        return ((image[:, :, :3] * alpha + 127) // 255).astype(np.uint8)
    return image


def resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize to uint8 (height, width, 3), bilinear, antialiased when shrinking.

    Raises:
        ImageError: `image` is no picture, or the size is not positive or over `MAX_PIXELS`.
    """
    rgb = as_rgb(image)
    _check_target(width, height)
    if rgb.shape[:2] == (height, width):
        return rgb.copy()
    return _from_pillow(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))


def letterbox(
    image: NDArray[np.uint8], size: int, fill: int = LETTERBOX_FILL
) -> tuple[NDArray[np.uint8], float, float, float]:
    """Fit a picture into a square, keeping its shape, centred between bars of grey `fill`.

    Args:
        image: uint8 (H, W, 3).
        size: side of the square in pixels.
        fill: value of the bars, 0 to 255.

    Returns:
        The square uint8 (size, size, 3), and `scale`, `pad_x`, `pad_y` (whole numbers) with
        which x of the picture lies at x * scale + pad_x of the square (edges frame).

    Raises:
        ImageError: `image` is no picture, or `size` is not positive.
    """
    rgb = as_rgb(image)
    _check_target(size, size)
    height, width = rgb.shape[:2]
    scale = size / max(width, height)
    new_width, new_height = (max(1, round(side * scale)) for side in (width, height))
    pad_x, pad_y = (size - new_width) // 2, (size - new_height) // 2
    square = np.full((size, size, 3), fill, np.uint8)
    square[pad_y : pad_y + new_height, pad_x : pad_x + new_width] = resize(
        rgb, new_width, new_height
    )
    return square, scale, float(pad_x), float(pad_y)


def unletterbox_boxes(
    boxes: NDArray[np.floating[Any]], scale: float, pad_x: float, pad_y: float
) -> NDArray[np.float32]:
    """Map boxes of a letterboxed square back onto the picture: float32 (K, 4), edges frame.

    The boxes are not clipped: only the caller knows the picture's size.
    """
    pads = np.array([pad_x, pad_y, pad_x, pad_y], np.float64)
    return ((boxes.reshape(-1, 4) - pads) / scale).astype(np.float32)


def crop(
    image: NDArray[np.uint8],
    box: Sequence[float] | NDArray[np.floating[Any]],
    size: int,
) -> NDArray[np.uint8]:
    """Cut a box out and resize it to uint8 (size, size, 3); black where there is no picture.

    A box that is not square is stretched.

    Args:
        image: uint8 (H, W, 3).
        box: x0 y0 x1 y1 in pixels, edges frame; may have fractions and may reach outside.
        size: side of the result in pixels.

    Raises:
        ImageError: the box is not finite, has no area, or covers more than `MAX_PIXELS`.
    """
    rgb = as_rgb(image)
    _check_target(size, size)
    x0, y0, x1, y1 = (float(value) for value in box)
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise ImageError(f"box {x0:g} {y0:g} {x1:g} {y1:g} has no area")
    left, top, right, bottom = math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1)
    if (right - left) * (bottom - top) > MAX_PIXELS:
        raise ImageError(f"box {x0:g} {y0:g} {x1:g} {y1:g} covers over {MAX_PIXELS} pixels")
    canvas = _cut(rgb, left, top, right, bottom)
    inner = (x0 - left, y0 - top, x1 - left, y1 - top)
    return _from_pillow(
        Image.fromarray(canvas).resize((size, size), Image.Resampling.BILINEAR, box=inner)
    )


def _cut(rgb: NDArray[np.uint8], left: int, top: int, right: int, bottom: int) -> NDArray[np.uint8]:
    """The pixels of a whole-numbered box, black outside of the picture."""
    height, width = rgb.shape[:2]
    canvas = np.zeros((bottom - top, right - left, 3), np.uint8)
    x0, x1 = max(left, 0), min(right, width)
    y0, y1 = max(top, 0), min(bottom, height)
    if x0 < x1 and y0 < y1:
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = rgb[y0:y1, x0:x1]
    return canvas


def _open(source: bytes | Path, *, max_bytes: int | None, max_pixels: int) -> Image.Image:
    """Read the header: format and size are within limits, nothing is decoded yet."""
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
    """The bytes of `source`, never more than `max_bytes`; the path itself if unlimited."""
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
    """Any mode that the allowed formats decode to, as uint8 (H, W, 3)."""
    if image.mode.startswith("I"):  # 16 bits of grey; convert() would clip at 255
        grey = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        return as_rgb(((grey + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return as_rgb(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _from_pillow(image: Image.Image) -> NDArray[np.uint8]:
    return np.array(image, dtype=np.uint8)  # a copy: Pillow's own buffer is read-only


def _check_target(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ImageError(f"cannot make a picture of {width}x{height}")
