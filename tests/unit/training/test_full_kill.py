"""The long campaign: a real FaceNet training, shot at many moments, always ends the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from facemodels.data.sample.generate import recognition_split
from facemodels.files import sha256

ROOT = Path(__file__).resolve().parents[3]
SHOTS = 8

SCRIPT = """
import sys
from pathlib import Path
import yaml
from facemodels.pipeline.train import train
from facemodels.recognition.facenet import FaceNet

if __name__ == "__main__":
    data, output, checkpoints = map(Path, sys.argv[1:4])
    model = yaml.safe_load(Path(sys.argv[4]).read_text())
    train(FaceNet.of(model["network"]), FaceNet.settings(model["train"]), data=data,
          output=output, curves_folder=output / "curves", checkpoints=checkpoints)
"""


@pytest.mark.full
@pytest.mark.timeout(3000)
def test_a_facenet_shot_at_random_moments_ends_in_the_same_bytes(tmp_path: Path) -> None:
    for name, people in (("train", 24), ("val", 8)):
        recognition_split(
            name, seed=1, identities=people, images_per_identity=4, image_size=96,
            folds=2, pairs_per_fold=8, workers=1,
        ).save(tmp_path / "data" / name)  # fmt: skip
    model = yaml.safe_load((ROOT / "conf/model/recognition-facenet.yaml").read_text())
    model["train"] |= {"steps": 24, "warmup_steps": 4, "validate_every": 6, "checkpoint_every": 4}
    (tmp_path / "model.yaml").write_text(yaml.safe_dump(model))
    (tmp_path / "train.py").write_text(SCRIPT)

    def call(name: str) -> list[str]:
        folders = [str(tmp_path / part) for part in ("data", name, f"{name}-checkpoints")]
        return [sys.executable, str(tmp_path / "train.py"), *folders, str(tmp_path / "model.yaml")]

    start = time.monotonic()
    subprocess.run(call("whole"), check=True, env=os.environ)
    whole = time.monotonic() - start
    moments = random.Random(7)
    died = 0
    for shot in range(SHOTS):
        child = subprocess.Popen(call("shot"), env=os.environ)
        try:
            child.wait(timeout=whole * moments.uniform(0.3, 0.8))
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
            died += child.wait() == -signal.SIGKILL
        else:
            assert shot > 0, "the first life was to end early"
            break
    subprocess.run(call("shot"), check=True, env=os.environ)
    assert died >= 2
    for name in ("model.pt", "training.json", "config.yaml"):
        assert sha256(tmp_path / "shot" / name) == sha256(tmp_path / "whole" / name)
    for curve in (tmp_path / "whole/curves/plots").rglob("*.tsv"):
        twin = tmp_path / "shot/curves/plots" / curve.relative_to(tmp_path / "whole/curves/plots")
        assert curve.read_bytes() == twin.read_bytes()
