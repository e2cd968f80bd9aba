"""The stated preprocessing of a detector is tried against others on scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facemodels.data.splits import DetectionSplit
from facemodels.detection.decodes.heads import HeadDetector, HeadSettings, PictureInput
from facemodels.detection.decodes.yolov8 import candidates
from facemodels.importing.detector_trial import best, try_pictures

SIDE = 48
TRUE = PictureInput(
    size=SIDE, color="RGB", mean=(127.5, 127.5, 127.5), scale=(1 / 128, 1 / 128, 1 / 128)
)


def finds_red(batch: np.ndarray) -> tuple[np.ndarray, ...]:
    """A detector of one box: where the first channel is high and the others are low, about -1..1."""
    first, *others = batch[0]
    rows, columns = np.nonzero((first > 0.5) & (first < 1.5) & (np.max(others, axis=0) < -0.5))
    if not len(rows):
        return (np.array([[[1.0], [1.0], [2.0], [2.0], [0.1]]], np.float32),)
    x0, x1, y0, y1 = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    box = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 0.9]
    return (np.array(box, np.float32)[None, :, None],)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scenes with one red and one blue square each; the red ones are the faces."""
    rng = np.random.default_rng(0)
    images = np.full((12, SIDE, SIDE, 3), 100, np.uint8)
    boxes = []
    for image in images:
        x, y = rng.integers(2, 14, 2)
        image[y : y + 12, x : x + 12] = (250, 10, 10)
        image[y + 18 : y + 30, x + 18 : x + 30] = (10, 10, 250)
        boxes.append([x, y, x + 12, y + 12])
    folder = tmp_path_factory.mktemp("scenes")
    DetectionSplit(
        images=images,
        boxes=np.array(boxes, np.float32),
        box_image=np.arange(12, dtype=np.int32),
        box_group=np.full(12, -1, np.int8),
    ).save(folder / "val")
    return folder


def test_swapped_channels_are_found(data: Path) -> None:
    wrong = HeadDetector(
        finds_red, TRUE.model_copy(update={"color": "BGR"}), candidates, HeadSettings()
    )
    tried = try_pictures(wrong, data)
    found = best(tried)
    assert found is not None
    assert found.picture == TRUE
    assert (tried[0].name, found.name) == ("as stated", "colour RGB")
    assert found.low > 0
    assert found.ap > 0.9 > found.stated


def test_the_true_preprocessing_is_left_alone(data: Path) -> None:
    tried = try_pictures(HeadDetector(finds_red, TRUE, candidates, HeadSettings()), data)
    assert best(tried) is None
    assert len(tried) == 5
    assert tried[0].ap > 0.9
