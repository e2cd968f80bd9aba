"""Colours: any mode and any ICC profile to sRGB.

A network is trained with the numbers of sRGB. The same numbers mean other colours in Display P3 or
Adobe RGB, so a picture with such a profile would look like another face.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_MOST_BYTES = 4_000_000  # of a profile; those of printers have up to 3 MB
_SAME = 2  # grey levels by which a profile may differ from sRGB and still count as sRGB


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Bring a picture to RGB or RGBA in sRGB.

    A profile that is broken, or made for other channels than the picture has, is ignored, as
    browsers do. One that is sRGB under whatever name changes nothing.

    Args:
        image: of the mode L, RGB, RGBA or CMYK.
        profile: its ICC profile; None if it has none.
    """
    mode = "RGB" if image.mode == "RGBA" else image.mode
    transform = _transform(profile, mode) if profile and len(profile) <= _MOST_BYTES else None
    if transform is None:
        return image if image.mode in ("RGB", "RGBA") else image.convert("RGB")
    made = transform.apply(image.convert(mode) if image.mode == "RGBA" else image)
    if image.mode == "RGBA":
        made.putalpha(image.getchannel("A"))
    return made


@lru_cache(maxsize=4)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform from a profile to sRGB; None if there is nothing to do, or no way to do it."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        found = ImageCms.buildTransform(source, target, mode, "RGB")
        sample = _sample(mode)
        change = np.asarray(found.apply(sample), np.int16) - np.asarray(sample.convert("RGB"))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return found if mode == "CMYK" or np.abs(change).max() > _SAME else None


def _sample(mode: str) -> Image.Image:
    """Colours from all over the space, one a pixel."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    if mode == "L":
        return Image.fromarray(steps[None])
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return Image.fromarray(colours).convert(mode)


def eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8; Pillow's own conversion would clip at 255."""
    values = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
    made: NDArray[np.uint8] = ((values + 128) // 257).astype(np.uint8)
    return Image.fromarray(made)
