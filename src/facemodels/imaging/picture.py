"""Decodes a picture as `decoding.decode` does, with Pillow and NumPy alone.

The scripts in model cards hold these functions: `package.card` writes them in the place of their
import. `DECODING` says the same in words, for config.yaml.
"""

import io

import numpy as np
from PIL import Image, ImageCms, ImageOps


def upright(path: str) -> Image.Image:
    """The picture of a file in 8-bit sRGB, upright, as the server reads it."""
    image = ImageOps.exif_transpose(Image.open(path))
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I"):  # 16 bits of grey
        wide = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:  # on black
        pixels = image.convert("RGBA")
        alpha = np.asarray(pixels.getchannel("A")).astype(np.uint16)[:, :, None]
        colours = np.asarray(in_srgb(pixels.convert("RGB"), profile)).astype(np.uint16)
        return Image.fromarray(((colours * alpha + 127) // 255).astype(np.uint8))
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    return in_srgb(image, profile)


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours of an ICC profile as sRGB; one that is broken or nearly sRGB changes nothing."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    if profile and len(profile) <= 4_000_000:
        try:
            source, target = io.BytesIO(profile), ImageCms.createProfile("sRGB")
            change = ImageCms.buildTransform(source, target, image.mode, "RGB")
            sample = Image.fromarray(steps[None] if image.mode == "L" else cube).convert(image.mode)
            moved = np.asarray(change.apply(sample), np.int16) - np.asarray(sample.convert("RGB"))
            if image.mode == "CMYK" or np.abs(moved).max() > 2:
                return change.apply(image)
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


DECODING = {
    "formats": "JPEG, PNG, WebP, BMP; the first frame",
    "orientation": "EXIF, applied",
    "grey_16_bits": "(value + 128) // 257",
    "colours": "of an ICC profile, to sRGB; one within 2 levels of sRGB changes nothing",
    "alpha": "on black: (colour * alpha + 127) // 255",
    "result": "uint8 RGB",
}
