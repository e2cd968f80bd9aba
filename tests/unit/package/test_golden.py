"""Packages of every released form must still load and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facemodels.package.load import open_package

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.mark.parametrize("name", [path.parent.name for path in GOLDEN.glob("*/metadata.json")])
def test_a_package_of_the_first_form_loads_and_fits_the_points_it_fitted_then(name: str) -> None:
    package = open_package(GOLDEN / name)
    ramp = np.add.outer(np.arange(80), np.arange(80)).astype(np.uint8)
    image = np.stack([ramp, ramp[::-1], ramp.T[:, ::-1]], axis=2)
    points = package.predictor().fit([image], np.array([[10, 10, 70, 70]], np.float32))
    expected = json.loads((GOLDEN / f"{name}.points.json").read_text())
    assert np.abs(points[0] - np.array(expected)).max() <= 1
