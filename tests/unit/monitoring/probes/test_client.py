"""Replays against real servers, and against one that says what a test wants it to say."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facemodels.data.sample import generate
from facemodels.errors import NameFormatError
from facemodels.imaging import decode
from facemodels.monitoring.probes import GoldenSet, make, replay
from facemodels.monitoring.probes.golden_set import FaceProbe, PairProbe, SceneProbe
from facemodels.package.load import open_package

ROOT = Path(__file__).resolve().parents[4]
VERSIONS = {
    "recognition": ("rec-facenet-v1.0.0", "recognition-facenet"),
    "detection": ("det-yolov8-v1.0.0", "detection-yolov8"),
    "landmarks": ("lmk-dlib-v1.0.0", "landmark-dlib"),
}
REAL = [
    ("landmarks", ROOT / "tests/golden/dlib-v1.0.0"),
    *(("recognition", path) for path in sorted(ROOT.glob("models/recognition/facenet-v1.0.0"))),
    *(("detection", path) for path in sorted(ROOT.glob("models/detection/yolov8-v1.0.0"))),
]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, GoldenSet]:
    root = tmp_path_factory.mktemp("root")
    data = root / "data/prepared"
    for split in ("train", "test"):
        generate.recognition_split(
            split, seed=3, identities=6, images_per_identity=3, image_size=64, folds=1,
            pairs_per_fold=18, workers=1,
        ).save(data / "recognition" / split)  # fmt: skip
    generate.detection_split("test", seed=3, scenes=6, image_size=160, workers=1).save(
        data / "detection/test"
    )
    generate.landmark_split("test", seed=3, faces=9, image_size=96, workers=1).save(
        data / "landmarks/test"
    )
    counts = {"recognition": 12, "detection": 6, "landmarks": 9}
    return {task: make(root, task, root / task, count=counts[task]) for task in counts}


@pytest.fixture(scope="module", params=REAL, ids=[task for task, _ in REAL])
def served(request: pytest.FixtureRequest) -> Iterator[tuple[str, Path, str]]:
    """Task, package and address of a server of its own."""
    task, package = request.param
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("facemodels")), "serve", str(package), "--port", "0",
         "--threads", "1"],
        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        port = next(
            told["port"] for told in map(json.loads, process.stderr) if told["event"] == "ready"
        )
        drain = threading.Thread(target=process.stderr.read, daemon=True)
        drain.start()
        yield task, package, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(30)
        drain.join()
        process.stderr.close()


def test_a_real_version_is_judged_as_its_package_alone_would_be(
    served: tuple[str, Path, str], sets: dict[str, GoldenSet]
) -> None:
    task, package, url = served
    probes = sets[task]
    result = replay(url, probes, VERSIONS[task][0])
    assert result.complete, result.as_json()
    assert result.asked == len(probes)
    opened = open_package(package)
    images = {name: decode(data) for name, data in probes.images.items()}
    expected = [_right(opened, probe, images) for probe in probes.probes]
    assert list(result.correct) == expected
    assert result.threshold == opened.config.get("threshold")
    assert (result.mean_nme is not None) == (task == "landmarks")


def _right(package: Any, probe: Any, images: dict[str, np.ndarray]) -> bool:
    """By the package's own predictor and the plainest arithmetic."""
    predictor = package.predictor(threads=1)
    if isinstance(probe, PairProbe):
        one, other = predictor.embed([images[name] for name in probe.images])
        return bool((float(one @ other) >= package.config["threshold"]) == probe.same)
    image = images[probe.image]
    if isinstance(probe, FaceProbe):
        (points,) = predictor.fit([image], np.array([probe.box], np.float32))
        truth = np.array(probe.points)
        errors = [np.hypot(*(a - b)) for a, b in zip(points, truth, strict=True)]
        return bool(np.mean(errors) / np.hypot(*(truth[36] - truth[45])) <= 0.08)
    (found,) = predictor.detect([image])
    kept = [box for box, s in zip(found.boxes, found.scores, strict=True)
            if s >= package.config["threshold"]]  # fmt: skip
    free = list(probe.boxes)
    for box in kept:
        best = max(free, key=lambda other: _iou(box, other), default=None)
        if best is None or _iou(box, best) < 0.5:
            return False
        free.remove(best)
    return not free


def _iou(a: Any, b: Any) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    return float(width * height / (area - width * height))


def test_a_real_server_of_another_version_answers_none(
    served: tuple[str, Path, str], sets: dict[str, GoldenSet]
) -> None:
    task, _, url = served
    result = replay(url, sets[task], VERSIONS[task][0].replace("1.0.0", "2.0.0"))
    assert result.answered == 0
    assert result.failures == {"another version answered": result.asked}
    assert result.accuracy is None


Say = Callable[[str, dict[str, str]], tuple[int, Any]]


class Scripted:
    """A server that answers as a function says: status and JSON (or bytes, or None: silence)."""

    def __init__(self) -> None:
        self.say: Say = lambda path, headers: (404, {})
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.freed = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one piece, or the client waits for an ACK

            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.asked.append((self.path, headers))
                status, value = outer.say(self.path, headers)
                if value is None:
                    outer.freed.wait(30)
                    self.close_connection = True
                    return
                body = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                if status == 503:
                    self.send_header("retry-after", "0")
                if status == 302:
                    self.send_header("location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815  (the names that http.server looks for)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/models/x"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self.freed.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def script() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.close()


def answers(task: str, bodies: list[dict[str, Any]]) -> Say:
    """The right version, and one answer after the other; a thread at a time asks."""
    model_id, name = VERSIONS[task]
    left = iter(bodies)
    head = {"model_name": name, "model_version": "1.0.0"}

    def say(path: str, headers: dict[str, str]) -> tuple[int, Any]:
        if path.endswith("/api/model/info"):
            return 200, {"model_id": model_id}
        return 200, {**head, **next(left)}

    return say


def verified(same: bool) -> dict[str, Any]:
    return {"similarity": 0.9 if same else 0.1, "threshold": 0.5, "same_person": same}


def test_rates_of_recognition_are_those_of_scikit_learn(
    script: Scripted, sets: dict[str, GoldenSet]
) -> None:
    from sklearn import metrics

    probes = sets["recognition"]
    rng = random.Random(5)
    truth = [pair.same for pair in probes.probes if isinstance(pair, PairProbe)]
    said = [same if rng.random() < 0.7 else not same for same in truth]
    script.say = answers("recognition", [verified(same) for same in said])
    result = replay(script.url, probes, "rec-facenet-v1.0.0")
    tn, fp, fn, tp = metrics.confusion_matrix(truth, said).ravel().tolist()
    assert vars(result.counts) == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
    assert result.rates["f1"] == pytest.approx(metrics.f1_score(truth, said))
    assert result.accuracy == pytest.approx(metrics.accuracy_score(truth, said))
    assert result.counts.fpr == pytest.approx(fp / (fp + tn))


def test_detections_are_matched_as_by_trying_every_match(
    script: Scripted, sets: dict[str, GoldenSet]
) -> None:
    probes = sets["detection"]
    rng = np.random.default_rng(6)
    bodies, tp, fp, fn = [], 0, 0, 0
    for scene in probes.probes:
        assert isinstance(scene, SceneProbe)
        kept = [box for box in scene.boxes if rng.random() < 0.8]
        found = [list(np.array(box) + rng.uniform(-2, 2, 4)) for box in kept]
        found += [[200.0, 200.0, 220.0, 230.0] for _ in range(int(rng.integers(0, 2)))]
        found += found[:1]  # one face twice is one right and one wrong
        faces = [{"box": list(map(float, box)), "score": 0.9} for box in found]
        bodies.append({"threshold": 0.4, "results": [{"faces": faces}]})
        pairs = {
            (n, m) for n, a in enumerate(found) for m, b in enumerate(scene.boxes)
            if _iou(a, b) >= 0.5
        }  # fmt: skip
        right = _most_matches(pairs)
        tp, fp, fn = tp + right, fp + len(found) - right, fn + len(scene.boxes) - right
    script.say = answers("detection", bodies)
    result = replay(script.url, probes, "det-yolov8-v1.0.0")
    assert vars(result.counts) == {"tp": tp, "fp": fp, "fn": fn, "tn": None}
    assert tp
    assert fp
    assert fn
    assert result.rates["fpr"] is None
    assert result.accuracy == pytest.approx(tp / (tp + fp + fn))
    assert result.threshold == 0.4


def _most_matches(pairs: set[tuple[int, int]]) -> int:
    return max(
        (1 + _most_matches({p for p in pairs if p[0] != n and p[1] != m}) for n, m in pairs),
        default=0,
    )


def test_a_face_is_right_up_to_an_nme_of_8_percent(
    script: Scripted, sets: dict[str, GoldenSet]
) -> None:
    probes = sets["landmarks"]
    shifts = [0.0, 0.079, 0.081, 0.5, 0.01, 0.0799, 0.0801, 0.2, 0.0]  # of the eyes' distance
    bodies = []
    for face, shift in zip(probes.probes, shifts, strict=True):
        assert isinstance(face, FaceProbe)
        points = np.array(face.points)
        eyes = np.linalg.norm(points[36] - points[45])
        moved = points + np.array([0.6, 0.8]) * eyes * shift
        bodies.append({"results": [{"points": moved.tolist()}]})
    script.say = answers("landmarks", bodies)
    result = replay(script.url, probes, "lmk-dlib-v1.0.0")
    assert list(result.correct) == [shift <= 0.08 for shift in shifts]
    assert result.accuracy == pytest.approx(5 / 9)
    assert result.mean_nme == pytest.approx(np.mean(shifts))
    assert result.rates["fpr"] is None


def test_the_version_asked_for_the_headers_and_the_box_are_sent(
    script: Scripted, sets: dict[str, GoldenSet]
) -> None:
    probes = sets["landmarks"]
    script.say = lambda path, headers: (404, {})
    replay(script.url, probes, "landmark-dlib@v1.0.0", headers={"Authorization": "Bearer t"})
    assert {path for path, _ in script.asked} == {"/models/x/api/model/info"}
    script.asked.clear()
    script.say = answers("landmarks", [{"results": []}] * len(probes))
    replay(script.url, probes, "landmark-dlib@v1.0.0", headers={"Authorization": "Bearer t"})
    for _, headers in script.asked:
        assert headers["x-facemodels-version"] == "lmk-dlib-v1.0.0"
        assert headers["authorization"] == "Bearer t"
    (face, *_) = probes.probes
    assert isinstance(face, FaceProbe)
    (path, *_) = [path for path, _ in script.asked if "landmarks" in path]
    assert path.startswith("/models/x/api/landmarks?box=")
    sent = path.partition("=")[2].replace("%2C", ",").split(",")
    assert list(map(float, sent)) == pytest.approx(face.box, abs=1e-3)


def failing(task: str, bad: tuple[int, Any], *, every: int = 3) -> Say:
    """Right answers, but every third prediction is `bad`."""
    good = answers(task, [verified(same=True)] * 1000)
    asked = iter(range(1000))

    def say(path: str, headers: dict[str, str]) -> tuple[int, Any]:
        if path.endswith("/api/model/info") or next(asked) % every:
            return good(path, headers)
        return bad

    return say


HEAD = {"model_name": "recognition-facenet", "model_version": "1.0.0"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ((500, {}), "status 500"),
        ((302, {}), "status 302"),
        ((422, {"error": "x"}), "status 422"),
        ((200, {**HEAD, **verified(True), "model_version": "1.0.1"}), "another version answered"),
        ((200, {**verified(True)}), "another version answered"),
        ((200, b"<html>"), "the answer makes no sense"),
        ((200, [1]), "the answer makes no sense"),
        ((200, {**HEAD}), "the answer makes no sense"),
        ((200, {**HEAD, **verified(True), "same_person": "yes"}), "the answer makes no sense"),
        ((200, {**HEAD, **verified(True), "same_person": False}), "the answer makes no sense"),
        ((200, {**HEAD, **verified(True), "similarity": True}), "the answer makes no sense"),
        ((200, b'{"model_name": NaN'), "the answer makes no sense"),
        ((200, b"[" * 100_000), "the answer makes no sense"),
    ],
)
def test_a_probe_that_fails_is_counted_and_leaves_the_rates_unknown(
    script: Scripted, sets: dict[str, GoldenSet], bad: tuple[int, Any], reason: str
) -> None:
    script.say = failing("recognition", bad)
    result = replay(script.url, sets["recognition"], "rec-facenet-v1.0.0")
    assert result.failures == {reason: 4}
    assert (result.asked, result.answered) == (12, 8)
    assert result.correct.count(None) == 4
    assert sum(filter(None, vars(result.counts).values())) == 8
    assert result.accuracy is None


@pytest.mark.parametrize(
    "results", [[], [{}], [{"faces": 5}], [{"faces": [{"box": [1, 2], "score": 1}]}],
                [{"faces": [{"box": [1, 2, 3, None], "score": 1}]}], [{"faces": []}, {"faces": []}]],
)  # fmt: skip
def test_detections_that_make_no_sense_are_failures(
    script: Scripted, sets: dict[str, GoldenSet], results: list[Any]
) -> None:
    script.say = answers("detection", [{"threshold": 0.4, "results": results}] * 6)
    result = replay(script.url, sets["detection"], "det-yolov8-v1.0.0")
    assert result.failures == {"the answer makes no sense": 6}


def test_a_busy_server_is_asked_again_and_then_given_up(
    script: Scripted, sets: dict[str, GoldenSet]
) -> None:
    good = answers("recognition", [verified(same=True)] * 100)
    seen: dict[str, int] = {}

    def once_busy(path: str, headers: dict[str, str]) -> tuple[int, Any]:
        seen[path] = seen.get(path, 0) + 1
        return (503, {}) if seen[path] % 2 else good(path, headers)

    script.say = once_busy
    assert replay(script.url, sets["recognition"], "rec-facenet-v1.0.0").complete
    script.say = lambda path, headers: (503, {})
    result = replay(script.url, sets["recognition"], "rec-facenet-v1.0.0")
    assert result.failures == {"status 503": 12}


def test_a_server_that_does_not_answer_costs_no_more_than_the_budget(
    script: Scripted, sets: dict[str, GoldenSet]
) -> None:
    script.say = lambda path, headers: (200, None)
    began = time.monotonic()
    result = replay(script.url, sets["recognition"], "rec-facenet-v1.0.0", timeout=0.2, budget=0.7)
    assert time.monotonic() - began < 5
    assert result.failures["timeout"] >= 2
    assert result.failures["timeout"] + result.failures["out of time"] == 12


def test_nobody_there_is_a_failure_of_every_probe(sets: dict[str, GoldenSet]) -> None:
    made = Scripted()
    made.close()
    result = replay(made.url, sets["recognition"], "rec-facenet-v1.0.0")
    assert result.answered == 0
    assert set(result.failures) == {"no connection (ConnectError)"}


def test_a_proxy_of_the_environment_is_not_asked(
    script: Scripted, sets: dict[str, GoldenSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    script.say = answers("recognition", [verified(same=True)] * 12)
    assert replay(script.url, sets["recognition"], "rec-facenet-v1.0.0").complete


def test_a_version_that_is_no_id_is_refused(sets: dict[str, GoldenSet]) -> None:
    with pytest.raises(NameFormatError):
        replay("http://127.0.0.1:9", sets["recognition"], "1.0.0")
