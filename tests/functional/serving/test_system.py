"""A system in one server: from a photo to all its faces, or to an answer about two photos."""

from __future__ import annotations

from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from facemodels.package.load import open_package

from .conftest import Server, encoded

PNG = {"content-type": "image/png"}


def two(one: np.ndarray, other: np.ndarray) -> list:
    return [("image", ("a", encoded(one))), ("image", ("b", encoded(other)))]


def measured(answer: httpx.Response) -> tuple[str, float, float]:
    """What a refusal says for programs: what was measured, the value and the limit."""
    body = answer.json()
    return body["field"], body["value"], body["limit"]


def test_every_face_of_a_photo_comes_with_points_quality_and_the_packages_own_embedding(
    system_server: Server, system: Path, photos: dict[int, np.ndarray]
) -> None:
    answer = system_server.post("/api/faces", content=encoded(photos[2]), headers=PNG)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    package = open_package(system)
    own = package.predictor().find(photos[2])
    assert body["embedding_space"] == package.metadata["embedding_space"]
    (result,) = body["results"]
    assert len(result["faces"]) == len(own) >= 2
    for told, face in zip(result["faces"], own, strict=True):
        assert np.array(told["embedding"], np.float32).tobytes() == face.embedding.tobytes()
        np.testing.assert_array_equal(np.array(told["box"], np.float32), face.box)
        np.testing.assert_array_equal(np.array(told["points"], np.float32), face.points)
        assert told["quality"]["eyes"] == pytest.approx(face.quality.eyes)


def test_a_photo_in_company_gives_the_embeddings_that_it_gives_alone(
    system_server: Server, photos: dict[int, np.ndarray]
) -> None:
    both = system_server.post("/api/faces", files=two(photos[1], photos[2])).json()["results"]
    for result, photo in zip(both, (photos[1], photos[2]), strict=True):
        alone = system_server.post("/api/faces", content=encoded(photo), headers=PNG).json()
        assert alone["results"] == [result]


def test_a_photo_is_one_person_with_itself_and_the_answer_says_by_what(
    system_server: Server, photos: dict[int, np.ndarray]
) -> None:
    body = system_server.post("/api/verify", files=two(photos[1], photos[1])).json()
    assert body["same_person"] is True
    assert body["similarity"] == pytest.approx(1)
    assert (body["threshold"], body["fmr"]) == (0.7, 0.01)
    assert len(body["faces"]) == 2
    assert "embedding" not in body["faces"][0]


def test_a_caller_may_ask_for_a_rate_instead_of_a_threshold(
    system_server: Server, photos: dict[int, np.ndarray]
) -> None:
    files = two(photos[1], photos[1])
    strict = system_server.post("/api/verify", files=files, params={"fmr": "0.001"}).json()
    assert (strict["threshold"], strict["fmr"]) == (0.9, 0.001)
    refused = system_server.post("/api/verify", files=files, params={"fmr": "0.000001"})
    assert refused.status_code == 400
    assert refused.json()["code"] == "unsupported_fmr"
    both = system_server.post("/api/verify", files=files, params={"fmr": "0.01", "threshold": "0"})
    assert both.status_code == 400


@pytest.mark.parametrize("choose", ["largest", "centre", "best", "all"])
def test_of_several_faces_the_one_that_is_asked_for_is_compared(
    system_server: Server, photos: dict[int, np.ndarray], choose: str
) -> None:
    answer = system_server.post(
        "/api/verify", files=two(photos[2], photos[2]), params={"choose": choose}
    )
    assert answer.status_code == 200, answer.text
    one, other = answer.json()["faces"]
    assert one == other


def test_what_cannot_be_compared_is_told_with_its_reason(
    system_server: Server, photos: dict[int, np.ndarray]
) -> None:
    nobody = system_server.post("/api/verify", files=two(photos[1], photos[0]))
    assert (nobody.status_code, nobody.json()["code"]) == (422, "no_face")
    assert measured(nobody) == ("faces", 0, 1)
    assert "Image 2" in nobody.json()["error"]
    several = system_server.post(
        "/api/verify", files=two(photos[1], photos[2]), params={"choose": "error"}
    )
    assert (several.status_code, several.json()["code"]) == (422, "several_faces")
    assert measured(several)[::2] == ("faces", 1)
    assert measured(several)[1] >= 2
    body = system_server.post("/api/faces", content=encoded(photos[1]), headers=PNG).json()
    eyes = body["results"][0]["faces"][0]["quality"]["eyes"]
    side = round(320 * 9 / eyes)  # some 10 pixels between the eyes, where 15 are asked for
    small = np.array(Image.fromarray(photos[1]).resize((side, side)))
    poor = system_server.post("/api/verify", files=two(photos[1], small))
    assert (poor.status_code, poor.json()["code"]) == (422, "poor_face")
    assert "15" in poor.json()["error"]
    assert measured(poor)[::2] == ("eyes", 15)
    assert 0 < measured(poor)[1] < 15
    wrong = system_server.post(
        "/api/verify", files=two(photos[1], photos[1]), params={"choose": "tallest"}
    )
    assert wrong.status_code == 400


def test_a_system_answers_nothing_of_its_members(system_server: Server) -> None:
    for ability in ("detect", "embed", "landmarks"):
        assert system_server.post(f"/api/{ability}", content=b"x", headers=PNG).status_code == 404


def test_the_inference_protocol_gives_a_row_a_face(
    system_server: Server, system: Path, photos: dict[int, np.ndarray]
) -> None:
    described = system_server.get("/v2/models/system-faces").json()
    assert described["outputs"][0]["shape"] == [-1, 6 + 512]
    image = photos[2]
    tensor = {
        "name": "images", "shape": [1, *image.shape], "datatype": "UINT8",
        "data": image.ravel().tolist(),
    }  # fmt: skip
    answer = system_server.post("/v2/models/system-faces/infer", json={"inputs": [tensor]}).json()
    own = open_package(system).predictor().find(image)
    assert answer["outputs"][0]["shape"] == [len(own), 6 + 512]
