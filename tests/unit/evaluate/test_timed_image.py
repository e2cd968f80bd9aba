from __future__ import annotations

import numpy as np
import pytest

from facemodels.detection.mtcnn import AUTHORS, Mtcnn, networks
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.detection.mtcnn.cascade import Cascade
from facemodels.evaluate.timed_image import timed_image


@pytest.mark.parametrize("size", [112, 160, 320])
def test_a_cascade_goes_through_all_of_its_networks(size: int) -> None:
    model = Mtcnn.of({"factor": 0.709, "max_pixels": 2_500_000})
    runs = networks.pretrained(authors_weights().path).runs()
    (found,) = Cascade(runs, model.cascade_settings(AUTHORS)).detect([timed_image(size)])
    assert len(found) == 4


def test_it_is_the_same_image_every_time() -> None:
    image = timed_image(80)
    assert image.shape == (80, 80, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image, timed_image(80))
