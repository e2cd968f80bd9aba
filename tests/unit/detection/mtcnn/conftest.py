"""MTCNN with the authors' weights: our cascade on ONNX Runtime, and facenet-pytorch itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from facemodels.detection.mtcnn import networks
from facemodels.detection.mtcnn.authors import authors_weights
from facemodels.detection.mtcnn.cascade import NETWORKS, Cascade, CascadeSettings
from facemodels.runtime import open_graphs

AUTHORS = CascadeSettings(
    thresholds=(0.6, 0.7, 0.7), min_face_size=20, factor=0.709, max_pixels=2_500_000
)


@pytest.fixture(scope="session")
def graphs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    networks.export(networks.pretrained(authors_weights().path), folder)
    return folder


@pytest.fixture(scope="session")
def cascade(graphs_folder: Path) -> Cascade:
    files = {name: graphs_folder / f"{name}.onnx" for name in NETWORKS}
    return Cascade(open_graphs(files, threads=1), AUTHORS)
