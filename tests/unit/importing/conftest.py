"""Generated faces of few people, and a real small network of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facemodels import imaging
from facemodels.data.sample.generate import recognition_split
from facemodels.data.splits import RecognitionSplit, save_group_names
from facemodels.files import write_json
from tests.unit.importing.graphs import linear

CROPS = ("arcface112", "dlib150")
SIDE = 12  # pixels, of the small network's input
_PEOPLE = {"train": 30, "val": 15, "test": 10}


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of recognition: two crops, splits without common people."""
    folder = tmp_path_factory.mktemp("faces")
    for name, people in _PEOPLE.items():
        recognition_split(
            name, seed=1, identities=people, images_per_identity=4, image_size=96, folds=3,
            pairs_per_fold=12, workers=1, crops=CROPS,
        ).save(folder / name)  # fmt: skip
    save_group_names(folder, ("light", "medium", "dark"))
    write_json(folder / "faces.json", {"detector": "none: the exact points"})
    return folder


@pytest.fixture(scope="session")
def network(faces: Path) -> bytes:
    """Fisher's discriminants of the training faces, RGB, -1..1: a network of one layer."""
    split = RecognitionSplit.load(faces / "train", "arcface112")
    small = [imaging.resize(image, SIDE, SIDE) for image in split.images]
    pixels = (np.stack(small).transpose(0, 3, 1, 2).reshape(len(small), -1) - 127.5) / 128
    people = np.unique(split.identities, return_inverse=True)[1]
    means = np.stack([pixels[people == one].mean(axis=0) for one in range(people.max() + 1)])
    within = (pixels - means[people]).T @ (pixels - means[people])
    within += np.eye(len(within)) * 0.05 * np.trace(within) / len(within)
    between = (means - means.mean(axis=0)).T @ (means - means.mean(axis=0))
    root = np.linalg.cholesky(within)
    whitened = np.linalg.solve(root, np.linalg.solve(root, between).T)
    _, vectors = np.linalg.eigh((whitened + whitened.T) / 2)
    weights = np.linalg.solve(root.T, vectors[:, -16:])
    return linear(weights=weights.astype(np.float32), size=SIDE)
