"""The stated preprocessing is tried against others on faces with known identities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facemodels.data.splits import RecognitionSplit
from facemodels.errors import DataError
from facemodels.imaging import crop_named
from facemodels.importing.alternatives import (
    CalibrationFaces,
    PreprocessingTrial,
    _Pairs,
    _Scored,
    calibration_faces,
    try_alternatives,
)
from facemodels.importing.recogniser import examine
from facemodels.recognition.metrics import auc
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.runtime import open_graph
from tests.unit.importing.conftest import SIDE
from tests.unit.importing.graphs import linear

TRUE = Preprocessing(SIDE, crop=crop_named("arcface112"))  # what the network was made with


@pytest.fixture(scope="session")
def people(faces: Path) -> CalibrationFaces:
    return calibration_faces(faces)


def tried(network: bytes, stated: Preprocessing, people: CalibrationFaces) -> PreprocessingTrial:
    return try_alternatives(examine(network, "x.onnx", stated).model(threads=1), people)


def test_the_true_preprocessing_is_left_alone(network: bytes, people: CalibrationFaces) -> None:
    trial = tried(network, TRUE, people)
    assert trial.best is None
    names = [one.way.name for one in trial.tried]
    assert names == [
        "as stated", "colour BGR", "scaling 0..1", "scaling raw 0..255",
        "scaling ImageNet's mean and deviation", "crop dlib150", "mirrored",
    ]  # fmt: skip
    assert trial.tried[0].auc > 0.9


def test_swapped_channels_are_found(network: bytes, people: CalibrationFaces) -> None:
    best = tried(network, replace(TRUE, colour="BGR"), people).best
    assert best is not None
    assert best.way.preprocessing == TRUE
    assert best.auc > best.stated
    assert best.low > 0


def test_a_wrong_crop_is_found(network: bytes, people: CalibrationFaces) -> None:
    best = tried(network, replace(TRUE, crop=crop_named("dlib150")), people).best
    assert best is not None
    assert best.way.preprocessing == TRUE


def test_two_mistakes_at_once_are_found_one_after_the_other(
    network: bytes, people: CalibrationFaces
) -> None:
    wrong = replace(TRUE, colour="BGR", crop=crop_named("dlib150"))
    best = tried(network, wrong, people).best
    assert best is not None
    assert best.way.preprocessing == TRUE
    assert ";" in best.way.name


def test_swapping_the_channels_swaps_their_means_and_scales_too(
    network: bytes, people: CalibrationFaces
) -> None:
    stated = replace(TRUE, mean=(120.0, 127.0, 130.0), scale=(0.008, 0.0078, 0.0076))
    (swapped,) = [
        one.way.preprocessing
        for one in tried(network, stated, people).tried
        if one.way.name == "colour BGR"
    ]
    assert swapped.mean == (130.0, 127.0, 120.0)
    assert swapped.scale == (0.0076, 0.0078, 0.008)


def test_chance_alone_makes_no_way_better(network: bytes, people: CalibrationFaces) -> None:
    """With people that are none, whichever way is ahead is so by chance."""
    for seed in range(2):
        nobody = np.random.default_rng(seed).permutation(people.person)
        trial = tried(network, TRUE, replace(people, person=nobody))
        assert trial.best is None
        assert not any(one.better for one in trial.tried)


def test_the_area_under_the_roc_is_that_of_the_pairs() -> None:
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(6), 3)
    vectors = rng.normal(size=(18, 4)).round(1)  # with equal scores
    embeddings = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    embeddings[3] = embeddings[0]
    pairs = _Pairs.of(person)
    scores = np.einsum("pd,pd->p", embeddings[pairs.rows[0]], embeddings[pairs.rows[1]])
    scored = _Scored.of(embeddings, pairs)
    assert scored.auc() == pytest.approx(auc(scores, pairs.same))
    # Drawn people, written out: genuine pairs count w times, impostor pairs w * w times.
    drawn = np.array([0, 0, 1, 3, 3, 3])
    counts = np.bincount(drawn, minlength=6)
    weight = np.where(pairs.same, counts[pairs.first], counts[pairs.first] * counts[pairs.second])
    rows = np.repeat(np.arange(len(scores)), weight)
    assert scored.auc(drawn) == pytest.approx(auc(scores[rows], pairs.same[rows]))


def test_nothing_of_the_test_split_is_looked_at(faces: Path, people: CalibrationFaces) -> None:
    test = RecognitionSplit.load(faces / "test", "arcface112").images
    for image in test:
        assert not (people.crops["arcface112"] == image).all(axis=(1, 2, 3)).any()
    assert people.person.max() + 1 == 45
    assert len(people.person) == 180


def test_the_number_of_people_is_bounded(faces: Path) -> None:
    few = calibration_faces(faces, people=25)
    assert few.person.max() + 1 == 25
    assert set(few.crops) == {"arcface112", "dlib150"}


def test_data_without_people_of_two_faces_is_refused(faces: Path, tmp_path: Path) -> None:
    for name in ("val", "train"):
        split = RecognitionSplit.load(faces / name)
        replace(split, found=np.zeros(len(split), np.bool_)).save(tmp_path / name)
    with pytest.raises(DataError, match="fewer than two people"):
        calibration_faces(tmp_path)


def test_a_way_that_gives_no_numbers_loses(people: CalibrationFaces) -> None:
    def run(batch: np.ndarray) -> np.ndarray:
        rows = open_graph(GRAPH, threads=1).run(batch)
        return np.where(np.abs(batch).max() > 100, np.nan, rows).astype(np.float32)

    model = Embedder(run, TRUE, 16)
    found = {one.way.name: one for one in try_alternatives(model, people).tried}
    assert found["scaling raw 0..255"].auc == pytest.approx(0.5)


GRAPH = examine(
    linear(weights=np.random.default_rng(0).normal(0, 1, (3 * SIDE * SIDE, 16)).astype("f4"), size=SIDE),
    "x.onnx",
    TRUE,
).graph  # fmt: skip
