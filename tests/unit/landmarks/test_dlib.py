from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample.generate import landmark_split
from facemodels.data.splits import LandmarkSplit
from facemodels.errors import DataError, FacemodelsError, InputError, RuleError
from facemodels.files import sha256
from facemodels.landmarks.batches import MIRROR, with_mirrored
from facemodels.landmarks.dlib import PRETRAINED, Dlib, DlibTraining
from facemodels.landmarks.metrics import nme
from facemodels.names import ModelId
from facemodels.package.load import open_package
from facemodels.params import Card
from facemodels.pipeline.package import package
from facemodels.pipeline.train import train
from facemodels.registry import policy

ROOT = Path(__file__).resolve().parents[3]

MODEL = Dlib.of({
    "tree_depth": 3, "cascade_depth": 4, "trees_per_cascade": 30,
    "feature_pool_size": 200, "feature_pool_padding": 0.1,
})  # fmt: skip
TRAINING = Dlib.settings({
    "seed": 1, "threads": 2, "mirror": True, "nu": 0.1, "oversampling": 3,
    "oversampling_jitter": 0.0, "lambda_param": 0.1, "test_splits": 20,
})  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("landmarks")
    for name, faces in (("train", 40), ("val", 10), ("test", 10)):
        split = landmark_split(name, seed=1, faces=faces, image_size=96, workers=1)
        split.save(folder / name)
    return folder


def _train(data: Path, output: Path, settings: DlibTraining = TRAINING) -> list[dict[str, float]]:
    output.mkdir()
    records: list[dict[str, float]] = []
    MODEL.train(
        settings,
        TrainJob(
            data=data,
            output=output,
            checkpoint=output / "c",
            advance=lambda n: None,
            log=records.append,
        ),
    )
    return records


def test_training_beats_the_mean_shape_and_repeats_its_bytes(data: Path, tmp_path: Path) -> None:
    records = _train(data, tmp_path / "one")
    _train(data, tmp_path / "other")
    one, other = ((tmp_path / n / "model.dat").read_bytes() for n in ("one", "other"))
    assert one == other
    model = MODEL.load(tmp_path / "one/model.dat", threads=1)
    mean = MODEL.untrained(data, seed=1)
    test = LandmarkSplit.load(data / "test")
    error, baseline = (
        nme(m.fit(list(test.images), test.boxes), test.points).mean() for m in (model, mean)
    )
    assert error < 0.7 * baseline
    assert records[0]["loss"] < records[0]["val_nme"]


def test_the_pretrained_predictor_is_imported_as_it_is_and_knows_generated_faces_too(
    data: Path, tmp_path: Path
) -> None:
    """It was trained on photos of people; on generated faces it is far better than the mean."""
    settings = TRAINING.model_copy(update={"init": "pretrained"})
    records = _train(data, tmp_path / "imported", settings)
    assert sha256(tmp_path / "imported/model.dat") == PRETRAINED.sha256
    assert MODEL.is_imported(settings)
    assert not MODEL.is_imported(TRAINING)
    assert records[0]["val_nme"] < 0.08


def test_its_terms_reach_the_package_and_the_projects_list_of_licences_refuses_them(
    data: Path, tmp_path: Path
) -> None:
    """300-W is for non-commercial research, and so is what was trained on it."""
    settings = TRAINING.model_copy(update={"init": "pretrained"})
    trained = tmp_path / "trained"
    train(
        MODEL, settings, data=data, output=trained, curves_folder=trained / "curves",
        checkpoints=tmp_path / "checkpoints",
    )  # fmt: skip
    card = Card.model_validate(
        yaml.safe_load((ROOT / "conf/model/landmark-dlib.yaml").read_text())["card"]
    )
    arguments = {
        "weights": trained, "model": ModelId.parse("lmk-dlib-v1.0.0"), "validation": {},
        "output": tmp_path / "dlib-v1.0.0",
    }  # fmt: skip
    with pytest.raises(InputError, match="card's licence is Apache"):
        package(card=card, **arguments)
    honest = card.model_copy(update={"license": PRETRAINED.license})
    built = open_package(package(card=honest, **arguments))
    assert built.config["preprocessing"]["box"]["convention"] == "hairline"
    assert built.metadata["license"] == PRETRAINED.license
    assert built.metadata["training"]["initial_weights"]["sha256"] == PRETRAINED.sha256
    with pytest.raises(RuleError, match="LicenseRef-300-W-non-commercial"):
        policy.load(ROOT).require_license("lmk-dlib-v1.0.0", built.metadata["license"])


def test_a_file_that_is_no_predictor_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.dat").write_bytes(b"no trees")
    with pytest.raises(DataError, match="no shape predictor"):
        MODEL.load(tmp_path / "model.dat", threads=1)


def test_the_mirror_order_undoes_itself() -> None:
    assert sorted(MIRROR) == list(range(68))
    assert np.array_equal(MIRROR[MIRROR], np.arange(68))


def test_a_mirrored_face_has_its_points_in_order_and_inside_its_box(data: Path) -> None:
    split = LandmarkSplit.load(data / "val")
    both = with_mirrored(split)
    mirrored = both.points[len(split) :]
    # The order of jaw, eyes and mouth from left to right is the same in every face.
    for left, right in ((0, 16), (36, 45), (48, 54), (17, 26), (31, 35)):
        assert (mirrored[:, left, 0] < mirrored[:, right, 0]).all()
    again = with_mirrored(
        LandmarkSplit(both.images[len(split) :], both.boxes[len(split) :], mirrored, split.groups)
    )
    np.testing.assert_allclose(again.points[len(split) :], split.points, atol=1e-4)
    np.testing.assert_allclose(again.boxes[len(split) :], split.boxes, atol=1e-4)
    assert np.array_equal(again.images[len(split) :], split.images)


def test_epochs_are_refused_with_the_remedy() -> None:
    with pytest.raises(FacemodelsError, match="cascade_depth"):
        MODEL.budget(TRAINING, epochs=3, images=10)


def test_a_landmark_model_has_no_onnx_form(tmp_path: Path) -> None:
    with pytest.raises(FacemodelsError, match="ONNX"):
        MODEL.export(tmp_path / "model.dat", tmp_path / "model.onnx")
