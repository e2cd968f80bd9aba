"""From the body of a request to pictures: raw bytes, or parts of a multipart form."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facemodels.imaging import FORMATS, ImageError, decode
from facemodels.serving.api.image_cost import is_costly
from facemodels.serving.http.errors import RequestError
from facemodels.serving.settings import Limits

RAW = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
FORM = "multipart/form-data"
FIELD = "image"  # of a form; a part with a file name may have any field's name
MAX_SIDE = 65_535  # pixels, JPEG's own; Pillow takes seconds for a million rows of one pixel
_HEADERS = 8  # of one part
_HEADER_BYTES = 4096
_NAME_LENGTH = 100


@dataclass(frozen=True)
class Upload:
    """Encoded images of a request, by the name that the client gave them."""

    names: tuple[str, ...]
    data: tuple[bytes, ...]


def read_upload(content_type: str, body: bytes, limits: Limits) -> Upload:
    """Split a body into images.

    Raises:
        RequestError: 415 for another type, 400 for a broken form or one without images, 413 for
            too many of them.
    """
    kind = content_type.split(";", 1)[0].strip().lower()
    if kind in RAW:
        return Upload((FIELD,), (body,))
    if kind != FORM:
        raise RequestError(
            415, "unsupported_media_type",
            f"Send one of {', '.join(RAW)}, or {FORM} with several images.",
        )  # fmt: skip
    parts = _Form(limits.images).read(_boundary(content_type), body)
    if not parts:
        raise RequestError(400, "no_image", "The form holds no image.")
    return Upload(tuple(name for name, _ in parts), tuple(data for _, data in parts))


def decode_all(upload: Upload, limits: Limits) -> list[NDArray[np.uint8]]:
    """Decode every image: uint8 (H, W, 3), RGB, upright.

    The limit of pixels holds for all images of a request together.

    Raises:
        RequestError: 413 for too many pixels, found before they are decoded; 422 for an image
            that cannot be decoded. The sentence names the image.
    """
    pictures: list[NDArray[np.uint8]] = []
    left = limits.pixels
    for name, data in zip(upload.names, upload.data, strict=True):
        try:
            picture = _decode(data, limits, left)
        except ImageError as error:
            raise _refusal(_printable(name), error.reason, limits) from error
        left -= picture.shape[0] * picture.shape[1]
        pictures.append(picture)
    return pictures


def _decode(data: bytes, limits: Limits, most_pixels: int) -> NDArray[np.uint8]:
    if is_costly(data):
        raise ImageError("the picture has too many scans or segments")
    if _longest_side(data) > MAX_SIDE:
        raise ImageError(f"a side of more than {MAX_SIDE} pixels")
    return decode(data, max_bytes=limits.body_bytes, max_pixels=most_pixels)


def _longest_side(data: bytes) -> int:
    """Pixels, by the header alone: `imaging.image_size` asks for the orientation too, and to
    look for that Pillow decodes a whole PNG. 0 where there is no header; `decode` says why.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return max(image.size)
    except Exception:  # noqa: BLE001  (Pillow's readers raise whatever their bytes lead to)
        return 0


def _refusal(name: str, reason: str, limits: Limits) -> RequestError:
    """413 or 422. Reasons with pixels in them are those of pictures that are too large."""
    if "pixels" in reason:
        text = f"at most {limits.pixels} pixels, all images together, and {MAX_SIDE} a side"
        return RequestError(413, "too_many_pixels", f"{name}: {text}.")
    return RequestError(422, "undecodable_image", f"{name}: {reason}.")


def _boundary(content_type: str) -> bytes:
    from python_multipart.multipart import parse_options_header

    try:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    except UnicodeError:
        boundary = b""
    if not boundary:
        raise RequestError(400, "broken_form", "The form's content type names no boundary.")
    return boundary


@dataclass
class _Form:
    """Takes the parts of one form from the parser; all in memory, no more than `most`."""

    most: int
    parts: list[tuple[str, bytes]] = field(default_factory=list)
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _name: bytes = b""
    _value: bytes = b""
    _data: bytes = b""
    _ended: bool = False

    def read(self, boundary: bytes, body: bytes) -> list[tuple[str, bytes]]:
        """Every image of a form with its name.

        Raises:
            RequestError: 400 for a broken form or a part that is no image, 413 for too many.
        """
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        try:
            MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_name,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part,
                    "on_end": self._on_end,
                },
                max_header_count=_HEADERS,
                max_header_size=_HEADER_BYTES,
            ).write(body)
        except FormParserError as error:
            raise RequestError(400, "broken_form", "The form cannot be read.") from error
        if not self._ended:
            raise RequestError(400, "broken_form", "The form ends in the middle.")
        return self.parts

    # The body comes in one piece, so each of these is called once for what it brings.

    def _begin(self) -> None:
        if len(self.parts) >= self.most:
            raise RequestError(413, "too_many_images", f"At most {self.most} images a request.")
        self._headers = {}
        self._data = b""

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name, self._value = data[start:end], b""

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value = data[start:end]

    def _on_header(self) -> None:
        self._headers[self._name.lower()] = self._value

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._data = data[start:end]

    def _on_part(self) -> None:
        from python_multipart.multipart import parse_options_header

        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        name, file_name = options.get(b"name"), options.get(b"filename")
        if kind != b"form-data" or name is None:
            raise RequestError(400, "broken_form", "A part of the form has no name.")
        shown = (file_name or name).decode(errors="replace")[:_NAME_LENGTH]
        if file_name is None and name.decode(errors="replace") != FIELD:
            text = f"{_printable(shown)} is no image; parameters go into the address."
            raise RequestError(400, "no_image", text)
        self.parts.append((shown or FIELD, self._data))

    def _on_end(self) -> None:
        self._ended = True


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)
