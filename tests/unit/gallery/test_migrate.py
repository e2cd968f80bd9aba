"""Migration: every face in another space, beside the old ones, whatever happens meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facemodels.errors import DataError, InputError
from facemodels.gallery import edits
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.migrate import migrate
from facemodels.gallery.opened import GallerySystem
from facemodels.gallery.spaces import FACES, spaces_of
from facemodels.gallery.store import kept_photos, open_gallery

from .drawn import NEW, OLD, drawn, system

KEEP = EnrolmentRules(keep_photos=True)
ROOT = Path(__file__).resolve().parents[3]


def filled(folder: Path, people: int = 3, takes: int = 2, rules: EnrolmentRules = KEEP) -> Path:
    for person in range(1, people + 1):
        photos = [drawn(person, take=take) for take in range(takes)]
        enrol(folder, system(), f"Person {person}", photos, rules)
    return folder


@pytest.fixture
def staff(tmp_path: Path) -> Path:
    return tmp_path / "galleries" / "staff"


def other(**options: float) -> GallerySystem:
    return system(NEW, dimension=32, shift=5.0, **options)  # type: ignore[arg-type]


def listed(folder: Path, space: str) -> list[tuple[str | None, str]]:
    rows = open_gallery(folder, space).rows
    return list(zip(rows.person, rows.source, strict=True))


def test_both_spaces_lie_side_by_side_and_name_the_same_people(staff: Path) -> None:
    filled(staff)
    before = (staff / OLD / FACES).read_bytes()
    done = migrate(staff, other())
    assert (done.old, done.new, done.added, done.lost) == (OLD, NEW, 6, ())
    assert spaces_of(staff) == (NEW, OLD)
    assert listed(staff, NEW) == listed(staff, OLD)
    assert (staff / OLD / FACES).read_bytes() == before
    gallery, query = open_gallery(staff, NEW), other().find(drawn(2, take=1).image)[0].embedding
    assert gallery.index.search(query[None])[0][0].person == "Person 2"
    assert (gallery.rows.enrolled == open_gallery(staff, OLD).rows.enrolled).all()


def test_a_second_run_adds_who_was_enrolled_since(staff: Path) -> None:
    filled(staff)
    migrate(staff, other())
    enrol(staff, system(), "Late", [drawn(7)], KEEP)
    assert migrate(staff, other()).added == 1
    assert migrate(staff, other()).added == 0
    assert listed(staff, NEW) == listed(staff, OLD)


def test_nobody_stays_nobody_and_a_face_under_two_names_has_both(staff: Path) -> None:
    filled(staff, people=2)
    edits.mark_as_nobody(staff, drawn(1).source, person="Person 1")
    enrol(staff, system(), "Other", [drawn(2)], EnrolmentRules(also=True, keep_photos=True))
    migrate(staff, other())
    assert listed(staff, NEW) == listed(staff, OLD)
    enrol(staff, system(), "Third", [drawn(2)], EnrolmentRules(also=True, keep_photos=True))
    assert migrate(staff, other()).added == 1
    assert listed(staff, NEW) == listed(staff, OLD)


def test_without_the_photos_nothing_is_migrated_until_they_are_given(
    staff: Path, tmp_path: Path
) -> None:
    filled(staff, people=1, rules=EnrolmentRules())
    with pytest.raises(
        DataError, match=r"2 of 2 faces cannot be migrated: Person 1 .* photo is missing"
    ):
        migrate(staff, other())
    assert spaces_of(staff) == (OLD,)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(drawn(1).data)
    assert [
        face.source for face in migrate(staff, other(), photos=photos, leave_out=True).lost
    ] == [drawn(1, take=1).source]
    assert listed(staff, NEW) == [("Person 1", drawn(1).source)]


def test_an_edit_while_faces_are_embedded_counts(staff: Path) -> None:
    filled(staff)
    new = other()
    find = new.find

    def and_edit(image: np.ndarray) -> list:
        if any(name == "Person 1" for name, _ in listed(staff, OLD)):
            edits.remove_person(staff, "Person 1")
            edits.merge(staff, "Person 2", into="Person 3")
            enrol(staff, system(), "Late", [drawn(9)], KEEP)
        return find(image)

    migrate(staff, GallerySystem(**{**vars(new), "find": and_edit}), every=1)
    assert listed(staff, NEW) == listed(staff, OLD)
    assert not list((staff.parent / ".work").rglob("*.parquet"))


def test_there_must_be_another_space(staff: Path) -> None:
    with pytest.raises(InputError, match="there is no gallery"):
        migrate(staff, other())
    filled(staff, people=1)
    with pytest.raises(InputError, match="nothing is to be migrated"):
        migrate(staff, system())


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.unit.gallery.drawn import NEW, system
from facemodels.gallery.migrate import migrate
import facemodels.gallery.parquet, pyarrow.parquet  # noqa: F401

folder, last = Path(sys.argv[1]), int(sys.argv[2])
seen = 0

def count(event, arguments):
    global seen
    changes = event in ("os.rename", "os.remove", "os.mkdir", "tempfile.mkstemp", "os.chmod")
    if changes or (event == "open" and str(folder.parent) in str(arguments[0])):
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
migrate(folder, system(NEW, dimension=32, shift=5.0), every=2)
print(seen)
"""


def run_until(folder: Path, event: int) -> subprocess.CompletedProcess[str]:
    """Migrate in a process that kills itself before a change of a file; 0 is never."""
    command = [sys.executable, "-c", _KILLED, str(folder), str(event)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("points", [3, pytest.param(20, marks=pytest.mark.full)])
def test_a_migration_that_is_killed_anywhere_loses_nothing(tmp_path: Path, points: int) -> None:
    whole = filled(tmp_path / "whole" / "galleries" / "staff", takes=1)
    ended = run_until(whole, 0)
    assert ended.returncode == 0, ended.stderr
    for event in np.linspace(2, int(ended.stdout), points).astype(int):
        folder = filled(tmp_path / str(event) / "galleries" / "staff", takes=1)
        before = listed(folder, OLD)
        killed = run_until(folder, int(event))
        assert killed.returncode == -signal.SIGKILL, (event, killed.stdout, killed.stderr)
        assert listed(folder, OLD) == before
        if NEW in spaces_of(folder):
            assert listed(folder, NEW) == before
        migrate(folder, other(), every=2)
        assert (listed(folder, OLD), listed(folder, NEW)) == (before, before)
        assert not [
            path
            for path in folder.parent.rglob(".*")
            if path.is_file() and path.name != ".gitignore"
        ]


def test_an_old_space_is_dropped_once_the_other_has_everybody(staff: Path) -> None:
    filled(staff)
    with pytest.raises(InputError, match="no other embedding space"):
        edits.drop_space(staff, OLD)
    migrate(staff, other())
    enrol(staff, system(), "Late", [drawn(9)], KEEP)
    with pytest.raises(InputError, match=r"1 photos .* in .* alone"):
        edits.drop_space(staff, OLD)
    migrate(staff, other())
    count = len(listed(staff, OLD))
    assert edits.droppable(staff, OLD) == count
    assert edits.drop_space(staff, OLD) == count
    assert spaces_of(staff) == (NEW,)
    assert kept_photos(staff)


def test_a_space_is_dropped_with_faces_of_its_own_if_their_loss_is_accepted(staff: Path) -> None:
    filled(staff)
    migrate(staff, other())
    enrol(staff, system(), "Late", [drawn(9)], KEEP)
    edits.drop_space(staff, OLD, accept_loss=True)
    assert "Late" not in {person for person, _ in listed(staff, NEW)}
