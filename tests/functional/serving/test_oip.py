"""`/v2` as the Open Inference Protocol has it: with Triton's own client, and by hand."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from facemodels.data.sample import generate
from facemodels.package.load import open_package
from facemodels.recognition.task import Preprocessing

from .answers import check
from .conftest import GOLDEN, Server

# In a process of its own: gevent changes the one it is loaded into.
_CLIENT = """
import json, sys
import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

url, folder = sys.argv[1:]
inputs = dict(np.load(folder + "/inputs.npz"))
client = InferenceServerClient(url)
told = {"live": client.is_server_live(), "ready": client.is_server_ready()}
told["server"] = client.get_server_metadata()
model = json.load(open(folder + "/model.json"))
name, version = model["name"], model["version"]
told["model_ready"] = client.is_model_ready(name) and client.is_model_ready(name, version)
told["other_ready"] = client.is_model_ready(name, "9.9.9") or client.is_model_ready("other")
told["metadata"] = client.get_model_metadata(name)
told["same"] = client.get_model_metadata(name, version) == told["metadata"]
told["config"] = client.get_model_config(name, version)
told["statistics"] = client.get_inference_statistics(name)["model_stats"]
told["index"] = client.get_model_repository_index()
assert client.get_inference_statistics()["model_stats"][0].keys() == told["statistics"][0].keys()
types = {tensor["name"]: tensor["datatype"] for tensor in told["metadata"]["inputs"]}
(output,) = [tensor["name"] for tensor in told["metadata"]["outputs"]]

def ask(binary_in, binary_out, **more):
    tensors = []
    for key, values in inputs.items():
        tensor = InferInput(key, list(values.shape), types[key])
        tensor.set_data_from_numpy(values, binary_data=binary_in)
        tensors.append(tensor)
    wanted = None if binary_out is None else [InferRequestedOutput(output, binary_data=binary_out)]
    return client.infer(name, tensors, outputs=wanted, **more)

found = {}
for binary_in in (False, True):
    for binary_out in (False, True, None):
        result = ask(binary_in, binary_out, request_id="r-7", model_version=version)
        assert result.get_response()["id"] == "r-7"
        found[f"{binary_in}-{binary_out}"] = result.as_numpy(output)
told["unversioned"] = ask(True, True).get_response()["model_version"]
told["parameters"] = ask(True, True, priority=1, timeout=5, parameters={"mine": "x"}) is not None
try:
    client.infer("other", [InferInput("x", [1], "FP32")])
except InferenceServerException as error:
    told["refused"] = [error.status(), error.message()]
np.savez(folder + "/outputs.npz", **found)
print(json.dumps(told))
"""


def pictures(count: int, side: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def conforms(
    server: Server, package: Path, inputs: dict[str, np.ndarray], folder: Path
) -> np.ndarray:
    """Ask with Triton's client in all ways; they agree; the result."""
    identity = open_package(package).id
    model = {"name": str(identity.name), "version": str(identity.version)}
    (folder / "model.json").write_text(json.dumps(model))
    np.savez(folder / "inputs.npz", **inputs)
    address = server.url.removeprefix("http://")
    done = subprocess.run(
        [sys.executable, "-c", _CLIENT, address, str(folder)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["live"]
    assert told["ready"]
    assert told["model_ready"]
    assert not told["other_ready"]
    assert told["same"]
    assert told["server"]["extensions"][0] == "binary_tensor_data"
    assert told["metadata"]["name"] == model["name"]
    assert told["metadata"]["versions"] == [told["unversioned"]] == [model["version"]]
    assert [t["name"] for t in told["metadata"]["inputs"]] == list(inputs)
    assert told["parameters"]
    assert [t["name"] for t in told["config"]["input"]] == list(inputs)
    assert told["config"]["output"][0]["data_type"] == "TYPE_FP32"
    assert told["statistics"][0]["inference_stats"].keys() >= {"success", "queue", "compute_infer"}
    assert told["index"] == [{**model, "state": "READY", "reason": ""}]
    assert told["refused"][0] == "404"
    assert told["refused"][1].startswith("This server has")
    with np.load(folder / "outputs.npz") as found:
        results = [found[key] for key in found]
    assert len(results) == 6
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])
    return results[0]


def test_recognition_conforms_and_embeds_as_the_package_does(
    face_server: Server, facenet: Path, tmp_path: Path
) -> None:
    images = pictures(2, 80)
    found = conforms(face_server, facenet, {"images": Preprocessing(80)(list(images))}, tmp_path)
    own = open_package(facenet).predictor(threads=1).embed(list(images))
    np.testing.assert_allclose(found, own, atol=1e-6)


def test_detection_conforms_and_predicts_as_the_graph_does(
    detection_server: Server, yolov8: Path, tmp_path: Path
) -> None:
    from facemodels.detection.task import to_input

    batch = to_input(pictures(2, 64))
    found = conforms(detection_server, yolov8, {"images": batch}, tmp_path)
    own = open_package(yolov8).predictor(threads=1).run(batch)
    np.testing.assert_allclose(found, own, atol=1e-4)


def test_landmarks_conform_and_fit_as_the_package_does(
    landmark_server: Server, tmp_path: Path
) -> None:
    images = pictures(2, 50)
    boxes = np.array([[0, 0, 50, 50], [5, 5, 40.5, 45]], np.float32)
    found = conforms(landmark_server, GOLDEN, {"images": images, "boxes": boxes}, tmp_path)
    own = open_package(GOLDEN).predictor(threads=1).fit(list(images), boxes)
    np.testing.assert_array_equal(found, own)


def test_a_detector_of_several_graphs_gives_a_row_a_face(
    points_server: Server, mtcnn: Path, tmp_path: Path
) -> None:
    scenes = generate.detection_split("test", seed=3, scenes=2, image_size=200, workers=1).images
    images = np.stack([scenes[0], np.zeros_like(scenes[0]), scenes[1]])
    found = conforms(points_server, mtcnn, {"images": images}, tmp_path)
    own = open_package(mtcnn).predictor(threads=1).detect(list(images))
    assert found.shape == (sum(map(len, own)), 16)
    for number, faces in enumerate(own):
        rows = found[found[:, 0] == number]
        np.testing.assert_allclose(rows[:, 1:5], faces.boxes, atol=1e-3)
        np.testing.assert_allclose(rows[:, 5], faces.scores, atol=1e-6)
        np.testing.assert_allclose(rows[:, 6:].reshape(-1, 5, 2), faces.points, atol=1e-3)


MODEL = "/v2/models/landmark-dlib"
INFER = f"{MODEL}/infer"


def request(box: list[float] | None = None, pixels: Any = None) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": "images", "datatype": "UINT8", "shape": [1, 2, 2, 3], "data": pixels or [0] * 12},
            {"name": "boxes", "datatype": "FP32", "shape": [1, 4], "data": box or [0, 0, 2, 2]},
        ]
    }  # fmt: skip


def test_health_and_metadata_have_the_fields_of_the_protocol(landmark_server: Server) -> None:
    get = landmark_server.get
    assert get("/v2/health/live").json() == {"live": True}
    assert get("/v2/health/ready").json() == {"ready": True}
    assert get("/v2").json().keys() == {"name", "version", "extensions"}
    assert get(f"{MODEL}/versions/1.0.0/ready").json() == {"name": "landmark-dlib", "ready": True}
    assert get(MODEL).json() == {
        "name": "landmark-dlib",
        "versions": ["1.0.0"],
        "platform": "dlib_dat",
        "inputs": [
            {"name": "images", "datatype": "UINT8", "shape": [-1, -1, -1, 3]},
            {"name": "boxes", "datatype": "FP32", "shape": [-1, 4]},
        ],
        "outputs": [{"name": "points", "datatype": "FP32", "shape": [-1, 68, 2]}],
    }


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models/other",
        f"{MODEL}/versions/2.0.0",
        "/v2/models/x%2Fy",
        "/v2/models/%00/ready",
        "/v2/",
        "/v2/models",
        "/v2/models/",
        "//v2",
    ],
)
def test_another_model_version_or_address_is_not_found(landmark_server: Server, path: str) -> None:
    answer = landmark_server.get(path)
    assert answer.status_code == 404
    check(answer)
    if path.endswith(("other", "2.0.0")):
        assert landmark_server.post(f"{path}/infer", json=request()).status_code == 404
        assert landmark_server.get(f"{path}/ready").status_code == 404


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, 200), ("application/json", 200), ("Application/JSON; charset=utf-8", 200),
        ("application/octet-stream", 200), ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415), ("multipart/form-data; boundary=b", 415),
    ],
)  # fmt: skip
def test_content_types_are_json_binary_or_not_said(
    landmark_server: Server, kind: str | None, status: int
) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = landmark_server.post(INFER, content=json.dumps(request()), headers=headers)
    assert answer.status_code == status
    check(answer)


def test_a_compressed_body_is_unsupported_and_not_called_broken(landmark_server: Server) -> None:
    for path in (INFER, "/api/landmarks"):
        answer = landmark_server.post(
            path, content=b"x", headers={"content-encoding": "br", "content-type": "image/png"}
        )
        assert answer.status_code == 415
    answer = landmark_server.post(INFER, content=b"x", headers={"content-encoding": "br"})
    assert answer.json()["code"] == "unsupported_encoding"


@pytest.mark.parametrize(
    "length", ["", "-1", "+2", "2.0", "0x2", "\xb2", "1" * 13, "1 1", "99999999", "0", "3"]
)
def test_a_length_of_the_head_that_is_none_is_refused(landmark_server: Server, length: str) -> None:
    headers = [(b"inference-header-content-length", length.encode("latin-1"))]
    answer = landmark_server.post(INFER, content=json.dumps(request()), headers=headers)
    assert answer.status_code == 400
    check(answer)


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 0, 2],
        [2, 2, 0, 0],
        [-1e30, 0, 2, 2],
        [0, 0, 1e30, 1e30],
        [0, 0, 2, 3.4e38],
        [9, 9, 10, 10],
        [0, 0, 2, 9],
    ],
)
def test_a_box_without_area_or_far_from_its_image_is_refused(
    landmark_server: Server, box: list[float]
) -> None:
    answer = landmark_server.post(INFER, json=request(box))
    assert answer.status_code == 400
    check(answer)


@pytest.mark.parametrize("box", [[0, 0, 1, 1], [-4, -4, 6, 6], [0.1, 0.1, 0.2, 0.2], [5, 5, 6, 6]])
def test_a_box_beyond_its_image_or_smaller_than_a_pixel_is_answered(
    landmark_server: Server, box: list[float]
) -> None:
    answer = landmark_server.post(INFER, json=request(box))
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["shape"] == [1, 68, 2]


def test_more_rows_than_allowed_are_refused(landmark_server: Server) -> None:
    body = request()
    body["inputs"][0] |= {"shape": [257, 1, 1, 3], "data": [0] * 771}
    body["inputs"][1] |= {"shape": [257, 4], "data": [0, 0, 1, 1] * 257}
    answer = landmark_server.post(INFER, json=body)
    assert answer.status_code == 413
    check(answer)


def test_values_that_lead_to_no_finite_output_are_the_clients_error(face_server: Server) -> None:
    item = {"name": "images", "datatype": "FP32", "shape": [1, 3, 80, 80]}
    for value in (struct.pack("<f", 3.4e38), struct.pack("<f", float("nan"))):
        data = value * (3 * 80 * 80)
        head = json.dumps({"inputs": [{**item, "parameters": {"binary_data_size": len(data)}}]})
        answer = face_server.post(
            "/v2/models/recognition-facenet/infer", content=head.encode() + data,
            headers={"inference-header-content-length": str(len(head))},
        )  # fmt: skip
        assert answer.status_code == 400
        check(answer)


def test_a_client_that_hangs_up_in_the_middle_is_no_failure_of_the_server(
    landmark_server: Server,
) -> None:
    with socket.create_connection(("127.0.0.1", landmark_server.port)) as connection:
        connection.sendall(
            f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: 999\r\n"
            "x-request-id: hung-up\r\n\r\n{".encode()
        )
    line = landmark_server.wait_for("request", request_id="hung-up")
    assert line["status"] < 500
    assert not [line for line in landmark_server.lines if line["event"] == "failed"]


def test_other_methods_are_refused_with_those_that_are_allowed(landmark_server: Server) -> None:
    for method, path, allowed in (
        ("GET", INFER, "POST"),
        ("DELETE", MODEL, "GET"),
        ("PUT", "/api/landmarks", "POST"),
    ):
        answer = httpx.request(method, landmark_server.url + path)
        assert answer.status_code == 405
        assert answer.headers["allow"] == allowed
        check(answer)
