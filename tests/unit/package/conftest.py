"""A small real package of each kind, built once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from facemodels.architecture.contract import TrainJob
from facemodels.data.sample.generate import landmark_split
from facemodels.files import write_json, write_yaml
from facemodels.landmarks.dlib import Dlib
from facemodels.models import architecture
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.params import Card
from facemodels.recognition.facenet import FaceNet
from facemodels.training.weights import save_state

CARD = Card(
    created_at="2026-01-02T03:04:05Z",
    author="Test",
    description="A test model.",
    changelog="First.",
    known_issues="Knows nothing.",
    license="Apache-2.0",
    training_dataset="noise",
    parent_version="",
)
FACENET = {"image_size": 80, "dropout": 0.0}
MTCNN = {"factor": 0.709, "max_pixels": 2_500_000}
DLIB = {
    "tree_depth": 2, "cascade_depth": 2, "trees_per_cascade": 5,
    "feature_pool_size": 50, "feature_pool_padding": 0.1,
}  # fmt: skip
DLIB_TRAINING = {
    "seed": 1, "threads": 1, "mirror": False, "nu": 0.1, "oversampling": 2,
    "oversampling_jitter": 0.0, "lambda_param": 0.1, "test_splits": 5,
}  # fmt: skip


def content(folder: Path, identity: str, network: dict, **changes) -> PackageContent:
    model = ModelId.parse(identity)
    task, name = model.name.task, model.name.architecture
    write_yaml(folder / "config.yaml", {"task": task, "architecture": name, "network": network})
    write_json(folder / "training.json", {"threads": 1, "data": "sha256:0"})
    values = {
        "id": model,
        "architecture": architecture(task, name).of(network),
        "weights": folder / ("model.dat" if name == "dlib" else "model.pt"),
        "training": json.loads((folder / "training.json").read_text()),
        "validation": {
            "metrics": {"accuracy": 0.5, "auc": 0.5},
            "threshold": 0.4,
            "groups": {"light": {"accuracy": 0.5}},
        },
        "words": CARD,
    }
    return PackageContent(**{**values, **changes})


@pytest.fixture(scope="session")
def facenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("facenet")
    torch.manual_seed(0)
    save_state(FaceNet.of(FACENET).build().state_dict(), folder / "model.pt")
    return folder


@pytest.fixture(scope="session")
def facenet_package(facenet_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packages") / "facenet-v1.2.3"
    return build(content(facenet_weights, "rec-facenet-v1.2.3", FACENET), folder)


@pytest.fixture(scope="session")
def dlib_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickest to package: it has no ONNX form."""
    data, folder = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("dlib")
    for name, faces in (("train", 6), ("val", 2)):
        landmark_split(name, seed=1, faces=faces, image_size=80, workers=1).save(data / name)
    Dlib.of(DLIB).train(
        Dlib.settings(DLIB_TRAINING),
        TrainJob(
            data=data,
            output=folder,
            checkpoint=folder / "c",
            advance=lambda n: None,
            log=lambda record: None,
        ),
    )
    return folder


def dlib_content(
    folder: Path, identity: str = "lmk-dlib-v1.0.0", nme: float = 0.1
) -> PackageContent:
    return content(folder, identity, DLIB, validation={"metrics": {"nme": nme}})


@pytest.fixture(scope="session")
def dlib_package(dlib_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(dlib_content(dlib_weights), tmp_path_factory.mktemp("packages") / "dlib-v1.0.0")


@pytest.fixture(scope="session")
def mtcnn_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the authors' weights and thresholds: random networks find no face."""
    from facemodels.detection.mtcnn import AUTHORS, Mtcnn, networks
    from facemodels.detection.mtcnn.authors import authors_weights

    folder = tmp_path_factory.mktemp("mtcnn")
    made = networks.pretrained(authors_weights().path)
    made.keep(Mtcnn.of(MTCNN).cascade_settings(AUTHORS))
    save_state(made.state_dict(), folder / "model.pt")
    described = content(folder, "det-mtcnn-v1.0.0", MTCNN)
    return build(described, tmp_path_factory.mktemp("packages") / "mtcnn-v1.0.0")
