"""From the body of a request to pictures: raw bytes, or parts of a multipart form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemodels.imaging import ImageError, decode
from facemodels.serving.problems import RequestError
from facemodels.serving.settings import Limits

RAW = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
FORM = "multipart/form-data"


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
        return Upload(("image",), (body,))
    if kind != FORM:
        raise RequestError(
            415, "unsupported_media_type",
            f"Send one of {', '.join(RAW)}, or {FORM} with several images.",
        )  # fmt: skip
    parts = _parts(content_type, body, limits)
    if not parts:
        raise RequestError(400, "no_image", "The form holds no image.")
    return Upload(tuple(name for name, _ in parts), tuple(data for _, data in parts))


def _parts(content_type: str, body: bytes, limits: Limits) -> list[tuple[str, bytes]]:
    """Every part of a form with its name."""
    from python_multipart import FormParser
    from python_multipart.exceptions import FormParserError
    from python_multipart.multipart import parse_options_header

    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise RequestError(400, "broken_form", "The form's content type names no boundary.")
    parts: list[tuple[str, bytes]] = []

    def add(name: bytes | None, data: bytes) -> None:
        if len(parts) >= limits.images:
            raise RequestError(413, "too_many_images", f"At most {limits.images} images a request.")
        parts.append(((name or b"image").decode(errors="replace")[:100], data))

    def on_file(file: object) -> None:
        file.file_object.seek(0)  # type: ignore[attr-defined]
        add(file.file_name or file.field_name, file.file_object.read())  # type: ignore[attr-defined]
        file.close()  # type: ignore[attr-defined]

    def on_field(field: object) -> None:
        add(field.field_name, field.value or b"")  # type: ignore[attr-defined]

    try:
        # The body is in memory and bounded already: nothing is spooled to a disk.
        parser = FormParser(
            FORM, on_field, on_file, boundary=boundary,
            config={"MAX_MEMORY_FILE_SIZE": limits.body_bytes + 1},
        )  # fmt: skip
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise RequestError(400, "broken_form", "The form cannot be read.") from error
    return parts


def decode_all(upload: Upload, limits: Limits) -> list[NDArray[np.uint8]]:
    """Decode every image: uint8 (H, W, 3), RGB, upright.

    Raises:
        RequestError: 413 for one with too many pixels, 422 for one that cannot be decoded; the
            sentence names it.
    """
    pictures = []
    for name, data in zip(upload.names, upload.data, strict=True):
        try:
            pictures.append(decode(data, max_bytes=limits.body_bytes, max_pixels=limits.pixels))
        except ImageError as error:
            large = "pixels" in error.reason
            raise RequestError(
                413 if large else 422,
                "too_many_pixels" if large else "undecodable_image",
                f"{_printable(name)}: {error.reason}.",
            ) from error
    return pictures


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)
