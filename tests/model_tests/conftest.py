"""The package under test: the one in FACEMODELS_PACKAGE, else every one below models/."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from facemodels import models
from facemodels.package.load import Package, open_package

ROOT = Path(__file__).resolve().parents[2]


def _folders() -> list[Path]:
    chosen = os.environ.get("FACEMODELS_PACKAGE")
    if chosen:
        return [Path(chosen)]
    return sorted(path.parent for path in ROOT.glob("models/*/*/checksums.sha256"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "package" not in metafunc.fixturenames:
        return
    folders = _folders()
    if folders:
        cases = [pytest.param(folder, id=folder.name) for folder in folders]
    else:
        reason = "no package: set FACEMODELS_PACKAGE or run `make repro`"
        cases = [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    metafunc.parametrize("package", cases, indirect=True, scope="session")


@pytest.fixture(scope="session")
def package(request: pytest.FixtureRequest) -> Package:
    return open_package(request.param)


@pytest.fixture(scope="session")
def predict(package: Package):
    """One call for every task: a list of images to a list of arrays, one an image."""
    predictor = package.predictor(threads=1)
    return lambda images: models.predict(package.task, predictor, images)


@pytest.fixture(scope="session")
def faces() -> list[np.ndarray]:
    """Eight generated faces, uint8 (160, 160, 3)."""
    from facemodels.data.sample.generate import landmark_split

    return list(landmark_split("test", seed=5, faces=8, image_size=160, workers=1).images)
