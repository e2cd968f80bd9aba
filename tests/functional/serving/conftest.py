"""Real servers, one process each, of small packages with random weights."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from facemodels.data.sample.generate import detection_split
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.faces import photo_of
from facemodels.gallery.opened import GallerySystem
from facemodels.package.load import open_package

from .visitor import browser, visit

__all__ = ["browser", "visit"]  # fixtures of all tests of pages
ROOT = Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "tests/golden/dlib-v1.0.0"
COMMAND = str(Path(sys.executable).with_name("facemodels"))
_PACKAGE = """
import sys
from pathlib import Path
import torch
from facemodels.files import write_json, write_yaml
from facemodels.models import architecture
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.params import Card
from facemodels.training.weights import save_state

identity, folder = ModelId.parse(sys.argv[1]), Path(sys.argv[2])
NETWORKS = {
    "facenet": {"image_size": 80, "dropout": 0.0, "crop": "arcface112"},
    "yolov8": {"scale": "n", "image_size": 64},
    "mtcnn": {"factor": 0.709, "max_pixels": 2500000},
    "dlib": {},
}


def network(model):
    if model.name == "dlib":  # its own weights, which know faces
        from facemodels.recognition.dlib import PRETRAINED
        from facemodels.training.initial_weights import initial_weights
        made = model.build()
        found = initial_weights("pretrained", PRETRAINED, model="recognition/dlib")
        model.load_initial(made, found.path)
        return made
    if model.name != "mtcnn":
        return model.build()
    from facemodels.detection.mtcnn import AUTHORS, networks
    from facemodels.detection.mtcnn.authors import authors_weights
    made = networks.pretrained(authors_weights().path)  # random ones find nothing
    made.keep(model.cascade_settings(AUTHORS))
    return made

card = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="Random.", changelog="First.",
    known_issues="Knows nothing.", license="Apache-2.0", training_dataset="none", parent_version="",
)
name = identity.name
model = architecture(name.task, name.architecture).of(NETWORKS[name.architecture])
torch.manual_seed(0)
weights = folder.parent / f"{folder.name}-weights"
weights.mkdir(parents=True)
save_state(network(model).state_dict(), weights / "model.pt")
validation = {"metrics": {"accuracy": 0.5}, "threshold": 0.4}
build(PackageContent(identity, model, weights / "model.pt", {}, validation, card), folder)
"""


_SYSTEM = """
import sys
from pathlib import Path
from facemodels.names import ModelId
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import open_package
from facemodels.params import Card, load_yaml
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits

identity, folder, measured, *members = sys.argv[1:]
calibration = Calibration((0.001, 0.01, 0.1), (0.9, 0.7, 0.5), 30000, "a test")
if measured:
    calibration = Calibration.of_json(load_yaml(Path(measured)))
packages = [open_package(Path(member)) for member in members]
card = Card(
    created_at="2026-01-02T03:04:05Z", author="Test", description="A system.", changelog="First.",
    known_issues="Its recogniser is random.", license="Apache-2.0", training_dataset="none",
    parent_version="",
)
content = SystemContent(
    ModelId.parse(identity), {package.task: package for package in packages}, 0.7, 0.01,
    calibration, QualityLimits(eyes=15), {}, card,
)
build_system(content, Path(folder))
"""


class Server:
    """A server process, its log and a client of it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        ready = self.wait_for("ready")
        self.url = f"http://127.0.0.1:{ready['port']}"
        self.port: int = ready["port"]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"event": "raw", "text": line})
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, event: str, timeout: float = 120, **fields: Any) -> dict[str, Any]:
        """The first line of the log with an event and fields; waits until it is there."""

        def found() -> dict[str, Any] | None:
            for line in self.lines:
                if line["event"] == event and all(line.get(k) == v for k, v in fields.items()):
                    return line
            return None

        with self._news:
            assert self._news.wait_for(lambda: found() or self._ended, timeout), self.lines[-20:]
            line = found()
        assert line is not None, f"no {event}: {self.lines[-20:]}"
        return line

    def get(self, path: str, **options: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return httpx.post(self.url + path, timeout=60, **options)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal; its exit code, when its whole log was read."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code


def make_package(identity: str, folder: Path) -> Path:
    """In a process of its own: a server's tests shall not carry torch along."""
    subprocess.run([sys.executable, "-c", _PACKAGE, identity, str(folder)], check=True)
    return folder


Once = Callable[[str, Callable[[Path], object]], Path]


def make_system(folder: Path, *members: Path, calibration: Path | None = None) -> Path:
    """A system of packages, with the thresholds of a file or with three that are made up."""
    measured = "" if calibration is None else str(calibration)
    command = [sys.executable, "-c", _SYSTEM, "sys-faces-v1.0.0", str(folder), measured]
    subprocess.run([*command, *map(str, members)], check=True)
    return folder


@pytest.fixture(scope="session")
def once(shared: Path) -> Once:
    """Makes a folder for all workers: the first that asks makes it, the others wait for it."""

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = shared / "packages" / name, shared / f"{name}-done"
        with FileLock(shared / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def facenet(once: Once) -> Path:
    return once("facenet-v1.2.3", partial(make_package, "rec-facenet-v1.2.3"))


@pytest.fixture(scope="session")
def yolov8(once: Once) -> Path:
    return once("yolov8-v1.0.0", partial(make_package, "det-yolov8-v1.0.0"))


@pytest.fixture(scope="session")
def mtcnn(once: Once) -> Path:
    return once("mtcnn-v1.0.0", partial(make_package, "det-mtcnn-v1.0.0"))


@pytest.fixture(scope="session")
def system(mtcnn: Path, facenet: Path, once: Once) -> Path:
    """A detector that knows faces, and a recogniser that knows none."""
    return once("faces-v1.0.0", lambda folder: make_system(folder, mtcnn, facenet))


def encoded(image: np.ndarray) -> bytes:
    """A picture as PNG."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def photos(system: Path) -> dict[int, np.ndarray]:
    """A photo without faces, one with one face and one with several, by number."""
    split = detection_split("test", seed=1, scenes=12, image_size=320, workers=1)
    predictor = open_package(system).predictor()
    found = {0: np.zeros((90, 120, 3), np.uint8)}
    for image in split.images:
        count = len(predictor.find(np.array(image)))
        found.setdefault(min(count, 2), np.array(image))
        if len(found) == 3:
            break
    assert sorted(found) == [0, 1, 2]
    return found


Start = Callable[..., Server]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start servers; those that are still alive at the end are stopped."""
    servers: list[Server] = []

    def begin(package: Path, *options: str, **limits: Any) -> Server:
        """`limits` override conf/serving.yaml's `limits`; `batching`, `workers` and `open` go beside."""
        config = tmp_path_factory.mktemp("serving") / "serving.yaml"
        top = {key: limits.pop(key) for key in ("batching", "workers", "open") if key in limits}
        config.write_text(json.dumps({"limits": limits, **top}))
        command = [COMMAND, "serve", str(package), "--port", "0", "--threads", "1"]
        process = subprocess.Popen(
            [*command, "--config", str(config), *options],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=config.parent,
            env={**os.environ, "PYTHONWARNINGS": "default"},
        )  # fmt: skip
        servers.append(Server(process))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def landmark_server(start: Start) -> Server:
    return start(GOLDEN)


@pytest.fixture(scope="module")
def face_server(start: Start, facenet: Path) -> Server:
    return start(facenet)


@pytest.fixture(scope="module")
def detection_server(start: Start, yolov8: Path) -> Server:
    return start(yolov8)


@pytest.fixture(scope="module")
def points_server(start: Start, mtcnn: Path) -> Server:
    """A detector of several graphs, which finds five points of each face."""
    return start(mtcnn)


@pytest.fixture(scope="module")
def staff(
    system: Path, photos: dict[int, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A gallery in the space of the system, in which Ada is enrolled by the photo of one face."""
    folder = tmp_path_factory.mktemp("galleries") / "staff"
    loaded = GallerySystem.of(open_package(system))
    photo = photo_of(encoded(photos[1]), "Ada's photo")
    enrol(folder, loaded, "Ada", [photo], EnrolmentRules(tracked=False))
    return folder


@pytest.fixture(scope="module")
def system_server(start: Start, system: Path, staff: Path) -> Server:
    """A system of a detector and a recogniser, with a gallery."""
    return start(system, "--gallery", f"staff={staff}")
