"""Faces turned and scaled so that their points lie where a template has them."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from facemodels.imaging import CROPS, Crop, ImageError, five_points, similarity, warp

TEMPLATE = np.array(CROPS["arcface112"].template)


def umeyama(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Umeyama's equations 38 to 43, by singular values."""
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(t.T @ s / len(s))
    sign = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    turn = u @ np.diag(sign) @ vt
    scale = (d * sign).sum() / (s**2).sum(axis=1).mean()
    return np.column_stack([scale * turn, mean_t - scale * turn @ mean_s])


@pytest.mark.parametrize("seed", range(20))
def test_the_similarity_is_that_of_umeyama(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(5, 2)) * 40 + 100
    np.testing.assert_allclose(similarity(source, TEMPLATE), umeyama(source, TEMPLATE), atol=1e-9)


@given(st.floats(0.05, 20), st.floats(-3, 3), st.floats(-500, 500), st.floats(-500, 500))
def test_a_face_that_was_moved_is_brought_back(
    scale: float, angle: float, x: float, y: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = similarity(TEMPLATE @ turn.T + [x, y], TEMPLATE)
    np.testing.assert_allclose(matrix[:, :2] @ turn, np.eye(2), atol=1e-6)


@pytest.mark.parametrize(
    "points", [np.zeros((5, 2)), np.full((5, 2), np.nan), np.ones((1, 2)), np.ones((5, 3))]
)
def test_points_that_say_nothing_are_refused(points: NDArray[np.float64]) -> None:
    with pytest.raises(ImageError):
        similarity(points, TEMPLATE[: len(points)])


def test_a_warp_by_whole_pixels_moves_them_unchanged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    moved = warp(image, np.array([[1.0, 0, -7], [0, 1, -5]]), 20)
    assert np.array_equal(moved, image[5:25, 7:27])


def test_a_warp_agrees_with_opencv() -> None:
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 100, 3), np.uint8), (0, 0), 3)
    matrix = similarity(TEMPLATE * 0.8 + rng.normal(size=(5, 2)), TEMPLATE)
    ours = warp(image, matrix, 112).astype(int)
    theirs = cv2.warpAffine(image, matrix, (112, 112), flags=cv2.INTER_LINEAR).astype(int)
    inside = cv2.warpAffine(np.ones_like(image), matrix, (112, 112), flags=cv2.INTER_NEAREST) > 0
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
    assert np.abs(ours - theirs)[inside].max() <= 3


def test_a_large_face_is_averaged_and_not_sampled() -> None:
    stripes = np.zeros((800, 800, 3), np.uint8)
    stripes[:, ::2] = 255
    small = warp(stripes, similarity(TEMPLATE * 8 - 50, TEMPLATE), 100)
    assert np.abs(small[10:90, 10:90].astype(int) - 127).max() <= 2


def test_what_lies_outside_of_the_image_is_black() -> None:
    image = np.full((30, 30, 3), 200, np.uint8)
    assert warp(image, np.array([[1.0, 0, 500], [0, 1, 500]]), 10).max() == 0


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_any_points_on_any_image_give_a_crop_or_a_named_error(
    width: int, height: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(5, 2)) * 10 ** rng.uniform(-6, 9)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    with contextlib.suppress(ImageError):
        assert CROPS["arcface112"].cut(image, points).shape == (112, 112, 3)


def test_five_points_of_68_are_eyes_nose_and_mouth() -> None:
    points = np.random.default_rng(0).normal(size=(3, 68, 2))
    found = five_points(points)
    assert found.shape == (3, 5, 2)
    np.testing.assert_allclose(found[1, 0], points[1, 36:42].mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found[2, 2:], points[2, [30, 48, 54]], atol=1e-6)


def test_a_crop_puts_the_points_on_its_template() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    points = TEMPLATE * 1.5 + [60, 40]
    for x, y in points.round().astype(int):
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    cut = CROPS["arcface112"].cut(image, points)
    for x, y in TEMPLATE.round().astype(int):
        assert cut[y, x].min() > 250


@pytest.mark.parametrize("crop", CROPS.values(), ids=CROPS.keys())
def test_a_crop_is_what_its_package_says(crop: Crop) -> None:
    assert Crop.of_config(crop.as_config()) == crop


def test_a_box_gets_the_margin_of_facenet_pytorch() -> None:
    """facenet-pytorch's `extract_face`: margin * side / (size - margin), half of it a side."""
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    box = np.array([50.0, 60, 123, 133])
    more = 14 * 73 / (160 - 14) / 2
    wide = Crop("plain", "box", 160)
    expected = wide.cut(image, box=[50 - more, 60 - more, 123 + more, 133 + more])
    assert np.array_equal(CROPS["facenet160"].cut(image, box=box), expected)


def test_an_image_without_a_face_is_a_crop_that_was_made_elsewhere() -> None:
    image = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    assert np.array_equal(CROPS["arcface112"].cut(image), image)
