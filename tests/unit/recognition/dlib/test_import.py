"""dlib's weights become a version of this repository: imported, exported, packaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from facemodels.data.sample.generate import recognition_split
from facemodels.errors import DataError, InputError
from facemodels.files import sha256
from facemodels.names import ModelId
from facemodels.package.load import open_package
from facemodels.params import Card
from facemodels.pipeline.package import package
from facemodels.pipeline.train import train
from facemodels.recognition.dlib import PRETRAINED, DlibEmbedder
from facemodels.recognition.dlib.dat_file import read
from facemodels.recognition.dlib.network import DlibResNet, load_dat
from facemodels.training.settings import TrainingSettings

ROOT = Path(__file__).resolve().parents[4]
CONF = yaml.safe_load((ROOT / "conf/model/recognition-dlib.yaml").read_text())
MODEL = DlibEmbedder.of(CONF["network"])
CARD = Card.model_validate(CONF["card"])


def settings(**changes: object) -> TrainingSettings:
    small = {"threads": 1, "batch_people": 2, "batch_images": 2, "warmup_steps": 1}
    return DlibEmbedder.settings({**CONF["train"], **small, **changes})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recognition")
    for name in ("train", "val"):
        recognition_split(
            name, seed=1, identities=4, images_per_identity=2, image_size=160,
            crops=["dlib150"], folds=1, pairs_per_fold=3, workers=1,
        ).save(folder / name)  # fmt: skip
    return folder


def trained(data: Path, output: Path, **changes: object) -> dict:
    train(
        MODEL, settings(**changes), data=data, output=output,
        curves_folder=output / "curves", checkpoints=output / "checkpoints",
    )  # fmt: skip
    return json.loads((output / "training.json").read_text())


@pytest.fixture(scope="module")
def imported(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    trained(data, folder)
    return folder


def test_by_default_dlibs_weights_are_imported_as_they_are(imported: Path) -> None:
    original = DlibResNet()
    load_dat(original, read(PRETRAINED.locate()), "the file")
    state = torch.load(imported / "model.pt", weights_only=True)
    assert all(torch.equal(state[key], value) for key, value in original.state_dict().items())


def test_the_record_says_that_they_are_imported_and_from_where(imported: Path) -> None:
    record = json.loads((imported / "training.json").read_text())
    assert record["origin"] == "imported"
    assert record["initial_weights"]["sha256"] == PRETRAINED.sha256
    assert record["initial_weights"]["license"] == "CC0-1.0"


def test_an_import_has_a_validation_for_the_curves(imported: Path) -> None:
    curve = (imported / "curves/plots/metrics/val_auc.tsv").read_text().splitlines()
    assert len(curve) == 2


def test_importing_again_gives_the_same_bytes(data: Path, imported: Path, tmp_path: Path) -> None:
    trained(data, tmp_path)
    for name in ("model.pt", "training.json", "config.yaml"):
        assert sha256(tmp_path / name) == sha256(imported / name)


def test_more_steps_fine_tune_and_say_so(data: Path, imported: Path, tmp_path: Path) -> None:
    record = trained(data, tmp_path, steps=2)
    assert record["origin"] == "trained"
    assert record["initial_weights"]["name"] == "dlib_face_recognition_resnet_model_v1.dat"
    before, after = (
        torch.load(folder / "model.pt", weights_only=True) for folder in (imported, tmp_path)
    )
    moved = max(float((before[key] - after[key]).abs().max()) for key in before)
    assert 0 < moved < 0.01


def test_fine_tuning_leaves_frozen_layers_to_the_bit_and_moves_the_others(
    data: Path, imported: Path, tmp_path: Path
) -> None:
    frozen = ["conv.*", "affine.*", "blocks.*"]
    factors = {"dense.*": 0.5}
    record = trained(data, tmp_path, steps=1, frozen=frozen, learning_rate_factors=factors)
    assert record["hyperparameters"]["frozen"] == frozen
    before, after = (
        torch.load(folder / "model.pt", weights_only=True) for folder in (imported, tmp_path)
    )
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {"dense.weight"}


def test_fine_tuning_goes_on_from_a_file_that_an_earlier_training_wrote(
    data: Path, imported: Path, tmp_path: Path
) -> None:
    file = imported / "model.pt"
    record = trained(data, tmp_path, init={"file": str(file), "sha256": sha256(file)})
    assert record["initial_weights"]["kind"] == "file"
    assert sha256(tmp_path / "model.pt") == sha256(file)


def test_a_file_of_other_bytes_trains_nothing(data: Path, imported: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="it was altered"):
        trained(data, tmp_path, init={"file": str(imported / "model.pt"), "sha256": "0" * 64})
    assert not list(tmp_path.glob("model.*"))


def test_its_package_states_the_crop_the_colours_and_the_import(
    imported: Path, tmp_path: Path
) -> None:
    folder = package(
        weights=imported, model=ModelId.parse("rec-dlib-v1.0.0"), card=CARD,
        validation={"metrics": {}, "threshold": 0.9}, output=tmp_path / "dlib-v1.0.0",
    )  # fmt: skip
    built = open_package(folder)
    preprocessing = built.config["preprocessing"]
    assert preprocessing["crop"]["name"] == "dlib150"
    assert (preprocessing["color"], preprocessing["scale"]) == ("RGB", 1 / 256)
    assert preprocessing["mean"] == [122.782, 117.001, 104.298]
    assert built.metadata["training"]["origin"] == "imported"
    assert built.metadata["onnx_max_abs_error"] < 1e-5
    assert "Imported, not trained" in (folder / "README.md").read_text()
    chips = np.random.default_rng(0).integers(0, 256, (3, 150, 150, 3), np.uint8)
    served, weights = (built.predictor(name, threads=1) for name in ("onnx", "torch"))
    np.testing.assert_allclose(served.embed(list(chips)), weights.embed(list(chips)), atol=1e-5)


def test_a_card_that_hides_the_terms_of_the_weights_is_refused(
    data: Path, imported: Path, tmp_path: Path
) -> None:
    """Terms of weights that others made hold for what is made of them."""
    file = imported / "model.pt"
    init = {"file": str(file), "sha256": sha256(file), "license": "LicenseRef-research"}
    trained(data, tmp_path / "trained", init=init)
    model, output = ModelId.parse("rec-dlib-v1.0.0"), tmp_path / "dlib-v1.0.0"
    with pytest.raises(InputError, match="LicenseRef-research"):
        package(
            weights=tmp_path / "trained", model=model, card=CARD, validation={}, output=output
        )  # fmt: skip
    honest = CARD.model_copy(update={"license": "LicenseRef-research"})
    assert package(
        weights=tmp_path / "trained", model=model, card=honest, validation={}, output=output
    ).is_dir()  # fmt: skip
