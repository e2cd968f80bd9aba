"""A system is judged from the photo on: what detection loses counts as not matched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from facemodels.data.sample.generate import photo_split
from facemodels.data.splits import PhotoSplit, save_group_names
from facemodels.detection.task import Detections
from facemodels.evaluate.protocols import evaluate
from facemodels.evaluate.system import FMR, acquire
from facemodels.imaging import crop_named
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.system.faces import FaceSystem

SHAPE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


class Sees:
    """A detector that knows the boxes of a split, all of them or a share."""

    def __init__(self, split: PhotoSplit, *, every: int = 1, shift: float = 0.0) -> None:
        self.faces = {
            split.images[index].tobytes(): split.boxes_of(index)[::every] + np.float32(shift)
            for index in range(len(split))
        }

    def detect(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        found = []
        for image in images:
            boxes = self.faces[image.tobytes()]
            points = boxes[:, None, :2] + SHAPE * (boxes[:, None, 2:] - boxes[:, None, :2])
            scores = np.linspace(0.99, 0.9, len(boxes), dtype=np.float32)
            found.append(Detections(boxes, scores, points))
        return found


def thumbnails(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """A face as its colours in 4 × 4 fields: of one person they are alike, up to a point."""
    rows = batch.reshape(len(batch), 3, 4, 28, 4, 28).mean(axis=(3, 5)).reshape(len(batch), -1)
    rows = rows - rows.mean(axis=1, keepdims=True) + np.float32(1e-6)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def system(detector: Sees) -> FaceSystem:
    preprocessing = Preprocessing(112, crop=crop_named("arcface112"))
    return FaceSystem(detector, None, Embedder(thumbnails, preprocessing, 48), 0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in ("val", "test"):
        made = photo_split(name, seed=1, people=12, photos=15, image_size=120, workers=1)
        made.save(folder / name)
    save_group_names(folder, ("light", "medium", "dark"))
    return folder


@pytest.fixture(scope="module")
def both(data: Path) -> PhotoSplit:
    """The photos of val and test in one, for a detector that must know all of them."""
    val, test = (PhotoSplit.load(data / name) for name in ("val", "test"))
    return PhotoSplit(
        images=np.concatenate([val.images, test.images]),
        boxes=np.concatenate([val.boxes, test.boxes]),
        box_image=np.concatenate([val.box_image, test.box_image + np.int32(len(val))]),
        box_group=np.concatenate([val.box_group, test.box_group]),
        person=np.concatenate([val.person, test.person]),
    )


def test_the_same_people_meet_in_many_photos_and_no_split_shares_them(both: PhotoSplit) -> None:
    people, counts = np.unique(both.person, return_counts=True)
    assert len(people) == 24
    assert counts.min() >= 2
    for index in range(len(both)):
        together = both.person[both.box_image == index]
        assert len(set(together.tolist())) == len(together)


def test_a_detector_that_sees_everybody_acquires_everybody(data: Path, both: PhotoSplit) -> None:
    found = evaluate("system", system(Sees(both)), data)
    assert found.metrics["recall"] == 1
    assert found.metrics["failure_to_acquire"] == 0
    assert found.metrics["other_faces"] == 0
    assert found.metrics["fmr"] <= 3 * FMR  # chosen on val
    assert 0 < found.metrics["fnmr"] < 1
    assert found.stamp["crop"] == "arcface112"


def test_faces_that_are_not_found_match_nobody(data: Path, both: PhotoSplit) -> None:
    every, half = (evaluate("system", system(Sees(both, every=n)), data) for n in (1, 2))
    assert half.metrics["recall"] < 0.8
    assert half.metrics["fnmr"] > every.metrics["fnmr"]
    assert half.metrics["rank1"] < every.metrics["rank1"]


def test_a_box_beside_the_face_is_another_face(both: PhotoSplit) -> None:
    acquired = acquire(system(Sees(both, shift=14.0)), both, "photos")
    assert acquired.found.sum() == 0
    assert acquired.others == len(both.boxes)


def test_where_only_the_person_is_known_the_face_in_the_middle_is_meant(both: PhotoSplit) -> None:
    first = next(i for i in range(len(both)) if len(both.boxes_of(i)) > 1)
    boxes = both.boxes_of(first)
    middle = np.argmin((((boxes[:, :2] + boxes[:, 2:]) / 2 - 60) ** 2).sum(axis=1))
    alone = PhotoSplit(
        images=both.images[first : first + 1],
        boxes=np.full((1, 4), np.nan, np.float32),
        box_image=np.zeros(1, np.int32),
        box_group=np.zeros(1, np.int8),
        person=np.array([7], np.int32),
    )
    model = system(Sees(both))
    acquired = acquire(model, alone, "photo")
    face = next(f for f in model.find(alone.images[0]) if (f.box == boxes[middle]).all())
    assert acquired.found.all()
    assert acquired.embeddings[0].tobytes() == face.embedding.tobytes()
    assert acquired.others == 0
