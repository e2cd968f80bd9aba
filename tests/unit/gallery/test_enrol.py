"""Enrolment: a photo is one row, a face has one name, and nothing is half-enrolled."""

from __future__ import annotations

import stat
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from facemodels.errors import InputError
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.faces import FaceError
from facemodels.gallery.identify import identify
from facemodels.gallery.spaces import FACES, SpaceError, spaces_of
from facemodels.gallery.store import kept_photos, open_gallery

from .drawn import NEW, OLD, drawn, system

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def staff(tmp_path: Path) -> Path:
    return tmp_path / "galleries" / "staff"


def people(folder: Path, space: str = OLD) -> list[tuple[str | None, str]]:
    rows = open_gallery(folder, space).rows
    return list(zip(rows.person, rows.source, strict=True))


def test_a_photo_becomes_a_row_with_what_was_measured(staff: Path) -> None:
    photo = drawn(1)
    done = enrol(staff, system(), "Ada", [photo], now=NOW)
    assert (done.added, done.known) == ((photo.source,), ())
    gallery = open_gallery(staff, OLD)
    rows = gallery.rows
    assert (gallery.name, gallery.facts.dimension) == ("staff", 64)
    assert (rows.person[0], rows.source[0], rows.eyes[0]) == ("Ada", photo.source, 40)
    assert str(rows.enrolled[0]) == "2026-01-02T03:04:05"
    assert rows.embedding[0].tobytes() == system().find(photo.image)[0].embedding.tobytes()


def test_the_same_photo_twice_is_one_row(staff: Path) -> None:
    enrol(staff, system(), "Ada", [drawn(1), drawn(1)], now=NOW)
    before = (staff / OLD / FACES).read_bytes()
    again = enrol(staff, system(), "Ada", [drawn(1)])
    assert (again.added, len(again.known)) == ((), 1)
    assert (staff / OLD / FACES).read_bytes() == before


def test_one_face_with_two_boxes_is_one_face(staff: Path) -> None:
    enrol(staff, system(), "Ada", [drawn(1, boxes=2)])
    assert len(open_gallery(staff, OLD).rows) == 1


def test_equal_faces_give_equal_bytes_whatever_the_order(staff: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "staff"
    photos = [drawn(1), drawn(1, take=1), drawn(1, take=2)]
    enrol(staff, system(), "Ada", photos, now=NOW)
    for photo in reversed(photos):
        enrol(other, system(), "Ada", [photo], now=NOW)
    for name in (FACES, "gallery.json"):
        assert (staff / OLD / name).read_bytes() == (other / OLD / name).read_bytes()


def test_a_face_under_another_name_is_refused_unless_it_is_wanted(staff: Path) -> None:
    enrol(staff, system(), "Ada", [drawn(1)])
    with pytest.raises(
        FaceError, match=r"stands under Ada already: similarity 0\.9\d\d, .* 0\.700"
    ) as refused:
        enrol(staff, system(), "Grace", [drawn(1, take=1)])
    assert refused.value.problem == "other_person"
    enrol(staff, system(), "Grace", [drawn(1, take=1)], EnrolmentRules(also=True))
    assert [name for name, _ in people(staff)] == ["Ada", "Grace"]


def test_the_larger_the_gallery_the_more_alike_are_two_faces_of_one_person() -> None:
    assert [system().threshold_among(faces) for faces in (0, 1, 2, 10, 10**6)] == [
        0.7, 0.7, 0.9, 0.9, 0.9,
    ]  # fmt: skip
    strict = replace(system(), threshold=0.8)
    assert [strict.threshold_among(faces) for faces in (1, 10)] == [0.8, 0.9]


@pytest.mark.parametrize(
    ("bad", "problem", "said"),
    [
        (drawn(), "no_face", "no face that scores 0.7"),
        (drawn(1, 2), "several_faces", "2 faces, and 1 is the limit"),
        (drawn(1, eyes=12), "poor_face", "the eyes are 12.0 pixels apart, of 20"),
        (drawn(2, take=5), "other_person", "stands under Grace"),
    ],
)
def test_one_bad_photo_and_nothing_is_enrolled(
    staff: Path, bad: object, problem: str, said: str
) -> None:
    enrol(staff, system(), "Grace", [drawn(2)])
    before = {path: path.read_bytes() for path in staff.rglob("*") if path.is_file()}
    keep = EnrolmentRules(keep_photos=True)
    with pytest.raises(FaceError, match=said) as refused:
        enrol(staff, system(), "Ada", [drawn(1), bad], keep)  # type: ignore[list-item]
    assert refused.value.problem == problem
    assert {path: path.read_bytes() for path in staff.rglob("*") if path.is_file()} == before


def test_the_face_of_several_can_be_named(staff: Path) -> None:
    enrol(staff, system(), "Ada", [drawn(1, 2)], EnrolmentRules(choose="largest"))
    assert len(people(staff)) == 1


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * 201])
def test_a_name_that_cannot_be_printed_is_refused(staff: Path, name: str) -> None:
    with pytest.raises(InputError, match="no name of a person"):
        enrol(staff, system(), name, [drawn(1)])


def test_another_system_gets_a_space_of_its_own_beside_the_old_one(staff: Path) -> None:
    enrol(staff, system(OLD), "Ada", [drawn(1)])
    with pytest.raises(SpaceError, match=f"has faces of {OLD}, not of {NEW}"):
        open_gallery(staff, NEW)
    enrol(staff, system(NEW, dimension=32), "Ada", [drawn(1)])
    assert spaces_of(staff) == (NEW, OLD)
    assert open_gallery(staff, OLD).rows.embedding.shape == (1, 64)
    assert open_gallery(staff, NEW).rows.embedding.shape == (1, 32)


def test_a_gallery_that_is_not_there_is_named(staff: Path) -> None:
    with pytest.raises(InputError, match=r"there is no gallery .*staff"):
        open_gallery(staff, OLD)


def test_only_the_owner_can_read_faces_and_photos(staff: Path) -> None:
    photo = drawn(1)
    enrol(staff, system(), "Ada", [photo], EnrolmentRules(keep_photos=True))
    assert list(kept_photos(staff)) == [photo.source]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in staff.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (staff, staff.parent)} == {0o700}


def test_enrolments_at_once_lose_nothing(staff: Path) -> None:
    def work(person: int) -> None:
        for take in range(5):
            enrol(staff, system(), f"Person {person}", [drawn(person, take=take)])

    threads = [threading.Thread(target=work, args=(person,)) for person in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(people(staff)) == 15


def test_no_text_of_a_gallery_shows_an_embedding(staff: Path) -> None:
    enrol(staff, system(), "Ada", [drawn(1)])
    gallery = open_gallery(staff, OLD)
    (face,) = system().find(drawn(1).image)
    (found,) = identify(gallery.index, [face], system().operating_threshold())
    text = f"{gallery!r} {gallery.rows!r} {found!r} {found.as_json()}"
    assert "1 enrolled faces" in text
    assert all(f"{value:.4f}"[1:] not in text for value in face.embedding.tolist())
