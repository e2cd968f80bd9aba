"""The system of MTCNN and dlib's embedder on real photos, over HTTP: who is who, who is unknown."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from facemodels.data.splits import PhotoSplit
from facemodels.evaluate.system import acquire
from facemodels.gallery.store import open_gallery
from facemodels.imaging import decode
from facemodels.package.load import open_package

from .conftest import COMMAND, ROOT, Server, Start, make_package, make_system

LFW = ROOT.parent / "shared" / "data" / "lfw" / "lfw-deepfunneled"
pytestmark = pytest.mark.skipif(not LFW.is_dir(), reason="LFW is not in ../shared/data")
JPEG = {"content-type": "image/jpeg"}
PEOPLE, PHOTOS, ENROLLED, STRANGERS = 8, 10, 2, 60
FMR = 1e-4  # of one comparison; a stranger is compared with 16 faces: FPIR of 1.6e-3 at most


@pytest.fixture(scope="module")
def people() -> dict[str, list[Path]]:
    """Eight people and ten photos of each: the first of the alphabet with as many."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(LFW.iterdir()):
        photos = sorted(folder.glob("*.jpg"))
        if len(photos) >= PHOTOS:
            found[folder.name] = photos[:PHOTOS]
        if len(found) == PEOPLE:
            return found
    raise AssertionError("LFW has fewer people")


@pytest.fixture(scope="module")
def strangers(people: dict[str, list[Path]]) -> list[Path]:
    """A photo each of people who are not enrolled."""
    others = [folder for folder in sorted(LFW.iterdir()) if folder.name not in people]
    return [min(folder.glob("*.jpg")) for folder in others[:: len(others) // STRANGERS]][:STRANGERS]


@pytest.fixture(scope="module")
def faces(mtcnn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default system, with the thresholds that were measured on other people of LFW."""
    folder = tmp_path_factory.mktemp("real")
    recogniser = make_package("rec-dlib-v1.0.0", folder / "dlib-v1.0.0")
    measured = ROOT / "conf" / "calibration" / "faces.yaml"
    return make_system(folder / "faces-v1.0.0", mtcnn, recogniser, calibration=measured)


@pytest.fixture(scope="module")
def server(start: Start, faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    return start(faces, "--gallery", f"people={tmp_path_factory.mktemp('galleries') / 'people'}")


@pytest.fixture(scope="module")
def client(server: Server, people: dict[str, list[Path]]) -> Iterator[httpx.Client]:
    """A client of the server, in which two photos of each person are enrolled."""
    with httpx.Client(base_url=server.url, timeout=60) as one:
        for person, photos in people.items():
            files = [("image", photo.read_bytes()) for photo in photos[:ENROLLED]]
            query = {"person": person, "choose": "centre", "fmr": str(FMR)}
            answer = one.post("/api/galleries/people/faces", files=files, params=query)
            assert answer.status_code == 200, answer.text
            assert answer.json()["added"] == ENROLLED
        yield one


def identified(client: httpx.Client, photo: Path) -> dict[str, Any] | None:
    """What the server says of the face in the middle of a photo; None where it finds none."""
    answer = client.post(
        "/api/identify", content=photo.read_bytes(), headers=JPEG,
        params={"choose": "centre", "fmr": str(FMR)},
    )  # fmt: skip
    if answer.status_code == 422:
        return None
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["fmr"] <= FMR
    return body["results"][0]["faces"][0]


def test_people_are_found_among_eight_by_two_photos_each(
    client: httpx.Client, people: dict[str, list[Path]]
) -> None:
    right = [
        bool(found) and found["people"][0]["person"] == person
        for person, photos in people.items()
        for found in (identified(client, photo) for photo in photos[ENROLLED:])
    ]
    print(f"rank 1 of {len(right)}: {np.mean(right):.4f}")
    assert np.mean(right) >= 0.97  # a face that is not found counts as wrong


def test_strangers_stay_unknown_at_the_stated_rate(
    client: httpx.Client, strangers: list[Path]
) -> None:
    """FPIR is at most 1 - (1 - FMR)^16 = 1.6e-3; more than one of 60 has a chance of 0.4 %."""
    named = [found["person"] for photo in strangers if (found := identified(client, photo))]
    print(f"strangers named: {sum(map(bool, named))} of {len(named)}")
    assert len(named) >= 0.9 * len(strangers)
    assert sum(map(bool, named)) <= 1


def test_an_embedding_is_the_same_over_http_by_the_command_and_in_the_evaluation(
    client: httpx.Client, faces: Path, people: dict[str, list[Path]], tmp_path: Path
) -> None:
    photo = next(iter(people.values()))[0]
    answer = client.post("/api/faces", content=photo.read_bytes(), headers=JPEG).json()
    told = [np.float32(face["embedding"]).tobytes() for face in answer["results"][0]["faces"]]

    folder = tmp_path / "galleries" / "one"
    subprocess.run(
        [COMMAND, "gallery", "enrol", "--gallery", str(folder), "--person", "Ada", "--system",
         str(faces), "--choose", "centre", str(photo)],
        check=True, capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    space = open_package(faces).metadata["embedding_space"]
    assert open_gallery(folder, space).rows.embedding[0].tobytes() in told

    image = decode(photo)
    row = np.zeros(1, np.int32)
    split = PhotoSplit(
        images=image[None], boxes=np.full((1, 4), np.nan, np.float32), box_image=row,
        box_group=row.astype(np.int8), person=row,
    )  # fmt: skip
    system = open_package(faces).predictor(threads=2)  # the server has one
    assert acquire(system, split, "test").embeddings[0].tobytes() in told
