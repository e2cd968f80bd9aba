"""From the body of a request to images: one as it is, or several in a form or in JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from facemodels.imaging import EncodedImage, ImageError, Photo
from facemodels.imaging.decoding_cost import is_costly
from facemodels.serving.api.forms import FIELD, FORM, printable, read_form
from facemodels.serving.api.json_images import JSON, read_json
from facemodels.serving.http.bodies import media_type
from facemodels.serving.http.errors import RequestError
from facemodels.serving.settings import Limits

RAW = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
_COPIES = 2  # of a decoded image, while Pillow turns it into an array and back
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
        RequestError: 415 for a type that is not accepted, 400 for a broken form or JSON or one
            without images, 413 for too many images.
    """
    kind = media_type(content_type)
    if kind in RAW:
        return Upload((FIELD,), (body,))
    if kind == FORM:
        parts = read_form(content_type, body, limits.images)
    elif kind == JSON:
        parts = read_json(body, limits.images)
    else:
        raise RequestError(
            415, "unsupported_media_type",
            f"Send one of {', '.join(RAW)}, or {FORM} or {JSON} with several images.",
        )  # fmt: skip
    if not parts:
        raise RequestError(400, "no_image", "The body holds no image.")
    return Upload(tuple(name for name, _ in parts), tuple(data for _, data in parts))


class EncodedImages:
    """The images of a request: their headers are read and within limits, and nothing else yet.

    The limit of pixels counts all images of a request together.

    Args:
        upload: the encoded images.
        limits: the limits of requests.
        whole: whether every pixel is needed; else large pictures are reduced as they are decoded.

    Attributes:
        needed_bytes: the memory that decoding them takes, and working on them after that.

    Raises:
        RequestError: 413 for too many pixels, 422 for an image that cannot be decoded. The
            sentence names the image.
    """

    def __init__(self, upload: Upload, limits: Limits, *, whole: bool = False) -> None:
        self._names = tuple(map(printable, upload.names))
        self._limits = limits
        self._images: list[EncodedImage] = []
        left = limits.pixels
        for name, data in zip(self._names, upload.data, strict=True):
            try:
                image = _opened(data, limits, left, None if whole else limits.working_pixels)
            except ImageError as error:
                raise _refusal(name, error.reason, limits) from error
            left -= image.size[0] * image.size[1]
            self._images.append(image)
        held = [image.held_bytes for image in self._images]
        decoding = [image.peak_bytes - image.held_bytes for image in self._images]
        self.needed_bytes = sum(held) + max(decoding) + _COPIES * max(held)

    def decode(self, check: Callable[[], None] = lambda: None) -> list[Photo]:
        """Decode every image.

        Args:
            check: is called before each; raises where nobody waits for the answer any more.

        Raises:
            RequestError: 422, likewise.
        """
        found = []
        for name, image in zip(self._names, self._images, strict=True):
            check()
            try:
                with image:
                    found.append(image.decode())
            except ImageError as error:
                raise _refusal(name, error.reason, self._limits) from error
        return found


def decode_all(upload: Upload, limits: Limits) -> list[Photo]:
    """Decode every image; see `EncodedImages`."""
    return EncodedImages(upload, limits).decode()


def _opened(data: bytes, limits: Limits, most_pixels: int, reduce_over: int | None) -> EncodedImage:
    if is_costly(data):
        raise ImageError("the picture has too many scans or segments")
    image = EncodedImage(
        data, max_bytes=limits.body_bytes, max_pixels=most_pixels, reduce_over=reduce_over
    )
    if max(image.size) > MAX_SIDE:
        raise ImageError(f"a side of more than {MAX_SIDE} pixels")
    return image


def _refusal(name: str, reason: str, limits: Limits) -> RequestError:
    """413 if the reason names pixels, as it does for every image that is too large; else 422."""
    if "pixels" in reason:
        text = f"at most {limits.pixels} pixels, all images together, and {MAX_SIDE} a side"
        return RequestError(413, "too_many_pixels", f"{name}: {text}.")
    return RequestError(422, "undecodable_image", f"{name}: {reason}.")
