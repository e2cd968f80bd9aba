"""An int8 variant through the stages, the registry and the server, as any other version."""

from __future__ import annotations

import io
import json
import os
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from facemodels.package.load import open_package

from .conftest import BIN, Clone, stages_run
from .serving.conftest import Server

pytestmark = pytest.mark.timeout(1500)

MODEL = "recognition-arcface"
FOLDER = "models/recognition/arcface-v1.0.0-int8"


def png() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (112, 112, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_variant_is_built_tested_registered_and_served(small: Clone) -> None:
    before = yaml.safe_load(small.read("dvc.lock"))["stages"]
    plain = json.loads(small.read("models/recognition/arcface-v1.0.0/metadata.json"))
    # Networks that learned for two steps have no accuracy to lose.
    changes = {"variant": "int8", "package": FOLDER, "int8.most_loss": "1"}
    small.compose(**{f"models.{MODEL}.{key}": value for key, value in changes.items()})

    ran = stages_run(small.run("dvc", "repro", f"benchmark@{MODEL}").stdout)
    assert ran == [f"package@{MODEL}", f"benchmark@{MODEL}"]
    open_package(small.folder / FOLDER)  # it verifies
    after = yaml.safe_load(small.read("dvc.lock"))["stages"]
    assert after[f"train@{MODEL}"] == before[f"train@{MODEL}"]
    metadata = json.loads(small.read(f"{FOLDER}/metadata.json"))
    assert metadata["int8"]["source"] == "rec-arcface-v1.0.0"
    assert metadata["file_size_mb"] < 0.5 * plain["file_size_mb"]
    measured = json.loads(small.read(f"reports/benchmark/{MODEL}.json"))[MODEL]
    assert measured["settings"]["precision"] == "int8"

    small.commit("Build the int8 form of recognition-arcface")
    small.ours("registry", "register", "--path", FOLDER, "--local")
    identity = "rec-arcface-v1.0.0-int8"
    told = small.ours("registry", "info", "--model-id", identity, "--json").stdout
    assert json.loads(told)["model_id"] == identity

    server = started(small.folder / FOLDER)
    try:
        answer = httpx.post(f"{server.url}/api/embed", files={"image": png()}, timeout=60)
        assert answer.status_code == 200, answer.text
        (vector,) = [row["embedding"] for row in answer.json()["results"]]
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
    finally:
        server.stop()


def started(package: Path) -> Server:
    return Server(
        subprocess.Popen(
            [str(BIN / "facemodels"), "serve", str(package), "--port", "0", "--threads", "1"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=dict(os.environ),
        )
    )  # fmt: skip
