"""What a version must do where it is deployed."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from facemodels.deployment import settings
from facemodels.deployment.controller.control_access import control_token
from facemodels.detection.task import Detector
from facemodels.monitoring import probes
from facemodels.monitoring.settings import load_triggers
from facemodels.recognition.task import Embedder, Preprocessing
from facemodels.serving.http.access import is_loopback

from .conftest import ROOT, Deployed

PNG = {"content-type": "image/png"}
ABILITY = {
    "detection": "detect", "recognition": "embed", "landmarks": "landmarks", "system": "faces",
}  # fmt: skip
BOX = [40.0, 20.0, 120.0, 120.0]  # about where the generator puts a face, of 160 pixels
BURST, AT_ONCE = 100, 32
PHOTOS_AT_ONCE = 8  # of a system, whose photos take several graphs each
TIMED = 60
TOLERANCE = 0.05
RECORDED = {  # what the package's own metrics say of the same question
    "recognition": ("accuracy", lambda result: result.accuracy),
    "detection": ("f1", lambda result: result.counts.f1),
    "landmarks": ("failure_rate_at_0.08", lambda result: 1 - result.accuracy),
    "system": ("fnmr", lambda result: 1 - result.counts.recall),
}
# In a process of its own: gevent changes the one it is loaded into.
_TRITON = """
import json, sys
import numpy as np
from tritonclient.http import InferenceServerClient, InferInput

url, secure, name, version, headers, folder = sys.argv[1:]
headers = json.loads(headers)
client = InferenceServerClient(url, ssl=secure == "yes")
assert client.is_server_ready(headers=headers)
metadata = client.get_model_metadata(name, version, headers=headers)
values = dict(np.load(folder + "/inputs.npz"))
tensors = []
for known in metadata["inputs"]:
    given = values[known["name"] if known["name"] in values else "input"]
    tensors.append(InferInput(known["name"], list(given.shape), known["datatype"]))
    tensors[-1].set_data_from_numpy(given)
answer = client.infer(name, tensors, model_version=version, headers=headers)
assert answer.get_response()["model_version"] == version
np.save(folder + "/output.npy", answer.as_numpy(metadata["outputs"][0]["name"]))
"""


def ask(
    client: httpx.Client, deployed: Deployed, data: bytes, ability: str | None = None
) -> httpx.Response:
    path = f"/api/{ability or ABILITY[deployed.task]}"
    query = {"box": ",".join(map(str, BOX))} if deployed.task == "landmarks" else None
    return client.post(path, content=data, headers=PNG, params=query)


def result_of(response: httpx.Response, deployed: Deployed) -> dict[str, Any]:
    """The one result in an answer, which is this version's."""
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["model_name"] == str(deployed.identity.name)
    assert answer["model_version"] == str(deployed.identity.version)
    (result,) = answer["results"]
    return result


def test_info_says_which_version_answers_and_what_became_of_it(
    client: httpx.Client, deployed: Deployed
) -> None:
    info = client.get("/api/model/info").json()
    assert info["model_id"] == str(deployed.identity)
    assert info["task"] == deployed.task
    assert info["uptime_seconds"] >= 0
    if deployed.registered:
        # A version may be in several environments; a new or a deprecated one is in none.
        assert info["status"] in settings.ENVIRONMENTS
    else:
        assert info["status"] in (None, *settings.ENVIRONMENTS)


@pytest.mark.parametrize("state", ["live", "ready"])
def test_the_server_is_healthy(client: httpx.Client, state: str) -> None:
    response = client.get(f"/v2/health/{state}")
    assert response.status_code == 200
    assert response.json() == {state: True}


def test_a_face_gets_an_answer_of_the_right_shape_and_range(
    client: httpx.Client, deployed: Deployed, pixels: list[np.ndarray], pictures: list[bytes]
) -> None:
    for image, data in zip(pixels, pictures, strict=True):
        check = {
            "detection": _check_faces, "recognition": _check_vector, "landmarks": _check_fit,
            "system": _check_whole_faces,
        }  # fmt: skip
        check[deployed.task](result_of(ask(client, deployed, data), deployed), image)


def _check_faces(result: dict[str, Any], image: np.ndarray) -> None:
    height, width = image.shape[:2]
    assert (result["width"], result["height"]) == (width, height)
    scores = [face["score"] for face in result["faces"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    for x0, y0, x1, y1 in (face["box"] for face in result["faces"]):
        assert 0 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height


def _check_whole_faces(result: dict[str, Any], image: np.ndarray) -> None:
    _check_faces(result, image)
    assert result["faces"]
    for face in result["faces"]:
        assert np.shape(face["points"]) == (5, 2)
        _check_vector(face, image)


def _check_vector(result: dict[str, Any], image: np.ndarray) -> None:
    vector = np.array(result["embedding"])
    assert vector.ndim == 1
    assert len(vector) >= 2
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)


def _check_fit(result: dict[str, Any], image: np.ndarray) -> None:
    points = np.array(result["points"])
    assert points.shape == (68, 2)
    assert np.isfinite(points).all()
    assert (np.abs(points) < 3 * max(image.shape)).all()
    assert result["box"] == BOX


def test_two_crops_are_compared(
    client: httpx.Client, deployed: Deployed, pictures: list[bytes]
) -> None:
    if deployed.task not in ("recognition", "system"):
        pytest.skip("only recognition and systems compare")

    def verify(one: bytes, other: bytes) -> dict[str, Any]:
        files = [("image", ("a.png", one)), ("image", ("b.png", other))]
        response = client.post("/api/verify", files=files)
        assert response.status_code == 200, response.text
        return response.json()

    itself = verify(pictures[0], pictures[0])
    assert itself["same_person"] is True
    assert itself["similarity"] == pytest.approx(1, abs=1e-4)
    someone = verify(pictures[0], pictures[2])
    assert -1.001 <= someone["similarity"] < itself["similarity"]
    assert someone["same_person"] == (someone["similarity"] >= someone["threshold"])


def test_the_same_request_gets_the_same_answer(
    client: httpx.Client, deployed: Deployed, pictures: list[bytes]
) -> None:
    first, second = (result_of(ask(client, deployed, pictures[0]), deployed) for _ in range(2))
    assert first == second


def test_the_inference_protocol_agrees_with_the_plain_addresses(
    client: httpx.Client,
    deployed: Deployed,
    pixels: list[np.ndarray],
    pictures: list[bytes],
    tmp_path: Path,
) -> None:
    plain = result_of(ask(client, deployed, pictures[0]), deployed)
    name, version = str(deployed.identity.name), str(deployed.identity.version)
    scheme, _, address = deployed.url.partition("://")

    def infer(**inputs: np.ndarray) -> np.ndarray:
        np.savez(tmp_path / "inputs.npz", **inputs)
        secure = "yes" if scheme == "https" else "no"
        told = [address, secure, name, version, json.dumps(dict(deployed.headers)), str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", _TRITON, *told],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return np.load(tmp_path / "output.npy")

    def run(batch: np.ndarray) -> np.ndarray:
        return infer(input=batch)

    (known, *_) = client.get(f"/v2/models/{name}").json()["inputs"]
    if deployed.task == "recognition":
        embedder = Embedder(run, Preprocessing(known["shape"][-1]), len(plain["embedding"]))
        np.testing.assert_allclose(embedder.embed(pixels[:1])[0], plain["embedding"], atol=1e-5)
    elif deployed.task == "detection":
        side = _input_side(known["shape"])
        (found,) = Detector(run, side).detect(pixels[:1])
        boxes = [face["box"] for face in plain["faces"]]
        np.testing.assert_allclose(found.boxes[: len(boxes)], np.reshape(boxes, (-1, 4)), atol=0.01)
    elif deployed.task == "system":
        found = infer(images=pixels[0][None])  # image, box, score and embedding of each face
        told = [[0, *one["box"], one["score"], *one["embedding"]] for one in plain["faces"]]
        np.testing.assert_allclose(found, told, atol=1e-3)
    else:
        points = infer(images=pixels[0][None], boxes=np.array([BOX], np.float32))
        np.testing.assert_allclose(points[0], plain["points"], atol=1e-3)


def _input_side(shape: list[int]) -> int:
    if shape[-1] < 1:
        pytest.skip("the graph takes any size; which one the server uses, it does not tell")
    return shape[-1]


@pytest.mark.parametrize(
    ("ability", "headers", "body", "status"),
    [
        (None, PNG, b"no picture", 422),
        (None, PNG, b"", 422),
        (None, {"content-type": "text/plain"}, b"hello", 415),
        ("nothing", PNG, b"x", 404),
    ],
)
def test_a_wrong_request_is_told_so(
    client: httpx.Client,
    deployed: Deployed,
    ability: str | None,
    headers: dict[str, str],
    body: bytes,
    status: int,
) -> None:
    path = f"/api/{ability or ABILITY[deployed.task]}"
    response = client.post(path, content=body, headers=headers)
    assert response.status_code == status, response.text


def samples(text: str, name: str, deployed: Deployed) -> list[Any]:
    """Those of a metric that are the version's."""
    return [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
        and sample.labels["model_name"] == str(deployed.identity.name)
        and sample.labels["model_version"] == str(deployed.identity.version)
    ]


def test_metrics_tell_of_the_version(
    client: httpx.Client, deployed: Deployed, pictures: list[bytes]
) -> None:
    response = client.get("/metrics")
    if response.status_code == 404:  # a router keeps the metrics of its servers from the public
        known = settings.load(ROOT, deployed.environment)
        control = known.control
        if not deployed.registered or not is_loopback(control.host):
            pytest.skip("metrics are at the controller, which answers its own machine alone")
        token = control_token(settings.state_folder(ROOT, deployed.environment, known))
        told = httpx.get(
            f"http://{control.host}:{control.port}/metrics",
            headers={"authorization": f"Bearer {token}"}, trust_env=False,
        )  # fmt: skip
        (share,) = samples(told.text, "facemodels_share_ratio", deployed)
        assert 0 <= share.value <= 1
        return
    assert response.status_code == 200, response.text

    def answered() -> float:
        found = samples(client.get("/metrics").text, "model_predictions_total", deployed)
        (success,) = [one.value for one in found if one.labels["status"] == "success"]
        return success

    before = answered()
    ask(client, deployed, pictures[0])
    _until(lambda: answered() > before)


def _until(true: Callable[[], bool], seconds: float = 10) -> None:
    """With several servers a version, each look may find another."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline


def test_the_probes_are_answered_as_well_as_the_package_says(deployed: Deployed) -> None:
    folder = ROOT / settings.load(ROOT, deployed.environment).probes.folder / deployed.task
    if not (folder / probes.golden_set.FILE).exists():
        pytest.skip(f"no probes in {folder.relative_to(ROOT)}")
    with deployed.client() as client:
        recorded = client.get("/api/model/info").json()["metrics"]
    result = probes.replay(
        deployed.url, probes.load(folder), str(deployed.identity), headers=deployed.headers
    )
    assert result.complete, result.as_json()
    name, seen = RECORDED[deployed.task]
    if name not in recorded:
        pytest.skip(f"the package records no {name}")
    worse = seen(result) - recorded[name]
    if deployed.task not in ("landmarks", "system"):  # there it is failures that are counted
        worse = -worse
    by_chance = 3 * math.sqrt(recorded[name] * (1 - recorded[name]) / result.asked)
    assert worse <= max(TOLERANCE, by_chance), result.as_json()


def test_a_burst_is_answered_without_a_failure(
    client: httpx.Client, deployed: Deployed, pictures: list[bytes]
) -> None:
    expected = result_of(ask(client, deployed, pictures[0]), deployed)
    at_once = PHOTOS_AT_ONCE if deployed.task == "system" else AT_ONCE
    with ThreadPoolExecutor(at_once) as pool:
        burst = [pool.submit(ask, client, deployed, pictures[0]) for _ in range(BURST)]
        answers = [result_of(one.result(), deployed) for one in burst]
    assert len(answers) == BURST
    for answer in answers:  # sums in a batch are taken in another order
        np.testing.assert_allclose(_flat(answer), _flat(expected), atol=0.01)


def _flat(value: Any) -> list[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for one in value for number in _flat(one)]
    return [float(value)]


def test_the_95th_percentile_is_below_the_trigger_of_a_rollback(
    client: httpx.Client, deployed: Deployed, pictures: list[bytes]
) -> None:
    ask(client, deployed, pictures[0])  # opens the connection
    took = []
    for number in range(TIMED):
        began = time.perf_counter()
        result_of(ask(client, deployed, pictures[number % len(pictures)]), deployed)
        took.append(time.perf_counter() - began)
    assert np.quantile(took, 0.95) * 1000 < load_triggers(ROOT).latency_threshold_ms
