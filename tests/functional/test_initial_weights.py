"""From a URL to a trained model: fetch, track, depend, start from."""

from __future__ import annotations

import functools
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
import yaml

from facemodels.detection.yolov8 import YoloV8

from .conftest import Clone

FILE = "data/weights/yolov8n-coco.pt"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def published(tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """The URL and the bytes of a state dict of YOLOv8n, on a server without ETags."""
    folder = tmp_path / "published"
    folder.mkdir()
    torch.manual_seed(9)
    torch.save(YoloV8.of({"scale": "n", "image_size": 64}).build().state_dict(), folder / "y.pt")
    handler = functools.partial(Quiet, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/y.pt", (folder / "y.pt").read_bytes()
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_model_starts_from_what_was_fetched_and_depends_on_it(
    copy: Clone, published: tuple[str, bytes]
) -> None:
    """The whole way, because DVC, Hydra, the command and the training meet only here."""
    clone = copy
    url, content = published
    digest = hashlib.sha256(content).hexdigest()
    pin = {"url": url, "size": str(len(content)), "sha256": f"'{digest}'"}
    changes = {f"weights.yolov8n-coco.{key}": value for key, value in pin.items()}
    changes["models.detection-yolov8.train.init"] = "pretrained"
    changes["models.detection-yolov8.train.frozen"] = "['model.0.*', 'model.1.*']"
    clone.compose(**changes)
    early = clone.run("dvc", "repro", "train@detection-yolov8", check=False)
    assert early.returncode != 0
    assert FILE in early.stderr
    (fetched,) = json.loads(clone.ours("weights", "fetch", "yolov8n-coco", "--json").stdout)
    assert fetched["sha256"] == digest
    clone.run("dvc", "repro", "train@detection-yolov8")
    training = json.loads(clone.read("build/detection-yolov8/model/training.json"))
    assert training["initial_weights"]["sha256"] == digest
    assert training["initial_weights"]["source"] == url
    assert "pretrained" not in training["hyperparameters"]
    lock = yaml.safe_load(clone.read("dvc.lock"))["stages"]["train@detection-yolov8"]
    (dep,) = [one for one in lock["deps"] if one["path"] == FILE]
    assert dep["md5"] == hashlib.md5(content, usedforsecurity=False).hexdigest()
    assert clone.run("dvc", "status", f"{FILE}.dvc", "--json").stdout.strip() == "{}"
    start = torch.load(io.BytesIO(content), weights_only=True)
    weights = clone.folder / "build/detection-yolov8/model/model.pt"
    end = torch.load(weights, weights_only=True)
    stayed = {name for name in start if torch.equal(start[name], end[name])}
    frozen = {name for name in start if name.startswith(("model.0.", "model.1."))}
    assert frozen <= stayed
    moved = set(start) - stayed
    assert {"model.2.cv1.conv.weight", "model.2.cv1.bn.running_mean"} <= moved
