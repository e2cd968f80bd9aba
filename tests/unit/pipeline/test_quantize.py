"""An int8 variant from package to package: made, measured, gated, written, served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from facemodels.cli.main import main
from facemodels.data.sample import generate
from facemodels.data.splits import RecognitionSplit, save_group_names
from facemodels.errors import GateError, InputError
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
from facemodels.files import sha256_tree, write_json, write_yaml
from facemodels.names import ModelId
from facemodels.package.load import Package, open_package
from facemodels.params import Card, Gate, Int8, OperatingPoint
from facemodels.pipeline.package import package
from facemodels.pipeline.quantize import quantize
from facemodels.recognition.arcface import ArcFace
from facemodels.training.weights import save_state

NETWORK = {
    "backbone": "mobilefacenet", "image_size": 48, "embedding_size": 128, "dropout": 0.0,
    "crop": "arcface112",
}  # fmt: skip
CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="Tiny.", changelog="First.",
    known_issues="Knows nothing.", license="Apache-2.0", training_dataset="noise",
    parent_version="",
)  # fmt: skip
ANY_LOSS = Int8(most_loss=1)
VALIDATION = {"metrics": {"accuracy": 0.5}, "threshold": 0.4}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared") / "recognition"
    for split in ("val", "test"):
        generate.recognition_split(
            split, seed=1, identities=10, images_per_identity=3, image_size=112, folds=2,
            pairs_per_fold=20, crops=["arcface112"], workers=1,
        ).save(folder / split)  # fmt: skip
    save_group_names(folder, ("light", "medium", "dark"))
    return folder


def packaged(folder: Path, *, point: OperatingPoint | None = None) -> Package:
    """A network with random weights, which packages as a trained one."""
    torch.manual_seed(0)
    network = ArcFace.of(NETWORK).build().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.bias.normal_(0, 0.1)
    trained = folder / "trained"
    save_state(network.state_dict(), trained / "model.pt")
    described = {"task": "recognition", "architecture": "arcface", "network": NETWORK}
    write_yaml(trained / "config.yaml", described)
    write_json(trained / "training.json", {"origin": "trained", "initial_weights": None})
    built = package(
        weights=trained,
        model=ModelId.parse("rec-arcface-v1.0.0"),
        card=CARD,
        validation=VALIDATION,
        output=folder / "arcface-v1.0.0",
        operating_point=point,
    )
    return open_package(built)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packaged(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def variant(source: Package, prepared: Path) -> Package:
    folder = source.folder.with_name("arcface-v1.0.0-int8")
    quantize(source, prepared, folder, ANY_LOSS, {"auc": Gate(min=0)})
    return open_package(folder)


def test_a_variant_says_what_it_was_made_of_and_how(variant: Package, source: Package) -> None:
    assert str(variant.id) == "rec-arcface-v1.0.0-int8"
    assert variant.runtimes == ("onnx",)
    assert variant.config["precision"] == "int8"
    made = variant.metadata["int8"]
    assert made["source"] == "rec-arcface-v1.0.0"
    assert made["source_digest"] == f"sha256:{source.digest}"
    assert made["calibration"]["split"] == "val"
    assert made["calibration"]["images"] == 30
    assert made["operators"] == ["Conv", "Add"]
    assert made["primary"]["int8"] == variant.metadata["accuracy_metrics"]["accuracy"]
    assert variant.metadata["file_size_mb"] < 0.5 * source.metadata["file_size_mb"]
    text = (variant.folder / "README.md").read_text()
    assert "# recognition-arcface 1.0.0 (int8)" in text
    assert f"From rec-arcface-v1.0.0 (sha256:{source.digest})" in text


def test_a_variant_has_its_own_figures_threshold_and_embedding_space(
    variant: Package, source: Package
) -> None:
    metadata = variant.metadata
    assert {"accuracy", "auc", "fnmr"} <= metadata["accuracy_metrics"].keys()
    assert metadata["stamp"]["crop"] == "arcface112"
    assert metadata["threshold"] == variant.config["threshold"] != source.config["threshold"]
    assert metadata["embedding_space"] != source.metadata["embedding_space"]
    assert "onnx_max_abs_error" not in metadata


def test_a_variant_embeds_nearly_as_its_source(
    variant: Package, source: Package, prepared: Path
) -> None:
    faces = list(RecognitionSplit.load(prepared / "test").images[:6])
    one, other = (p.predictor(threads=1).embed(faces) for p in (source, variant))
    assert ((one * other).sum(axis=1) > 0.98).all()
    assert not np.array_equal(one, other)


def test_a_variant_has_the_same_bytes_each_time(
    variant: Package, source: Package, prepared: Path, tmp_path: Path
) -> None:
    quantize(source, prepared, tmp_path / "again", ANY_LOSS, {})
    assert sha256_tree(tmp_path / "again") == sha256_tree(variant.folder)


def test_a_threshold_of_other_data_is_kept(prepared: Path, tmp_path: Path) -> None:
    made = packaged(tmp_path, point=OperatingPoint(threshold=0.77, source="LFW View 1"))
    quantize(made, prepared, tmp_path / "int8", ANY_LOSS, {})
    opened = open_package(tmp_path / "int8")
    assert opened.config["threshold"] == opened.metadata["threshold"] == 0.77
    assert opened.metadata["threshold_source"] == "LFW View 1"


@pytest.mark.parametrize(("lost", "passes"), [(0.002, True), (0.003, False)])
def test_a_variant_that_loses_more_than_it_may_is_not_written(
    source: Package, prepared: Path, tmp_path: Path, monkeypatch, lost: float, passes: bool
) -> None:
    figures = [0.9, 0.9 - lost]  # of float32, then of int8

    def measured(*arguments) -> Evaluation:
        found = evaluate(*arguments)
        return replace(found, metrics={**found.metrics, "accuracy": figures.pop(0)})

    monkeypatch.setattr("facemodels.pipeline.quantize.evaluate", measured)
    how = Int8(images=6)  # 0.2 points
    if passes:
        quantize(source, prepared, tmp_path / "int8", how, {})
    else:
        with pytest.raises(GateError, match=r"int8 is below its gates: accuracy lost 0\.0030 is"):
            quantize(source, prepared, tmp_path / "int8", how, {})
    assert (tmp_path / "int8").exists() == passes


def test_a_variant_below_a_gate_of_its_model_is_not_written(
    source: Package, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match=r"accuracy .* is not ≥ 1.*Nothing is packaged"):
        quantize(source, prepared, tmp_path / "int8", ANY_LOSS, {"accuracy": Gate(min=1)})
    assert list(tmp_path.iterdir()) == []


def test_another_package_in_its_place_is_kept(
    source: Package, prepared: Path, tmp_path: Path
) -> None:
    taken = tmp_path / "int8"
    taken.mkdir()
    (taken / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="files that would be lost"):
        quantize(source, prepared, taken, ANY_LOSS, {})
    assert (taken / "notes.txt").read_text() == "mine"


def test_a_variant_of_a_variant_is_refused(
    variant: Package, prepared: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is a variant itself"):
        quantize(variant, prepared, tmp_path / "int8", ANY_LOSS, {})


def test_the_command_measures_first_and_writes_nothing_on_a_dry_run(
    source: Package, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no params.yaml: no gates
    options = ["--test-data", str(prepared), "--most-loss", "1", "--images", "6", "--dry-run"]
    done = CliRunner().invoke(main, ["quantize", str(source.folder), *options, "--output", "int8"])
    assert done.exit_code == 0, done.output
    assert "accuracy lost" in done.output
    assert "Would write int8" in done.output
    assert not Path("int8").exists()
