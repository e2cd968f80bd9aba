"""What the server answers, over HTTP, as a client meets it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.sample import generate
from facemodels.imaging import decode
from facemodels.package.load import open_package

from .conftest import GOLDEN, Server, Start, encoded

JPEG = {"content-type": "image/jpeg"}


def picture(
    width: int = 90, height: int = 70, *, seed: int = 0, form: str = "JPEG", **save
) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **save)
    return stream.getvalue()


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def test_info_has_the_fields_of_the_registry_the_digest_and_the_uptime(
    landmark_server: Server,
) -> None:
    info = landmark_server.get("/api/model/info").json()
    assert {
        "model_id", "name", "version", "status", "created_at", "deployed_at", "storage_path",
        "metrics", "tags", "parent_version", "changelog",
    } <= info.keys()  # fmt: skip
    assert info["model_id"] == "lmk-dlib-v1.0.0"
    assert info["package_digest"] == f"sha256:{open_package(GOLDEN).digest}"
    assert info["uptime_seconds"] > 0


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP"])
def test_an_embedding_over_http_is_the_one_of_the_package(
    face_server: Server, facenet, form: str
) -> None:
    data = picture(form=form)
    answer = face_server.post(
        "/api/embed", content=data, headers={"content-type": f"image/{form.lower()}"}
    )
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    own = open_package(facenet).predictor(threads=1).embed([decode(data)])[0]
    np.testing.assert_allclose(result["embedding"], own, atol=1e-6)


def test_several_images_in_a_form_are_answered_in_order(face_server: Server) -> None:
    parts = [("image", (f"{i}.jpg", picture(seed=i), "image/jpeg")) for i in range(3)]
    together = face_server.post("/api/embed", files=parts).json()["results"]
    alone = [
        face_server.post("/api/embed", content=picture(seed=i), headers=JPEG).json()["results"][0]
        for i in range(3)
    ]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one["embedding"], other["embedding"], atol=1e-6)


def test_verify_tells_the_same_picture_from_another(face_server: Server) -> None:
    same = [("image", ("a", picture())), ("image", ("b", picture()))]
    answer = face_server.post("/api/verify", files=same).json()
    assert answer["similarity"] == pytest.approx(1, abs=1e-5)
    assert answer["same_person"] is True
    assert face_server.post("/api/verify", content=picture(), headers=JPEG).status_code == 400


def test_boxes_are_pixels_of_the_image_as_it_is_displayed(detection_server: Server, yolov8) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    data = picture(120, 40, exif=exif)
    answer = detection_server.post(
        "/api/detect", content=data, headers=JPEG, params={"threshold": "0.0"}
    ).json()
    (result,) = answer["results"]
    assert (result["width"], result["height"]) == (40, 120)
    (own,) = open_package(yolov8).predictor(threads=1).detect([decode(data)])
    assert len(result["faces"]) == len(own)
    np.testing.assert_allclose([f["box"] for f in result["faces"]], own.boxes, atol=1e-3)


def test_faces_have_points_where_the_model_finds_points(points_server: Server, mtcnn: Path) -> None:
    scenes = generate.detection_split("test", seed=3, scenes=2, image_size=200, workers=1).images
    blank = np.zeros((30, 40, 3), np.uint8)
    images = [scenes[0], blank, scenes[1]]
    parts = [("image", (f"{i}.png", png(image), "image/png")) for i, image in enumerate(images)]
    answer = points_server.post("/api/detect", files=parts, params={"threshold": "0.9"})
    results = answer.json()["results"]
    own = open_package(mtcnn).predictor(threads=1).detect(images)
    assert [len(result["faces"]) for result in results] == [
        int((faces.scores >= 0.9).sum()) for faces in own
    ]
    assert results[0]["faces"]
    assert not results[1]["faces"]
    for result, faces in zip(results, own, strict=True):
        for face, box, points in zip(result["faces"], faces.boxes, faces.points, strict=False):
            assert face.keys() == {"box", "score", "points"}
            np.testing.assert_allclose(face["box"], box, atol=1e-3)
            np.testing.assert_allclose(face["points"], points, atol=1e-3)


def test_faces_of_a_model_of_boxes_alone_have_no_points(detection_server: Server) -> None:
    answer = detection_server.post(
        "/api/detect", content=picture(), headers=JPEG, params={"threshold": "0"}
    )
    faces = answer.json()["results"][0]["faces"]
    assert faces
    assert all(face.keys() == {"box", "score"} for face in faces)


def test_landmarks_take_a_box_or_the_whole_image(landmark_server: Server) -> None:
    whole = landmark_server.post("/api/landmarks", content=picture(), headers=JPEG).json()
    assert np.shape(whole["results"][0]["points"]) == (68, 2)
    boxed = landmark_server.post(
        "/api/landmarks", content=picture(), headers=JPEG, params={"box": "10,10,60,60"}
    ).json()
    points = np.array(boxed["results"][0]["points"])
    assert boxed["results"][0]["box"] == [10, 10, 60, 60]
    assert points.mean(axis=0) == pytest.approx([35, 35], abs=25)
    for box in ("1,2,3", "a,b,c,d", "9,9,1,1", "nan,0,1,1", "0,0,1e9,1e9"):
        wrong = landmark_server.post(
            "/api/landmarks", content=picture(), headers=JPEG, params={"box": box}
        )
        assert wrong.status_code == 400, box


def test_a_model_answers_what_its_task_allows(landmark_server: Server) -> None:
    answer = landmark_server.post("/api/embed", content=picture(), headers=JPEG)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (
            {"content": b"x", "headers": {"content-type": "text/plain"}},
            415,
            "unsupported_media_type",
        ),
        ({"content": b"x"}, 415, "unsupported_media_type"),
        ({"content": b"no image", "headers": JPEG}, 422, "undecodable_image"),
        ({"content": picture()[:500], "headers": JPEG}, 422, "undecodable_image"),
        ({"content": b"", "headers": JPEG}, 422, "undecodable_image"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "broken_form"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    landmark_server: Server, options: dict, status: int, code: str
) -> None:
    answer = landmark_server.post("/api/landmarks", **options)
    assert answer.status_code == status
    body = answer.json()
    assert body["code"] == code
    assert body["request_id"] == answer.headers["x-request-id"]


def test_the_request_id_of_an_answer_is_in_the_log_and_nothing_private_is(
    landmark_server: Server,
) -> None:
    sent = landmark_server.post(
        "/api/landmarks",
        files=[("image", ("Jane Doe.jpg", b"broken", "image/jpeg"))],
        headers={"x-request-id": "of-a-client-17"},
    )
    assert sent.headers["x-request-id"] == "of-a-client-17"
    line = landmark_server.wait_for("request", request_id="of-a-client-17")
    assert line["status"] == 422
    assert "Jane" not in str(landmark_server.lines)


def test_what_the_registry_says_is_read_whenever_it_is_asked_for(
    start: Start, tmp_path: Path
) -> None:
    about = tmp_path / "about.json"
    about.write_text('{"status": "staging"}')
    server = start(GOLDEN, "--about", str(about))

    def status() -> str:
        return str(server.get("/api/model/info").json()["status"])

    assert status() == "staging"
    about.write_text('{"status": "production"}')
    assert status() == "production"
    about.write_text('{"status": "dev')  # half written
    assert status() == "production"
    about.unlink()
    assert status() == "production"


def test_an_answer_is_judged_once_by_its_request(face_server: Server) -> None:
    parts = [("image", ("a.png", picture(), "image/png"))] * 2
    answer = face_server.post("/api/verify", files=parts)
    assert answer.json()["reliability"]["known_issues"] == "Knows nothing."
    said = {"request_id": answer.headers["x-request-id"], "verdict": "wrong"}
    assert face_server.post("/api/feedback", json=said).json() == {"counted": True}
    assert face_server.post("/api/feedback", json=said).status_code == 409
    for wrong in ({}, {**said, "score": 1}, {**said, "verdict": "odd"}, {"request_id": "a b"}):
        assert face_server.post("/api/feedback", json=wrong).status_code == 400
    assert face_server.post("/api/feedback", content=b"x" * 5000).status_code == 413
    assert 'verdict="wrong"} 1.0' in face_server.get("/metrics").text
    black = [("image", ("a.png", encoded(np.zeros((50, 50, 3), np.uint8)), "image/png"))] * 2
    assert face_server.post("/api/verify", files=black).json()["code"] == "no_face"
