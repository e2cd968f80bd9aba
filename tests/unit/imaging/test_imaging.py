from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from facemodels.errors import DataError
from facemodels.imaging import (
    EncodedImage,
    ImageError,
    as_rgb,
    crop,
    decode,
    image_size,
    letterbox,
    resize,
    unletterbox_boxes,
)
from facemodels.imaging.picture import upright
from tests.bounded import examples


def encoded(image: Image.Image, fmt: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, fmt, **options)
    return stream.getvalue()


def gradient(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)


@pytest.mark.parametrize("fmt", ["PNG", "BMP"])
def test_lossless_pictures_decode_to_their_pixels(fmt: str) -> None:
    pixels = gradient(13, 7)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels), fmt)), pixels)


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP"])
def test_lossy_pictures_decode_near_their_pixels(fmt: str) -> None:
    pixels = np.full((16, 24, 3), (200, 100, 50), np.uint8)
    result = decode(encoded(Image.fromarray(pixels), fmt, quality=95))
    assert result.shape == pixels.shape
    assert np.abs(result.astype(int) - pixels).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_size_agrees(orientation: int) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(pixels), exif=exif)
    upright = decode(data)
    stored_on = {1: "left", 4: "left", 2: "right", 3: "right"}
    stored_on |= {5: "top", 6: "top", 7: "bottom", 8: "bottom"}
    halves = {
        "left": upright[:, : upright.shape[1] // 2],
        "right": upright[:, upright.shape[1] // 2 :],
        "top": upright[: upright.shape[0] // 2],
        "bottom": upright[upright.shape[0] // 2 :],
    }
    assert halves[stored_on[orientation]].min() == 255
    assert image_size(data) == (upright.shape[1], upright.shape[0])


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "LA", "RGBA"])
def test_every_mode_becomes_three_channels(mode: str) -> None:
    image = Image.fromarray(np.full((5, 6, 3), 255, np.uint8)).convert(mode)
    fmt = "JPEG" if mode == "CMYK" else "PNG"
    result = decode(encoded(image, fmt))
    assert result.shape == (5, 6, 3)
    assert result.min() >= 250


def test_sixteen_bit_grey_is_scaled_and_not_clipped() -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    result = decode(encoded(Image.fromarray(values)))
    assert result[0, :, 0].tolist() == [0, 1, 128, 255]


def test_transparent_pixels_are_black_in_files_and_in_arrays() -> None:
    pixels = np.array([[[200, 100, 50, 0], [200, 100, 50, 255], [200, 100, 50, 128]]], np.uint8)
    result = decode(encoded(Image.fromarray(pixels)))
    assert result[0].tolist() == [[0, 0, 0], [200, 100, 50], [100, 50, 25]]
    np.testing.assert_array_equal(result, as_rgb(pixels))


def in_space(pixels: np.ndarray, profile: bytes) -> bytes:
    """A picture of sRGB colours, as a camera of another colour space writes it."""
    source = ImageCms.createProfile("sRGB")
    target = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    made = ImageCms.profileToProfile(Image.fromarray(pixels), source, target, outputMode="RGB")
    return encoded(made, icc_profile=profile)


def rgb_profile(*primaries: tuple[float, float, float], gamma: float = 2.2) -> bytes:
    """A matrix profile of ICC version 2: three primaries (XYZ under D50) and a gamma."""

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    curve = b"curv" + bytes(4) + (1).to_bytes(4, "big") + round(gamma * 256).to_bytes(2, "big")
    tags = {
        f"{name}XYZ".encode(): b"XYZ " + bytes(4) + b"".join(map(fixed, xyz))
        for name, xyz in zip("rgb", primaries, strict=True)
    }
    tags |= {b"wtpt": b"XYZ " + bytes(4) + b"".join(map(fixed, (0.9642, 1, 0.8249)))}
    tags |= {f"{name}TRC".encode(): curve + bytes(2) for name in "rgb"}
    table, data = b"", b""
    for name, value in tags.items():
        at = 128 + 4 + 12 * len(tags) + len(data)
        table += name + at.to_bytes(4, "big") + len(value).to_bytes(4, "big")
        data += value
    body = len(tags).to_bytes(4, "big") + table + data
    head = (128 + len(body)).to_bytes(4, "big") + bytes(4) + b"\x02\x40\0\0mntrRGB XYZ "
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(map(fixed, (0.9642, 1, 0.8249)))
    return head.ljust(128, b"\0") + body


ADOBE = rgb_profile((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
P3 = rgb_profile((0.5151, 0.2412, -0.0011), (0.292, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


@pytest.mark.parametrize("profile", [ADOBE, P3], ids=["Adobe RGB", "Display P3"])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_profile_of_another_colour_space_becomes_srgb(profile: bytes, alpha: bool) -> None:
    colours = np.array([[[200, 60, 40], [30, 160, 90], [210, 170, 140], [20, 40, 160]]], np.uint8)
    data = in_space(colours, profile)
    stored = Image.open(io.BytesIO(data))
    assert np.abs(np.asarray(stored, int) - colours).max() > 15
    if alpha:
        stored.putalpha(255)
        data = encoded(stored, icc_profile=profile)
    assert np.abs(decode(data).astype(int) - colours).max() <= 3


@pytest.mark.parametrize("profile", [None, b"broken", ADOBE, P3], ids=["no", "bad", "Adobe", "P3"])
@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_the_scripts_of_cards_decode_as_we_do(
    mode: str, profile: bytes | None, tmp_path: Path
) -> None:
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    if mode == "I;16":
        image = Image.fromarray((np.asarray(colours.convert("L")).astype(np.uint16) * 211) + 77)
    else:
        image = colours.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(colours.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / ("x.jpg" if mode == "CMYK" else "x.png")
    image.save(path, exif=exif, **({} if profile is None else {"icc_profile": profile}))
    np.testing.assert_array_equal(np.asarray(upright(str(path))), decode(path))


@pytest.mark.parametrize(
    "profile",
    [b"rubbish", bytes(200), ADOBE[:150], ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()],
    ids=["rubbish", "zeros", "half", "sRGB"],
)  # fmt: skip
def test_a_profile_that_is_broken_or_srgb_changes_nothing(profile: bytes) -> None:
    for pixels in (gradient(9, 5), gradient(9, 5)[:, :, 0]):
        image = Image.fromarray(pixels)
        np.testing.assert_array_equal(decode(encoded(image, icc_profile=profile)), as_rgb(pixels))


@pytest.mark.parametrize("orientation", [1, 6, 7])
@pytest.mark.parametrize(
    ("fmt", "mode"), [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGBA"), ("PNG", "1"), ("PNG", "P")]
)
def test_a_large_picture_is_halved_and_its_coordinates_stay_those_of_the_file(
    fmt: str, mode: str, orientation: int
) -> None:
    pixels = np.zeros((101, 203, 3), np.uint8)
    pixels[48:64, 96:128] = 255  # of the file as it is stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(pixels).convert(mode), fmt, exif=exif)
    whole = decode(data)
    for most, scale in ((101 * 203, 1), (101 * 203 - 1, 2), (2000, 4)):
        with EncodedImage(data, reduce_over=most) as image:
            assert image.peak_bytes >= image.held_bytes
            photo = image.decode()
        assert photo.scale == scale
        assert photo.size == (whole.shape[1], whole.shape[0])
        rows, columns = np.nonzero(photo.pixels[:, :, 0] > 127)
        here = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        rows, columns = np.nonzero(whole[:, :, 0] > 127)
        file = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
        assert np.abs(photo.boxes_of_file(here) - file).max() <= scale
        np.testing.assert_array_equal(photo.boxes_here(photo.boxes_of_file(here)), here)
        points = here.reshape(2, 2)
        np.testing.assert_allclose(photo.points_here(photo.points_of_file(points)), points)
    assert photo.points_of_file(np.zeros(2)).tolist() == [1.5, 1.5]


def test_too_many_pixels_are_refused_by_the_header_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (100, 100)))
    monkeypatch.setattr(
        Image.Image, "load", lambda *_: pytest.fail("decoded before the size was checked")
    )
    with pytest.raises(ImageError, match="100x100 is more than 9999 pixels"):
        decode(data, max_pixels=9999)


def test_decompression_bomb_is_refused() -> None:
    data = bytearray(encoded(Image.new("1", (8, 8))))
    data[16:24] = (60000).to_bytes(4, "big") * 2  # the sides in the header
    with pytest.raises(ImageError):
        decode(bytes(data))


def test_too_many_bytes_are_refused(tmp_path: Path) -> None:
    data = encoded(Image.new("L", (4, 4)))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert decode(path, max_bytes=len(data)).shape == (4, 4, 3)
    for source in (path, data):
        with pytest.raises(ImageError, match="bytes"):
            decode(source, max_bytes=len(data) - 1)


@pytest.mark.parametrize("fmt", ["PNG", "JPEG", "WEBP", "BMP"])
def test_truncated_pictures_are_refused(fmt: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = encoded(Image.fromarray(noise), fmt)
    with pytest.raises(ImageError):
        decode(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("fmt", ["GIF", "TIFF", "PPM", "ICO"])
def test_formats_off_the_list_are_refused(fmt: str) -> None:
    with pytest.raises(ImageError, match="not a readable"):
        decode(encoded(Image.new("RGB", (16, 16)), fmt))


def test_message_names_the_path_and_the_reason_does_not(tmp_path: Path) -> None:
    missing = tmp_path / "nobody.jpg"
    with pytest.raises(DataError, match=r"nobody\.jpg: no such file") as caught:
        decode(missing)
    assert isinstance(caught.value, ImageError)
    assert caught.value.reason == "no such file"
    os.mkfifo(tmp_path / "pipe.jpg")
    for read in (decode, image_size):
        with pytest.raises(ImageError, match="no ordinary file"):
            read(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="no such file"):
        image_size(missing)
    with pytest.raises(ImageError, match="cannot be read"):
        decode(tmp_path)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "BMP"]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damaged_bytes_decode_or_raise_image_error(fmt: str, damage: list[tuple[int, int]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = bytearray(encoded(Image.fromarray(gradient(9, 8)), fmt, exif=exif))
    for position, value in damage:
        data[position % len(data)] = value
    try:
        result = decode(bytes(data), max_pixels=1_000_000)
    except ImageError:
        return
    assert result.dtype == np.uint8
    assert result.ndim == 3
    assert result.shape[2] == 3


@settings(max_examples=examples(100), deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", b"\xff\xd8\xff", b"BM", b"RIFF"]))
def test_arbitrary_bytes_raise_only_image_error(data: bytes, magic: bytes) -> None:
    with pytest.raises(ImageError):
        decode(magic + data, max_pixels=1_000_000)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros(4, np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_picture_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError):
        as_rgb(array)


def test_grey_arrays_are_repeated() -> None:
    grey = gradient(5, 4)[:, :, 0]
    for array in (grey, grey[:, :, None]):
        np.testing.assert_array_equal(as_rgb(array), np.stack([grey] * 3, axis=2))


def test_shrinking_averages_the_area() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    inner = resize(stripes, 8, 8)[:, 1:-1]  # at the rim half of the area is missing
    assert np.abs(inner.astype(int) - 128).max() <= 1


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(4, 64))
def test_letterbox_fits_any_shape_and_boxes_come_back(width: int, height: int, size: int) -> None:
    square, scale, pad_x, pad_y = letterbox(gradient(width, height), size, fill=7)
    assert square.shape == (size, size, 3)
    assert pad_x == int(pad_x)
    assert pad_y == int(pad_y)
    box = np.array([[0, 0, width, height]], np.float32)
    placed = box * scale + np.array([pad_x, pad_y, pad_x, pad_y])
    assert placed.min() >= -0.51
    assert placed.max() <= size + 0.51
    np.testing.assert_allclose(unletterbox_boxes(placed, scale, pad_x, pad_y), box, atol=1e-3)
    if pad_y >= 1:
        assert (square[0] == 7).all()


def test_letterbox_of_a_square_of_the_right_size_changes_nothing() -> None:
    square, scale, pad_x, pad_y = letterbox(gradient(20, 20), 20)
    np.testing.assert_array_equal(square, gradient(20, 20))
    assert (scale, pad_x, pad_y) == (1.0, 0.0, 0.0)


def test_crop_of_whole_pixels_copies_them() -> None:
    image = gradient(30, 20)
    np.testing.assert_array_equal(crop(image, (3, 5, 13, 15), 10), image[5:15, 3:13])


def test_crop_is_black_outside_of_the_picture() -> None:
    image = np.full((10, 10, 3), 255, np.uint8)
    result = crop(image, (-10, 0, 10, 20), 20)
    assert (result[:10, 10:] == 255).all()
    assert (result[10:] == 0).all()
    assert (result[:, :10] == 0).all()
    assert crop(image, (50, 50, 60, 60), 4).max() == 0


def test_crop_respects_fractions_of_a_pixel() -> None:
    ramp = np.repeat(np.arange(0, 200, 10, dtype=np.uint8)[None, :, None], 20, axis=0)
    result = crop(as_rgb(ramp), (4.5, 4, 12.5, 12), 8)
    np.testing.assert_array_equal(result[0, :-1, 0], np.arange(45, 115, 10))


@pytest.mark.parametrize(
    "box", [(5, 5, 5, 9), (9, 5, 5, 9), (0, 0, float("nan"), 5), (-1e9, -1e9, 1e9, 1e9)]
)
def test_crop_refuses_boxes_without_sense(box: tuple[float, ...]) -> None:
    with pytest.raises(ImageError, match="box"):
        crop(gradient(10, 10), box, 8)


@pytest.mark.parametrize("size", [0, -1, 100_000])
def test_sizes_without_sense_are_refused(size: int) -> None:
    with pytest.raises(ImageError, match="cannot make"):
        resize(gradient(4, 4), size, size)
