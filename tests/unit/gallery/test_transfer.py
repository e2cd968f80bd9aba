"""What is exported comes back as it was, and a removal reaches what was exported."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import pyrage
import pytest

from facemodels.errors import DataError, InputError
from facemodels.gallery import edits, exports, imports
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.faces import FaceError
from facemodels.gallery.spaces import FACES
from facemodels.gallery.store import open_gallery

from .drawn import NEW, OLD, drawn, system

KEEP = EnrolmentRules(keep_photos=True)
NAME = "../Ada /é"


@pytest.fixture
def staff(tmp_path: Path) -> Path:
    folder = tmp_path / "galleries" / "staff"
    enrol(folder, system(), NAME, [drawn(1), drawn(1, take=1)], KEEP)
    enrol(folder, system(), "Grace", [drawn(2)], KEEP)
    edits.mark_as_nobody(folder, drawn(1, take=1).source, person=NAME)
    return folder


@pytest.fixture
def other(tmp_path: Path) -> Path:
    return tmp_path / "other" / "staff"


@pytest.mark.parametrize("form", ["csv", "npz"])
def test_a_file_of_rows_comes_back_to_the_bit(
    staff: Path, other: Path, tmp_path: Path, form: str
) -> None:
    file = tmp_path / f"staff.{form}"
    assert exports.export_table(open_gallery(staff, OLD), file) == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert imports.import_table(other, system(), file) == 3
    assert (other / OLD / FACES).read_bytes() == (staff / OLD / FACES).read_bytes()
    assert imports.import_table(other, system(), file) == 0


def test_photos_come_back_as_people(staff: Path, other: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    assert exports.export_photos(open_gallery(staff, OLD), folder) == 2
    assert {path.parent.parent for path in folder.rglob("*.png")} == {folder}
    done = imports.import_photos(other, system(), folder, EnrolmentRules())
    assert {(e.person, len(e.added)) for e in done} == {(NAME, 1), ("Grace", 1)}


def test_a_bad_photo_of_many_people_is_left_out_only_if_that_is_wanted(
    other: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    for person, photos in {"Ada": [drawn(1), drawn()], "Linus": [drawn(1, take=2)]}.items():
        (folder / person).mkdir(parents=True)
        for place, photo in enumerate(photos):
            (folder / person / f"{place}.png").write_bytes(photo.data)
    with pytest.raises(FaceError, match="no face"):
        imports.import_photos(other, system(), folder, EnrolmentRules())
    assert not (other / OLD).exists()
    ada, linus = imports.import_photos(other, system(), folder, EnrolmentRules(leave_out=True))
    assert (len(ada.added), len(ada.refused)) == (1, 1)
    assert "stands under Ada" in linus.refused[0]


def test_an_encrypted_file_needs_the_secret_key(staff: Path, other: Path, tmp_path: Path) -> None:
    key, stranger = pyrage.x25519.Identity.generate(), pyrage.x25519.Identity.generate()
    file, mine, others = tmp_path / "staff.npz.age", tmp_path / "mine", tmp_path / "others"
    mine.write_text(f"# created: today\n{key}\n")
    others.write_text(f"{stranger}\n")
    gallery = open_gallery(staff, OLD)
    exports.export_table(gallery, file, recipients=[str(key.to_public())])
    assert file.read_bytes().startswith(b"age-encryption.org/v1")
    for identity, said in ((None, "is encrypted"), (others, "not encrypted to a key")):
        with pytest.raises(InputError, match=said):
            imports.import_table(other, system(), file, identity=identity)
    assert imports.import_table(other, system(), file, identity=mine) == 3
    with pytest.raises(InputError, match="no public key"):
        exports.export_table(gallery, file, recipients=["age1nonsense"])
    with pytest.raises(InputError, match=r"ends in \.age"):
        exports.export_table(gallery, tmp_path / "staff.npz", recipients=[str(key.to_public())])


def test_a_removal_reaches_the_exports_that_it_can_read(staff: Path, tmp_path: Path) -> None:
    gallery = open_gallery(staff, OLD)
    key = pyrage.x25519.Identity.generate().to_public()
    table, own, secret, photos = (tmp_path / n for n in ("a.csv", "b.npz", "c.csv.age", "photos"))
    exports.export_table(gallery, table)
    exports.export_table(gallery, own, people=["Grace"])
    exports.export_table(gallery, secret, recipients=[str(key)])
    exports.export_photos(gallery, photos)
    left = exports.take_out(staff, "Grace")
    assert [line for line in left if "c.csv.age is encrypted" in line] == left != []
    assert "Grace" not in table.read_text()
    assert len(exports.read_table(table)[0]) == 2
    assert not own.exists()
    assert not (photos / "Grace").exists()
    assert len(list(photos.rglob("*.png"))) == 1


def test_rows_of_another_space_or_of_a_face_that_is_taken_are_refused(
    staff: Path, other: Path, tmp_path: Path
) -> None:
    file = tmp_path / "staff.npz"
    exports.export_table(open_gallery(staff, OLD), file)
    with pytest.raises(InputError, match=f"has faces of {OLD}, and the system is of {NEW}"):
        imports.import_table(other, system(NEW), file)
    enrol(other, system(), "Somebody", [drawn(2, take=1)])
    with pytest.raises(InputError, match="1 faces of Grace stand under Somebody already"):
        imports.import_table(other, system(), file)
    assert imports.import_table(other, system(), file, also=True) == 3


@pytest.mark.parametrize(
    "data", [b"", b"person\n", b"PK\x03\x04", np.random.default_rng(1).bytes(99)]
)
@pytest.mark.parametrize("form", ["csv", "npz"])
def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path, data: bytes, form: str) -> None:
    (tmp_path / f"x.{form}").write_bytes(data)
    with pytest.raises(DataError, match=f"x.{form} is no export"):
        exports.read_table(tmp_path / f"x.{form}")


def test_rows_that_are_no_embeddings_are_refused_without_telling_them(
    staff: Path, tmp_path: Path
) -> None:
    file = tmp_path / "staff.csv"
    exports.export_table(open_gallery(staff, OLD), file)
    value = file.read_text().splitlines()[1].split(",")[-1]
    file.write_text(file.read_text().replace(value, "7.125"))
    with pytest.raises(DataError, match="not of length one") as refused:
        exports.read_table(file)
    assert "7.125" not in str(refused.value)


def test_a_removal_reaches_what_was_exported_under_an_earlier_name(
    staff: Path, tmp_path: Path
) -> None:
    enrol(
        staff, system(), "Gracie", [drawn(2, take=1)], EnrolmentRules(also=True, keep_photos=True)
    )
    gallery = open_gallery(staff, OLD)
    exports.export_table(gallery, tmp_path / "a.npz")
    exports.export_photos(gallery, tmp_path / "photos")
    edits.merge(staff, "Gracie", into="Grace")
    assert exports.take_out(staff, "Grace") == []
    assert set(exports.read_table(tmp_path / "a.npz")[0].person) == {NAME, None}
    assert len(list((tmp_path / "photos").iterdir())) == 1


def test_a_face_that_is_nobody_stays_so(staff: Path, other: Path, tmp_path: Path) -> None:
    file = tmp_path / "staff.npz"
    exports.export_table(open_gallery(staff, OLD), file)
    enrol(other, system(), "Grace", [drawn(2)])
    edits.mark_as_nobody(other, drawn(2).source, person="Grace")
    assert imports.import_table(other, system(), file) == 2
    assert sorted(map(str, open_gallery(other, OLD).rows.person)) == [NAME, "None", "None"]


def test_folders_whose_names_are_one_name_are_one_person(other: Path, tmp_path: Path) -> None:
    for place, name in enumerate(("Ada", "Ada%20")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0.png").write_bytes(drawn(1, take=place).data)
    (done,) = imports.import_photos(other, system(), tmp_path / "photos", EnrolmentRules())
    assert (done.person, len(done.added)) == ("Ada", 2)


@pytest.mark.parametrize("form", ["photos", "table"])
def test_a_dry_run_of_an_import_says_the_same_and_writes_nothing(
    staff: Path, other: Path, tmp_path: Path, form: str
) -> None:
    if form == "photos":
        exports.export_photos(open_gallery(staff, OLD), tmp_path / "photos")

        def run(dry_run: bool) -> object:
            rules = EnrolmentRules(keep_photos=True, dry_run=dry_run)
            return imports.import_photos(other, system(), tmp_path / "photos", rules)
    else:
        exports.export_table(open_gallery(staff, OLD), tmp_path / "staff.npz")

        def run(dry_run: bool) -> object:
            return imports.import_table(other, system(), tmp_path / "staff.npz", dry_run=dry_run)

    planned = run(True)
    assert not other.parent.exists()
    assert planned == run(False)
