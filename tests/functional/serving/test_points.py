"""Faces in photos: a client gives their points, and the server aligns them as the model says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.sample.generate import landmark_split
from facemodels.imaging import CROPS, five_points
from facemodels.package.load import open_package

from .conftest import Server

PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def photo() -> tuple[np.ndarray, np.ndarray]:
    split = landmark_split("test", seed=1, faces=1, image_size=160, workers=1)
    return np.array(split.images[0]), five_points(split.points[0])


def encoded(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def text(points: np.ndarray) -> str:
    return ",".join(repr(float(value)) for value in points.ravel())


def test_a_photo_with_points_is_embedded_as_the_crop_that_prepare_cuts(
    face_server: Server, facenet: Path, photo: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = photo
    answer = face_server.post(
        "/api/embed", content=encoded(image), headers=PNG, params={"points": text(points)}
    )
    assert answer.status_code == 200, answer.text
    crop = CROPS["arcface112"].cut(image, points)
    own = open_package(facenet).predictor(threads=1).embed([crop])[0]
    np.testing.assert_allclose(answer.json()["results"][0]["embedding"], own, atol=1e-6)
    whole = face_server.post("/api/embed", content=encoded(image), headers=PNG).json()
    # The weights are random, so that all faces are near one another.
    assert not np.allclose(whole["results"][0]["embedding"], own, atol=1e-5)


def test_two_photos_are_verified_with_the_points_of_each(
    face_server: Server, photo: tuple[np.ndarray, np.ndarray]
) -> None:
    image, points = photo
    turned, shape = np.rot90(image), image.shape
    around = np.stack([points[:, 1], shape[1] - 1 - points[:, 0]], axis=1)
    files = [("image", ("a", encoded(image))), ("image", ("b", encoded(np.array(turned))))]
    answer = face_server.post(
        "/api/verify", files=files, params={"points": f"{text(points)};{text(around)}"}
    )
    assert answer.json()["similarity"] > 0.99  # aligned, the turn is gone


@pytest.mark.parametrize(
    "points",
    ["", "1,2", "1,2,3,4,5,6,7,8,9,x", ",".join(["5"] * 10), ",".join(["1e9"] * 10),
     ",".join(map(str, range(10))) + ";" + ",".join(map(str, range(10))), "1," * 5000, "nan," * 10],
)  # fmt: skip
def test_points_that_cannot_be_are_refused(
    face_server: Server, photo: tuple[np.ndarray, np.ndarray], points: str
) -> None:
    answer = face_server.post(
        "/api/embed", content=encoded(photo[0]), headers=PNG, params={"points": points}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_points")
