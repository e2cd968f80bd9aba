"""What every package must do, whatever its architecture. Run by the stage `benchmark`."""

from __future__ import annotations

import io
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels import imaging, models
from facemodels.detection.task import to_input
from facemodels.package.load import Package

SCORE_TOLERANCE = 0.01  # of a detector's score from 0 to 1, between two forms of its weights


def _png(image: Image.Image, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def _assert_in_range(package: Package, output: np.ndarray, width: int, height: int) -> None:
    embeds = package.task == "system"
    assert output.dtype == np.float32
    assert np.isfinite(output).all()
    if package.task == "recognition":
        assert output.shape == tuple(package.metadata["output_shape"])
        assert np.linalg.norm(output) == pytest.approx(1, abs=1e-4)
    elif package.task in ("detection", "system"):
        assert output.ndim == 2
        assert output.shape[1] == (package.metadata["output_shape"][1] if embeds else 5)
        assert ((output[:, 4] >= 0) & (output[:, 4] <= 1)).all()
        assert (output[:, :4] >= 0).all()
        assert (output[:, [0, 2]] <= width).all()
        assert (output[:, [1, 3]] <= height).all()
        assert (np.diff(output[:, 4]) <= 0).all()
        if embeds:
            assert np.linalg.norm(output[:, 5:], axis=1) == pytest.approx(1, abs=1e-4)
    else:
        assert output.shape == (68, 2)
        assert np.abs(output).max() < 3 * max(width, height)


def test_metadata_has_the_fields_of_the_guide(package: Package) -> None:
    wanted = {
        "name", "version", "created_at", "framework", "framework_version", "architecture",
        "input_shape", "output_shape", "training_dataset", "accuracy_metrics", "file_size_mb",
        "checksum", "author", "description",
    }  # fmt: skip
    assert wanted <= package.metadata.keys()


def test_sha256sum_accepts_the_checksums(package: Package) -> None:
    command = ["sha256sum", "--check", "--strict", "--quiet", "checksums.sha256"]
    done = subprocess.run(command, cwd=package.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_faces_give_outputs_of_the_promised_shape_type_and_range(package, predict, faces) -> None:
    for output in predict(faces):
        _assert_in_range(package, output, 160, 160)


def test_the_same_image_gives_the_same_output(package, predict, faces) -> None:
    first, second = predict(faces), predict(faces)
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one, other)


def test_an_image_gives_the_same_output_alone_and_in_a_batch(package, predict, faces) -> None:
    together = predict(faces)
    for image, output in zip(faces, together, strict=True):
        alone = predict([image])[0]
        assert alone.shape == output.shape
        np.testing.assert_allclose(alone, output, atol=1e-3, rtol=1e-3)


def test_different_faces_give_different_outputs(package, predict, faces) -> None:
    if package.task == "detection" and package.runtimes[0] == "onnx":
        # Whether a score passes the floor is a matter of accuracy, which validate judges.
        detector = package.predictor(threads=1)
        squares = [imaging.letterbox(face, detector.image_size)[0] for face in faces]
        outputs = list(detector.run(to_input(np.stack(squares))))
    else:
        # A face that a system's detector does not find gives none; that too is accuracy.
        outputs = [output for output in predict(faces) if len(output)]
    assert not any(np.array_equal(one, other) for one, other in pairwise(outputs))


def test_no_images_give_no_outputs(package, predict) -> None:
    assert len(predict([])) == 0


@pytest.mark.parametrize("value", [0, 127, 255])
def test_a_blank_image_is_survived(package, predict, value: int) -> None:
    image = np.full((160, 160, 3), value, np.uint8)
    _assert_in_range(package, predict([image])[0], 160, 160)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (8, 300), (300, 8)])
def test_tiny_and_narrow_images_are_survived(package, predict, width: int, height: int) -> None:
    image = np.full((height, width, 3), 100, np.uint8)
    _assert_in_range(package, predict([image])[0], width, height)


def test_a_huge_image_is_survived(package, predict) -> None:
    image = np.zeros((3000, 4000, 3), np.uint8)
    image[1000:2000, 1500:2500] = 180
    _assert_in_range(package, predict([image])[0], 4000, 3000)


def test_a_grayscale_image_is_read_as_rgb(package, predict, faces) -> None:
    gray = np.asarray(Image.fromarray(faces[0]).convert("L"))
    decoded = imaging.decode(_png(Image.fromarray(gray)))
    assert np.array_equal(predict([gray])[0], predict([decoded])[0])
    _assert_in_range(package, predict([gray])[0], 160, 160)


def test_an_opaque_rgba_image_is_read_as_rgb(package, predict, faces) -> None:
    rgba = np.dstack([faces[0], np.full((160, 160), 255, np.uint8)])
    assert np.array_equal(predict([rgba])[0], predict([faces[0]])[0])


def test_an_exif_rotated_image_is_read_as_it_is_shown(package, predict, faces) -> None:
    stored = Image.fromarray(faces[0]).transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 270 degrees, which undoes the rotation
    shown = imaging.decode(_png(stored, exif=exif))
    assert np.array_equal(shown, faces[0])
    assert np.array_equal(predict([shown])[0], predict([faces[0]])[0])


def test_an_image_without_pixels_is_refused_by_name(package, predict) -> None:
    with pytest.raises(imaging.ImageError):
        predict([np.zeros((0, 10, 3), np.uint8)])


def test_every_form_of_the_weights_gives_the_same_answer(package, faces) -> None:
    if len(package.runtimes) < 2:
        pytest.skip("the architecture has one form only")
    forms = [package.predictor(runtime, threads=1) for runtime in package.runtimes]
    one, other = (models.predict(package.task, form, faces) for form in forms)
    if package.task == "detection":
        for first, second in zip(one, other, strict=True):
            assert_same_faces(first, second, package.config["threshold"])
        return
    tolerance = 1e-4 if package.task == "recognition" else 0.1
    for first, second in zip(one, other, strict=True):
        np.testing.assert_allclose(first, second, atol=tolerance)


def assert_same_faces(one: np.ndarray, other: np.ndarray, threshold: float) -> None:
    """Each face clearly above the threshold has its counterpart, in place and in score.

    A face at the threshold may be above it in one form only, so that counts would not do.
    """
    for first, second in ((one, other), (other, one)):
        for face in first[first[:, 4] > threshold + SCORE_TOLERANCE]:
            there = np.abs(second[:, :4] - face[:4]).max(axis=1) <= 0.1  # pixels
            assert there.any(), f"only one form finds {face}"
            assert np.abs(second[there, 4] - face[4]).min() <= SCORE_TOLERANCE


def test_the_package_holds_no_path_of_the_machine(package) -> None:
    places = (Path.home(), Path.cwd(), tempfile.gettempdir())
    words = [str(place).encode() for place in places]
    for path in sorted(path for path in package.folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        assert not [word for word in words if len(word) > 3 and word in data], path.name
