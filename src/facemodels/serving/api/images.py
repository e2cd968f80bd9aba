"""From the body of a request to images: one image as it is, or several as the parts of a form."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.imaging import FORMATS, ImageError, decode
from facemodels.serving.api.forms import FIELD, FORM, printable, read_form
from facemodels.serving.api.image_cost import is_costly
from facemodels.serving.http.bodies import media_type
from facemodels.serving.http.errors import RequestError
from facemodels.serving.settings import Limits

RAW = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
MAX_SIDE = 65_535  # pixels, as in a JPEG; Pillow takes seconds for a million rows of one pixel


@dataclass(frozen=True)
class Upload:
    """The encoded images of a request.

    Attributes:
        names: the name that the client gave to each image.
        data: the bytes of each image.
    """

    names: tuple[str, ...]
    data: tuple[bytes, ...]


def read_upload(content_type: str, body: bytes, limits: Limits) -> Upload:
    """Split a body into encoded images.

    Raises:
        RequestError: 415 for a type that is not accepted, 400 for a broken form or one without
            images, 413 for too many images.
    """
    kind = media_type(content_type)
    if kind in RAW:
        return Upload((FIELD,), (body,))
    if kind != FORM:
        raise RequestError(
            415, "unsupported_media_type",
            f"Send one of {', '.join(RAW)}, or {FORM} with several images.",
        )  # fmt: skip
    parts = read_form(content_type, body, limits.images)
    if not parts:
        raise RequestError(400, "no_image", "The form holds no image.")
    return Upload(tuple(name for name, _ in parts), tuple(data for _, data in parts))


def decode_all(upload: Upload, limits: Limits) -> list[NDArray[np.uint8]]:
    """Decode every image: uint8 (H, W, 3), RGB, upright.

    The limit of pixels counts all images of a request together.

    Raises:
        RequestError: 413 for too many pixels, before they are decoded; 422 for an image that
            cannot be decoded. The sentence names the image.
    """
    decoded: list[NDArray[np.uint8]] = []
    left = limits.pixels
    for name, data in zip(upload.names, upload.data, strict=True):
        try:
            image = _decode(data, limits, left)
        except ImageError as error:
            raise _refusal(printable(name), error.reason, limits) from error
        left -= image.shape[0] * image.shape[1]
        decoded.append(image)
    return decoded


def _decode(data: bytes, limits: Limits, most_pixels: int) -> NDArray[np.uint8]:
    if is_costly(data):
        raise ImageError("the picture has too many scans or segments")
    if _longest_side(data) > MAX_SIDE:
        raise ImageError(f"a side of more than {MAX_SIDE} pixels")
    return decode(data, max_bytes=limits.body_bytes, max_pixels=most_pixels)


def _longest_side(data: bytes) -> int:
    """The longer side in pixels, read from the header; 0 if no header can be read.

    `imaging.image_size` would also look for the orientation, for which Pillow decodes a whole
    PNG. If there is no header, `decode` says what is wrong.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return max(image.size)
    except Exception:  # noqa: BLE001  (Pillow's readers raise all kinds of errors)
        return 0


def _refusal(name: str, reason: str, limits: Limits) -> RequestError:
    """413 if the reason names pixels, as it does for every image that is too large; else 422."""
    if "pixels" in reason:
        text = f"at most {limits.pixels} pixels, all images together, and {MAX_SIDE} a side"
        return RequestError(413, "too_many_pixels", f"{name}: {text}.")
    return RequestError(422, "undecodable_image", f"{name}: {reason}.")
