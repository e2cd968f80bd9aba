"""A threshold that was chosen on other data than the model's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from facemodels.files import write_yaml
from facemodels.names import ModelId
from facemodels.params import Card, OperatingPoint
from facemodels.pipeline.package import package
from facemodels.recognition.arcface import ArcFace
from facemodels.training.weights import save_state

CARD = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="", changelog="",
    known_issues="", license="MIT", training_dataset="", parent_version="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("point", "threshold", "source"),
    [(None, 0.4, "val"), (OperatingPoint(threshold=0.9, source="other faces"), 0.9, "other faces")],
)
def test_a_package_has_the_threshold_that_conf_names_and_says_where_it_is_from(
    tmp_path: Path, point: OperatingPoint | None, threshold: float, source: str
) -> None:
    network = {
        "backbone": "mobilefacenet", "image_size": 48, "embedding_size": 16, "dropout": 0.0,
        "crop": "arcface112",
    }  # fmt: skip
    write_yaml(
        tmp_path / "config.yaml",
        {"task": "recognition", "architecture": "arcface", "network": network},
    )
    torch.manual_seed(0)
    save_state(ArcFace.of(network).build().state_dict(), tmp_path / "model.pt")
    folder = package(
        weights=tmp_path / "model.pt",
        model=ModelId.parse("rec-arcface-v1.0.0"),
        card=CARD,
        validation={"metrics": {"accuracy": 0.5}, "threshold": 0.4},
        output=tmp_path / "package",
        operating_point=point,
    )
    config = yaml.safe_load((folder / "config.yaml").read_text())
    metadata = json.loads((folder / "metadata.json").read_text())
    assert config["threshold"] == metadata["threshold"] == threshold
    assert metadata["threshold_source"] == source
