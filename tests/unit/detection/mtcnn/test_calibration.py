from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample import generate
from facemodels.detection.mtcnn import AUTHORS, Mtcnn
from facemodels.detection.mtcnn.authors import PINNED, authors_weights
from facemodels.detection.mtcnn.calibration import MtcnnTraining, Scenes, Values, calibrate
from facemodels.errors import FacemodelsError, ParamsError

TRAINING = {
    "seed": 1, "threads": 1, "scenes": 3, "margin": 0.01, "min_face_size": [20, 14],
    "pnet": [0.6, 0.5], "rnet": [0.7], "onet": [0.7, 0.8, 0.9],
}  # fmt: skip
NETWORK = {"factor": 0.709, "max_pixels": 2_500_000}


def chosen(f1_of: Callable[[Values], float]) -> Values:
    trials = list(calibrate(MtcnnTraining.model_validate(TRAINING), f1_of))
    assert len(trials) == MtcnnTraining.model_validate(TRAINING).trials == 5
    return trials[-1][1].values


def test_the_authors_values_stay_where_no_other_is_better_by_the_margin() -> None:
    assert chosen(lambda values: 0.9) == AUTHORS
    assert chosen(lambda values: 0.9 if values == AUTHORS else 0.905) == AUTHORS


def test_a_value_that_is_better_by_more_than_the_margin_is_chosen_and_kept() -> None:
    values = chosen(
        lambda values: 0.5 + 0.2 * (values["onet"] == 0.8) + 0.1 * (values["pnet"] == 0.5)
    )
    assert values == {"min_face_size": 20, "pnet": 0.5, "rnet": 0.7, "onet": 0.8}


def test_of_several_better_values_the_best_is_chosen() -> None:
    assert chosen(lambda values: values["onet"])["onet"] == 0.9
    assert chosen(lambda values: {0.7: 0.1, 0.8: 0.9, 0.9: 0.5}[values["onet"]])["onet"] == 0.8


def test_scenes_are_drawn_by_the_seed_alone() -> None:
    split = generate.detection_split("train", seed=1, scenes=6, image_size=96, workers=1)
    one, same, other = (Scenes.drawn(split, 3, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.images, same.images)
    assert not np.array_equal(one.images, other.images)
    assert len(Scenes.drawn(split, 100, seed=1).images) == 6


def test_a_calibration_keeps_the_authors_weights_and_records_every_trial(tmp_path: Path) -> None:
    for number, name in enumerate(("train", "val")):
        split = generate.detection_split(name, seed=number, scenes=3, image_size=120, workers=1)
        split.save(tmp_path / "data" / name)
    records: list[dict] = []
    job = TrainJob(
        data=tmp_path / "data", output=tmp_path, checkpoint=tmp_path / "checkpoint",
        advance=lambda units: None, log=lambda record: records.append(dict(record)),
    )  # fmt: skip
    model = Mtcnn.of(NETWORK)
    model.train(model.settings(TRAINING), job)
    import torch

    state = torch.load(tmp_path / "model.pt", weights_only=True)
    for name in PINNED:
        authors = torch.load(authors_weights().path / f"{name}.pt", weights_only=True)
        assert all(torch.equal(state[f"{name}.{key}"], value) for key, value in authors.items())
    assert [record["step"] for record in records] == [0, 1, 2, 3, 4]
    assert all(
        {"loss", "val_f1", "val_recall", "pnet", "onet"} <= record.keys() for record in records
    )
    assert model.is_imported(model.settings(TRAINING))
    assert model.load(tmp_path / "model.pt", threads=1).settings.min_face_size in (20, 14)


def test_passes_and_other_weights_are_refused() -> None:
    with pytest.raises(FacemodelsError, match="calibrate thresholds"):
        Mtcnn.of(NETWORK).budget(Mtcnn.settings(TRAINING), epochs=3, images=10)
    with pytest.raises(ParamsError, match="init"):
        Mtcnn.settings({**TRAINING, "init": "scratch"})
