"""Size and sharpness of a face, and the least that is asked for."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest

from facemodels.system.quality import Quality, QualityLimits, measure, sharpness, shortfall

POINTS = np.array([[10, 20], [40, 60], [30, 50], [15, 70], [35, 75]], np.float32)


@pytest.fixture
def crop() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)


def test_the_size_is_the_distance_of_the_eyes(crop: np.ndarray) -> None:
    assert measure(POINTS, crop).eyes == 50.0


def test_sharpness_is_the_variance_of_opencvs_laplacian(crop: np.ndarray) -> None:
    grey = crop.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    second = cv2.Laplacian(grey, cv2.CV_32F, ksize=1)[1:-1, 1:-1].var()
    assert sharpness(crop) == pytest.approx(second, rel=1e-5)


def test_a_blurred_face_is_less_sharp_and_one_colour_is_not_sharp_at_all(crop: np.ndarray) -> None:
    blurred = cv2.GaussianBlur(crop, (0, 0), 2.0)
    assert 0 < sharpness(blurred) < sharpness(crop) / 10
    assert sharpness(np.full((112, 112, 3), 90, np.uint8)) == pytest.approx(0, abs=1e-6)


def test_what_a_face_lacks_is_told_with_the_value_and_the_limit() -> None:
    limits = QualityLimits(eyes=20, sharpness=100)
    assert shortfall(Quality(20, 100), limits) is None
    small = shortfall(Quality(12.34, 500), limits)
    blurred = shortfall(Quality(30, 7.5), limits)
    assert re.search(r"12\.3 .* 20", str(small))
    assert re.search(r"7\.5.* 100", str(blurred))


def test_no_limit_asks_for_nothing() -> None:
    assert shortfall(Quality(0.0, 0.0), QualityLimits()) is None
