"""Which bump two real packages ask for, decided on real predictions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample.generate import landmark_split, recognition_split
from facemodels.data.splits import save_group_names
from facemodels.errors import GateError, InputError, RuleError
from facemodels.files import write_json, write_yaml
from facemodels.landmarks.dlib import Dlib
from facemodels.names import ModelId, Version
from facemodels.package.build import PackageContent, build
from facemodels.package.load import Package, open_package
from facemodels.params import Card, Compare
from facemodels.recognition.arcface import ArcFace
from facemodels.registry import semver
from facemodels.registry.bump import compare, require_shown_claim
from facemodels.training.weights import save_state

SETTINGS = Compare(
    baselines={}, resamples=200, confidence=0.95, seed=1, threads=1, warmup=0, runs=2
)
CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="A test model.",
    changelog="First.", known_issues="None.", license="Apache-2.0", training_dataset="sample",
    parent_version="",
)  # fmt: skip
TRAINING = {
    "seed": 1, "threads": 1, "mirror": False, "nu": 0.1, "oversampling": 5,
    "oversampling_jitter": 0.0, "lambda_param": 0.1, "test_splits": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, faces in (("train", 60), ("val", 4), ("test", 60)):
        landmark_split(name, seed=1, faces=faces, image_size=80, workers=1).save(folder / name)
    save_group_names(folder, ("light", "medium", "dark"))
    return folder


@pytest.fixture(scope="module")
def packages(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    """A coarse and a fine predictor, each as a package."""
    made = {}
    for name, cascade, version in (("coarse", 1, "1.0.0"), ("fine", 10, "1.1.0")):
        folder = tmp_path_factory.mktemp(name)
        network = {
            "tree_depth": 3, "cascade_depth": cascade, "trees_per_cascade": 20,
            "feature_pool_size": 100, "feature_pool_padding": 0.1,
        }  # fmt: skip
        job = TrainJob(
            data=data, output=folder, checkpoint=folder / "c",
            advance=lambda n: None, log=lambda record: None,
        )  # fmt: skip
        model = Dlib.of(network)
        model.train(Dlib.settings(TRAINING), job)
        write_json(folder / "training.json", {"threads": 1, "data": "sha256:0"})
        config = {"task": "landmarks", "architecture": "dlib", "network": network}
        write_yaml(folder / "config.yaml", config)
        content = PackageContent(
            id=ModelId.parse(f"lmk-dlib-v{version}"), weights=folder / "model.dat",
            architecture=model, training={}, validation={"metrics": {"nme": 0.1}}, words=CARD,
        )  # fmt: skip
        made[name] = open_package(build(content, tmp_path_factory.mktemp("p") / f"dlib-{name}"))
    return made


def test_better_accuracy_asks_for_minor_and_names_its_interval(
    packages: dict[str, Package], data: Path
) -> None:
    found = compare(packages["coarse"], packages["fine"], data, SETTINGS)
    assert (found.ruling.level, found.ruling.regression) == ("minor", False)
    row = found.evidence["accuracy"]
    assert row["metric"] == "nme"
    assert row["high"] < 0  # a smaller error
    with pytest.raises(RuleError, match="minor"):
        semver.check(Version(1, 0, 0), Version(1, 0, 1), found.ruling)
    semver.check(Version(1, 0, 0), Version(1, 1, 0), found.ruling)


def test_worse_accuracy_is_refused_at_any_bump_unless_someone_answers_for_it(
    packages: dict[str, Package], data: Path
) -> None:
    found = compare(packages["fine"], packages["coarse"], data, SETTINGS)
    assert found.ruling.regression
    for version in (Version(1, 0, 1), Version(1, 1, 0), Version(2, 0, 0)):
        with pytest.raises(RuleError, match="worse"):
            semver.check(Version(1, 0, 0), version, found.ruling)
        semver.check(Version(1, 0, 0), version, found.ruling, accept_regression="half the size")


def test_the_same_weights_are_not_run_and_ask_for_a_patch(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    shutil.copytree(packages["fine"].folder, tmp_path / "same")
    same = open_package(tmp_path / "same")
    found = compare(packages["fine"], same, tmp_path / "no data", SETTINGS)
    assert found.ruling.level == "patch"
    assert found.evidence["accuracy"] == "same weights"


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for name, people in (("val", 6), ("test", 24)):
        recognition_split(
            name, seed=1, identities=people, images_per_identity=2, image_size=64, folds=2,
            pairs_per_fold=4, workers=1,
        ).save(folder / name)  # fmt: skip
    save_group_names(folder, ("light", "medium", "dark"))
    return folder


def embedder(
    folder: Path, version: str, seed: int, claimed: dict[str, str] | None = None, shift: float = 0
) -> Package:
    """A package of a small recogniser with random weights, which may claim another's space.

    `shift` moves the weights a little.
    """
    network = {
        "crop": "arcface112", "backbone": "mobilefacenet", "image_size": 48, "embedding_size": 16,
        "dropout": 0.0,
    }  # fmt: skip
    model = ArcFace.of(network)
    torch.manual_seed(seed)
    folder.mkdir()
    state = {
        name: value + shift if value.is_floating_point() else value
        for name, value in model.build().state_dict().items()
    }
    save_state(state, folder / "model.pt")
    training = {"compatible_with": claimed} if claimed else {}
    content = PackageContent(
        id=ModelId.parse(f"rec-arcface-v{version}"), weights=folder / "model.pt",
        architecture=model, training=training, validation={"metrics": {"accuracy": 0.5}},
        words=CARD,
    )  # fmt: skip
    return open_package(build(content, folder / f"arcface-v{version}"))


def test_recognition_is_judged_by_its_primary_metric_of_several(
    faces: Path, tmp_path: Path
) -> None:
    one, other = (
        embedder(tmp_path / version, version, seed)
        for seed, version in enumerate(("1.0.0", "2.0.0"))
    )
    found = compare(one, other, faces, SETTINGS)
    assert found.evidence["accuracy"]["metric"] == "accuracy"
    assert found.ruling.level == "major"  # embeddings of other weights


@pytest.fixture
def old(tmp_path: Path) -> tuple[Package, dict[str, str]]:
    """A package, and what a training that keeps its space records."""
    package = embedder(tmp_path / "old", "1.0.0", 0)
    space = package.metadata["embedding_space"]
    return package, {
        "id": str(package.id), "digest": f"sha256:{package.digest}", "embedding_space": space,
    }  # fmt: skip


def test_a_kept_space_is_shown_and_asks_for_no_major(
    old: tuple[Package, dict[str, str]], faces: Path, tmp_path: Path
) -> None:
    before, claim = old
    new = embedder(tmp_path / "new", "1.1.0", 0, claim, shift=1e-7)
    found = compare(before, new, faces, SETTINGS)
    assert found.ruling.level == "patch"
    assert found.evidence["compatibility"]["passed"]
    assert found.evidence["compatibility"]["old"] == "rec-arcface-v1.0.0"


def test_a_space_that_is_claimed_and_not_kept_is_refused_at_any_bump(
    old: tuple[Package, dict[str, str]], faces: Path, tmp_path: Path
) -> None:
    before, claim = old
    with pytest.raises(GateError, match=r"rec-arcface-v2\.0\.0 claims the embedding space"):
        compare(before, embedder(tmp_path / "new", "2.0.0", 1, claim), faces, SETTINGS)


def test_a_claim_that_the_version_before_cannot_confirm_is_refused(
    old: tuple[Package, dict[str, str]], tmp_path: Path
) -> None:
    before, claim = old
    claimer = embedder(tmp_path / "new", "3.0.0", 1, claim)
    other = embedder(tmp_path / "other", "2.0.0", 2)
    for version_before in (other, None):
        with pytest.raises(GateError, match="nothing shows the claim"):
            require_shown_claim(version_before, claimer)
    require_shown_claim(before, claimer)
    require_shown_claim(before, other)
    require_shown_claim(None, other)


def test_without_data_other_weights_cannot_be_judged(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="prepare@landmarks"):
        compare(packages["coarse"], packages["fine"], tmp_path / "no data", SETTINGS)
