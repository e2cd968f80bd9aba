"""Packages of small systems: a detector that finds faces, and recognisers with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from facemodels.detection.mtcnn import AUTHORS, Mtcnn, networks
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import Package, open_package
from facemodels.params import Card
from facemodels.recognition.arcface import ArcFace
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.training.weights import save_state

CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="For a test.",
    changelog="First.", known_issues="None.", license="Apache-2.0", training_dataset="none",
    parent_version="",
)  # fmt: skip
CALIBRATION = Calibration((0.001, 0.01, 0.1), (0.999, 0.99, 0.9), 30_000, "a test")


def packaged(folder: Path, identity: str, model: Any, network: Any) -> Package:
    """The package of a network below a folder."""
    weights = folder / f"{identity}-weights" / "model.pt"
    weights.parent.mkdir(parents=True)
    save_state(network.state_dict(), weights)
    content = PackageContent(ModelId.parse(identity), model, weights, {}, {"threshold": 0.7}, CARD)
    return open_package(build(content, folder / identity))


def detector(folder: Path, version: str = "1.0.0") -> Package:
    """MTCNN with the weights of its authors."""
    mtcnn = Mtcnn.of({"factor": 0.709, "max_pixels": 2500000})
    found = networks.pretrained(authors_weights().path)
    found.keep(mtcnn.cascade_settings(AUTHORS))
    return packaged(folder, f"det-mtcnn-v{version}", mtcnn, found)


def recogniser(
    folder: Path, version: str = "1.0.0", *, crop: str = "arcface112", seed: int = 0
) -> Package:
    """ArcFace with random weights: another seed gives another embedding space."""
    shape = {
        "backbone": "mobilefacenet", "image_size": 48, "embedding_size": 16, "dropout": 0.0,
        "crop": crop,
    }  # fmt: skip
    arcface = ArcFace.of(shape)
    torch.manual_seed(seed)
    return packaged(folder, f"rec-arcface-v{version}", arcface, arcface.build())


def small_system(
    folder: Path, version: str, members: Mapping[str, Package], *, min_score: float = 0.7
) -> Package:
    """A system of members, in `folder` itself."""
    content = SystemContent(
        id=ModelId.parse(f"sys-faces-v{version}"), members=members, min_score=min_score, fmr=0.01,
        calibration=CALIBRATION, quality=QualityLimits(eyes=12), validation={}, words=CARD,
    )  # fmt: skip
    return open_package(build_system(content, folder))
