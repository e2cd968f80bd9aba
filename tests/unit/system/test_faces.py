"""A photo to its faces, with small models in the place of the big ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from facemodels.detection.task import Detections
from facemodels.errors import InputError
from facemodels.imaging import crop_named, five_points
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.system.faces import FaceSystem
from facemodels.system.steps import step_times

Image = NDArray[np.uint8]
SHAPE = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)


@dataclass(frozen=True)
class KnownFaces:
    """A detector that knows where the faces are."""

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    gives_points: bool = True

    def detect(self, images: Sequence[Image]) -> list[Detections]:
        corners, sides = self.boxes[:, None, :2], (self.boxes[:, 2:] - self.boxes[:, :2])[:, None]
        points = corners + SHAPE[None] * sides
        return [Detections(self.boxes, self.scores, points if self.gives_points else None)]


class ShapeOfTheBox:
    """Landmarks that are spread over the box."""

    def fit(self, images: Sequence[Image], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        spread = np.random.default_rng(5).uniform(0, 1, (68, 2)).astype(np.float32)
        return boxes[:, None, :2] + spread[None] * (boxes[:, 2:] - boxes[:, :2])[:, None]


def mean_colours(batch: NDArray[np.float32]) -> NDArray[np.float32]:
    """A network whose rows depend on the batch, as those of some real runtimes do in last bits."""
    rows = batch.mean(axis=(2, 3)) + np.float32(len(batch)) / 1000
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def system(detector: KnownFaces, *, crop: str = "arcface112", landmarks: bool = False):
    preprocessing = Preprocessing(112, crop=crop_named(crop))
    embedder = Embedder(mean_colours, preprocessing, 3)
    return FaceSystem(detector, ShapeOfTheBox() if landmarks else None, embedder, 0.5)


@pytest.fixture
def photo() -> Image:
    return np.random.default_rng(2).integers(0, 256, (200, 300, 3), dtype=np.uint8)


@pytest.fixture
def two() -> KnownFaces:
    boxes = np.array([[10, 10, 90, 90], [150, 50, 280, 180], [0, 0, 20, 20]], np.float32)
    return KnownFaces(boxes, np.array([0.9, 0.8, 0.3], np.float32))


def test_faces_come_best_first_and_weak_ones_not_at_all(photo: Image, two: KnownFaces) -> None:
    faces = system(two).find(photo)
    assert [round(face.score, 6) for face in faces] == [0.9, 0.8]
    assert len(system(two).find(photo, min_score=0.2)) == 3


def test_an_embedding_does_not_depend_on_who_else_is_in_the_photo(
    photo: Image, two: KnownFaces
) -> None:
    alone = KnownFaces(two.boxes[1:2], two.scores[1:2])
    (face,) = system(alone).find(photo)
    assert face.embedding.tobytes() == system(two).find(photo)[1].embedding.tobytes()
    assert np.linalg.norm(face.embedding) == pytest.approx(1)


def test_the_crop_is_that_of_prepare_and_of_the_embedder(photo: Image, two: KnownFaces) -> None:
    built = system(two)
    face = built.find(photo)[0]
    alone = built.embedder.embed([photo], [face.points])[0]
    assert alone.tobytes() == face.embedding.tobytes()


def test_landmarks_give_the_five_points_where_the_system_has_them(
    photo: Image, two: KnownFaces
) -> None:
    boxes_alone = KnownFaces(two.boxes, two.scores, gives_points=False)
    face = system(boxes_alone, landmarks=True).find(photo)[0]
    expected = five_points(ShapeOfTheBox().fit([photo], two.boxes[:1]))[0]
    np.testing.assert_array_equal(face.points, expected)


def test_a_detector_of_boxes_alone_needs_landmarks(photo: Image, two: KnownFaces) -> None:
    boxes_alone = KnownFaces(two.boxes, two.scores, gives_points=False)
    with pytest.raises(InputError, match="no landmarks"):
        system(boxes_alone).find(photo)


def test_a_photo_without_faces_has_none(photo: Image) -> None:
    nobody = KnownFaces(np.empty((0, 4), np.float32), np.empty(0, np.float32))
    assert system(nobody).find(photo) == []


def test_a_recogniser_that_takes_no_face_out_of_a_photo_is_refused(two: KnownFaces) -> None:
    with pytest.raises(InputError, match="recogniser"):
        system(two, crop="centre112")


@pytest.mark.parametrize("landmarks", [True, False])
def test_each_step_of_a_photo_is_timed(photo: Image, two: KnownFaces, landmarks: bool) -> None:
    whole = system(two, landmarks=landmarks)
    times = step_times(whole, [photo] * 3)
    assert list(times) == ["detect", *(["landmarks"] * landmarks), "embed", "rest"]
    assert all(value > 0 for value in times.values())
