"""Answers to pictures: they are decoded when there is memory for them, in a thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from facemodels.imaging import Photo
from facemodels.serving.api.forms import FORM
from facemodels.serving.api.images import EncodedImages, Upload, read_upload
from facemodels.serving.api.json_images import JSON
from facemodels.serving.engine.budget import NoMemoryLeftError, TooMuchMemoryError
from facemodels.serving.engine.inference import Engine
from facemodels.serving.http.bodies import media_type
from facemodels.serving.http.errors import RequestError

Result = TypeVar("Result")
_LONG = 1 << 18  # bytes of a form or JSON that are read in less than a millisecond


async def uploaded(engine: Engine, content_type: str, body: bytes) -> Upload:
    """The pictures of a body, see `read_upload`; a long form or JSON is read in a thread.

    Raises:
        RequestError: likewise.
    """
    limits = engine.settings.limits
    if media_type(content_type) in (FORM, JSON) and len(body) > _LONG:
        return await engine.work(read_upload, content_type, body, limits)
    return read_upload(content_type, body, limits)


async def answer_photos(
    engine: Engine, upload: Upload, answer: Callable[[list[Photo]], Result], *, whole: bool = False
) -> Result:
    """Decode the pictures of a request and answer it, in a thread.

    Every route that takes pictures comes through here, so that one budget holds for all.

    Args:
        engine: whose threads and memory are used.
        upload: the encoded pictures.
        answer: what is done with the pictures.
        whole: whether every pixel is needed; else large pictures are reduced as they are decoded.

    Raises:
        RequestError: 413 or 422 for a picture that is too large or cannot be decoded, 503 if
            there is no memory for it now.
    """
    limits = engine.settings.limits

    def prepare() -> tuple[int, Callable[[], Result]]:
        images = EncodedImages(upload, limits, whole=whole)
        return images.needed_bytes, lambda: answer(images.decode(engine.require_wanted))

    try:
        return await engine.work_within_memory(prepare)
    except TooMuchMemoryError:
        raise RequestError(
            413, "too_many_pixels", "Decoding takes more memory than there is; send less pixels."
        ) from None
    except NoMemoryLeftError:
        raise RequestError(
            503, "overloaded", "Overloaded: too many large pictures wait; come back in a moment.",
            {"retry-after": str(limits.retry_after_s)},
        ) from None  # fmt: skip
