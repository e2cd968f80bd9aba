"""Who is on a photo: a server with galleries, enrolment over HTTP, and what it says of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from facemodels.errors import InputError
from facemodels.gallery.edits import remove_person
from facemodels.gallery.exports import export_table
from facemodels.gallery.spaces import FACTS, spaces_of
from facemodels.gallery.store import open_gallery
from facemodels.package.load import open_package
from facemodels.serving.galleries import galleries_given
from facemodels.serving.http import tokens

from .conftest import COMMAND, Server, Start, encoded

PNG = {"content-type": "image/png"}


@pytest.fixture(scope="module")
def space(system: Path) -> str:
    return open_package(system).metadata["embedding_space"]


@pytest.fixture
def crew(staff: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of the test's own, in which Ada is enrolled."""
    return Path(shutil.copytree(staff, tmp_path_factory.mktemp("galleries") / "crew"))


@pytest.fixture(scope="module")
def own(start: Start, system: Path, tmp_path_factory: pytest.TempPathFactory) -> Server:
    """A server whose two galleries are made by the tests."""
    folder = tmp_path_factory.mktemp("own")
    return start(
        system, "--gallery", f"crew={folder / 'crew'}", "--gallery", f"guests={folder / 'guests'}"
    )  # fmt: skip


def folder_of(server: Server, name: str) -> Path:
    (given,) = (part for part in server.process.args if str(part).startswith(f"{name}="))
    return Path(str(given).partition("=")[2])


def put(server: Server, name: str, source: Path | None) -> Path:
    """Let the server have a gallery as it lies elsewhere, or none."""
    target = folder_of(server, name)
    shutil.rmtree(target, ignore_errors=True)
    if source is not None:
        shutil.copytree(source, target)
    return target


def identify(server: Server, image: np.ndarray, **query: Any) -> httpx.Response:
    return server.post("/api/identify", content=encoded(image), headers=PNG, params=query)


def enrolled(server: Server, gallery: str, *images: np.ndarray, **query: Any) -> httpx.Response:
    files = [("image", (f"{place}.png", encoded(image))) for place, image in enumerate(images)]
    return server.post(f"/api/galleries/{gallery}/faces", files=files, params=query)


def small(image: np.ndarray) -> np.ndarray:
    """The photo with few pixels between the eyes."""
    return np.array(Image.fromarray(image).resize((60, 60)))


def test_an_enrolled_person_is_named_and_the_answer_says_by_what(
    system_server: Server, photos: dict[int, np.ndarray], space: str
) -> None:
    answer = identify(system_server, photos[1], gallery="staff", fmr="0.001")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["gallery"], body["embedding_space"]) == ("staff", space)
    assert (body["threshold"], body["fmr"]) == (0.9, 0.001)
    assert (body["model_name"], body["model_version"]) == ("system-faces", "1.0.0")
    (face,) = body["results"][0]["faces"]
    assert face["person"] == "Ada"
    assert face["people"] == [{"person": "Ada", "similarity": pytest.approx(1)}]
    assert "embedding" not in face


def test_a_face_below_the_threshold_is_unknown_and_every_chosen_face_is_searched(
    system_server: Server, photos: dict[int, np.ndarray]
) -> None:
    body = identify(system_server, photos[2], choose="all", threshold="1").json()
    faces = body["results"][0]["faces"]
    assert len(faces) >= 2
    assert [face["person"] for face in faces] == [None] * len(faces)
    assert all(face["people"][0]["similarity"] < 1 for face in faces)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"gallery": "nobody"}, "no_such_gallery"), ({"top": "0"}, "wrong_parameter"),
        ({"top": "x"}, "wrong_parameter"), ({"fmr": "0.00001"}, "unsupported_fmr"),
        ({"choose": "tallest"}, "wrong_parameter"),
        ({"fmr": "0.1", "threshold": "1"}, "wrong_parameter"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(
    system_server: Server, photos: dict[int, np.ndarray], query: dict[str, str], code: str
) -> None:
    answer = identify(system_server, photos[1], **query)
    assert answer.json()["code"] == code
    assert answer.status_code == (404 if code == "no_such_gallery" else 400)


def test_of_several_galleries_one_is_named(own: Server, photos: dict[int, np.ndarray]) -> None:
    answer = identify(own, photos[1])
    assert answer.status_code == 400
    assert "crew, guests" in answer.json()["error"]


def test_people_are_enrolled_and_removed_over_http(
    own: Server, photos: dict[int, np.ndarray], space: str, tmp_path: Path
) -> None:
    folder = put(own, "guests", None)
    assert identify(own, photos[1], gallery="guests").json()["code"] == "empty_gallery"
    first = enrolled(own, "guests", photos[1], person="Ada", keep="true")
    assert first.status_code == 200, first.text
    assert (first.json()["added"], first.json()["known"]) == (1, 0)
    again = enrolled(own, "guests", photos[1], person="Ada").json()
    assert (again["added"], again["known"]) == (0, 1)
    listed = own.get("/api/galleries").json()
    assert listed["embedding_space"] == space
    (guests,) = (one for one in listed["galleries"] if one["name"] == "guests")
    assert guests == {"name": "guests", "spaces": [space], "people": 1, "faces": 1}
    assert identify(own, photos[1], gallery="guests").json()["results"][0]["faces"][0]["person"]
    exported = tmp_path / "guests.csv"
    export_table(open_gallery(folder, space), exported)
    (folder.parent / ".dvc").mkdir()  # as in a repository of DVC
    path = "/api/galleries/guests/people/Ada"
    removed = httpx.delete(own.url + path, timeout=60)
    (folder.parent / ".dvc").rmdir()
    assert (removed.json()["removed"], removed.json()["photos"]) == ({space: 1}, 1)
    assert not exported.exists()
    commands = [left["command"] for left in removed.json()["left"]]
    assert commands[0] == "dvc add guests, then git commit"
    assert "facemodels gallery purge --gallery guests --remote REMOTE" in commands
    assert httpx.delete(own.url + path, timeout=60).status_code == 404
    body = identify(own, photos[1], gallery="guests").json()
    assert (
        body["results"][0]["faces"][0] | {"person": None, "people": []}
        == (body["results"][0]["faces"][0])
    )
    assert b"Ada" not in b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())


def test_a_face_under_another_name_is_refused_unless_told(
    own: Server, crew: Path, photos: dict[int, np.ndarray]
) -> None:
    put(own, "crew", crew)
    refused = enrolled(own, "crew", photos[1], person="Bob")
    assert (refused.status_code, refused.json()["code"]) == (409, "other_person")
    told = enrolled(own, "crew", photos[1], person="Bob", also="true")
    assert told.status_code == 200


def test_photos_that_cannot_be_enrolled_leave_the_gallery_as_it_was(
    own: Server, crew: Path, photos: dict[int, np.ndarray], space: str
) -> None:
    folder = put(own, "crew", crew)
    before = (folder / space / "faces.parquet").read_bytes()
    cases = [(photos[0], "no_face", "faces"), (photos[2], "several_faces", "faces"),
             (small(photos[1]), "poor_face", "eyes")]  # fmt: skip
    for image, code, field in cases:
        answer = enrolled(own, "crew", photos[1], image, person="Eve", also="true", keep="true")
        body = answer.json()
        assert (answer.status_code, body["code"], body["field"]) == (422, code, field)
        assert body["error"].startswith("Image 2")
        assert body["value"] != body["limit"]
    assert (folder / space / "faces.parquet").read_bytes() == before
    assert not (folder / "photos").exists()


def test_a_face_of_a_group_is_enrolled_by_its_box(
    own: Server, photos: dict[int, np.ndarray], space: str
) -> None:
    folder = put(own, "guests", None)
    found = own.post("/api/faces", content=encoded(photos[2]), headers=PNG).json()
    box = found["results"][0]["faces"][1]["box"]
    text = ",".join(map(str, box))
    answer = enrolled(own, "guests", photos[2], person="Second", box=text)
    assert answer.status_code == 200, answer.text
    (kept,) = open_gallery(folder, space).rows.box
    np.testing.assert_allclose(kept, box, atol=1e-3)
    assert enrolled(own, "guests", photos[2], person="Eve", box="1,2,3").status_code == 400


@pytest.mark.parametrize("query", [
    {}, {"person": " "}, {"person": "a/b"}, {"person": "A", "choose": "all"},
    {"person": "A", "also": "1"},
])  # fmt: skip
def test_a_wrong_enrolment_is_refused(
    own: Server, photos: dict[int, np.ndarray], query: dict[str, str]
) -> None:
    put(own, "guests", None)
    assert enrolled(own, "guests", photos[1], **query).status_code == 400
    assert not folder_of(own, "guests").exists()


def test_a_change_on_disk_is_seen_without_a_restart(
    own: Server, crew: Path, photos: dict[int, np.ndarray]
) -> None:
    folder = put(own, "crew", crew)
    for name in ("Ada", None):
        body = identify(own, photos[1], gallery="crew").json()
        assert body["results"][0]["faces"][0]["person"] == name
        if name:
            remove_person(folder, name, tracked=False)


def test_a_file_that_cannot_be_read_leaves_the_last_state(
    own: Server, crew: Path, photos: dict[int, np.ndarray], space: str
) -> None:
    folder = put(own, "crew", crew)
    assert identify(own, photos[1], gallery="crew").status_code == 200
    path = folder / space / "faces.parquet"
    path.write_bytes(path.read_bytes()[:200])
    body = identify(own, photos[1], gallery="crew").json()
    assert body["results"][0]["faces"][0]["person"] == "Ada"
    own.wait_for("gallery unchanged", gallery="crew")


def test_a_gallery_of_another_space_is_refused_and_both_spaces_are_named(
    start: Start, system: Path, crew: Path, photos: dict[int, np.ndarray], space: str
) -> None:
    other = "recognition-other-0123"
    (crew / space).rename(crew / other)
    facts = json.loads((crew / other / FACTS).read_text())
    (crew / other / FACTS).write_text(json.dumps({**facts, "embedding_space": other}))
    server = start(system, "--gallery", f"crew={crew}")
    said = server.wait_for("gallery of another space", gallery="crew")
    assert (said["embedding_space"], said["found"]) == (space, [other])
    for answer in (identify(server, photos[1]), enrolled(server, "crew", photos[1], person="A")):
        assert (answer.status_code, answer.json()["code"]) == (409, "other_space")
        assert space in answer.json()["error"]
        assert answer.json()["gallery_spaces"] == [other]
    assert spaces_of(crew) == (other,)
    assert len(open_gallery(crew, other).rows) == 1


def test_the_log_names_gallery_space_and_version_and_never_the_person(
    own: Server, crew: Path, photos: dict[int, np.ndarray], space: str
) -> None:
    put(own, "crew", crew)
    person = "Ada Lovelace"
    answers = [
        identify(own, photos[1], gallery="crew"),
        enrolled(own, "crew", photos[1], person=person, also="true"),
        httpx.delete(f"{own.url}/api/galleries/crew/people/{person}", timeout=60),
    ]
    for answer in answers:
        assert answer.status_code == 200
        line = own.wait_for("request", request_id=answer.headers["x-request-id"])
        assert line["gallery"] == "crew"
        assert line["embedding_space"] == space
        assert line["version"] == "sys-faces-v1.0.0"
    lost = identify(own, photos[1], gallery=person)
    assert own.wait_for("request", request_id=lost.headers["x-request-id"])["gallery"] == "unknown"
    text = json.dumps(own.lines) + own.get("/metrics").text
    assert "Ada" not in text
    assert "Lovelace" not in text
    assert "crew" not in own.get("/metrics").text


def test_scopes_say_who_may_search_and_who_may_enrol(
    start: Start, system: Path, crew: Path, photos: dict[int, np.ndarray], tmp_path: Path
) -> None:
    known = tmp_path / "tokens.yaml"
    held = {
        scope: {"authorization": f"Bearer {tokens.add(known, name, [scope])}"}
        for name, scope in [("a", "predict"), ("b", "gallery:read"), ("c", "gallery:write")]
    }
    server = start(system, "--gallery", f"crew={crew}", "--tokens", str(known))
    data = encoded(photos[1])
    requests = {
        ("POST", "/api/faces"): "predict",
        ("POST", "/api/identify"): "gallery:read",
        ("GET", "/api/galleries"): "gallery:read",
        ("POST", "/api/galleries/crew/faces?person=Ada"): "gallery:write",
        ("DELETE", "/api/galleries/crew/people/Ada"): "gallery:write",
    }
    for (method, path), needed in requests.items():
        body: dict[str, Any] = {"content": data} if method == "POST" else {}
        for scope, headers in held.items():
            answer = httpx.request(
                method, server.url + path, headers={**PNG, **headers}, timeout=60, **body
            )
            assert answer.status_code == (200 if scope == needed else 403), (path, scope)


def test_galleries_are_for_systems_alone(facenet: Path) -> None:
    done = subprocess.run(
        [COMMAND, "serve", str(facenet), "--gallery", "staff", "--port", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "only a system has galleries" in done.stderr


def test_a_gallery_is_given_by_its_name_and_perhaps_its_folder(tmp_path: Path) -> None:
    assert galleries_given(("staff", "guests=x/y"), tmp_path) == {
        "staff": tmp_path / "galleries" / "staff",
        "guests": Path("x/y"),
    }
    for wrong in (("Staff=x",), ("=x",), ("a/b=x",), ("a=x", "a=y")):
        with pytest.raises(InputError):
            galleries_given(wrong, tmp_path)
