"""Any order of enrolments and edits leaves what a simple model of them says."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from facemodels.errors import InputError
from facemodels.gallery import edits
from facemodels.gallery.enrol import EnrolmentRules, enrol
from facemodels.gallery.faces import FaceError
from facemodels.gallery.spaces import spaces_of
from facemodels.gallery.store import kept_photos, open_gallery

from .drawn import NEW, OLD, drawn, system

KEEP = EnrolmentRules(keep_photos=True)
NAMES = st.sampled_from(["Ada", "Grace", "Linus"])
FACES = st.tuples(st.integers(1, 3), st.integers(0, 2))
SYSTEMS = {space: system(space) for space in (OLD, NEW)}


def photo(face: tuple[int, int]) -> object:
    return drawn(face[0], take=face[1])


class GalleryMachine(RuleBasedStateMachine):
    """The model is a set of (person's name or None, face) for each space."""

    def __init__(self) -> None:
        super().__init__()
        self._scratch = tempfile.TemporaryDirectory()
        self.folder = Path(self._scratch.name) / "galleries" / "staff"
        self.known: dict[str, set] = {}

    def teardown(self) -> None:
        self._scratch.cleanup()

    @rule(name=NAMES, face=FACES, space=st.sampled_from([OLD, NEW]))
    def enrols(self, name: str, face: tuple[int, int], space: str) -> None:
        known = self.known.get(space, set())
        if (None, face) in known:
            refused = "nobody"
        elif (name, face) not in known and any(
            other not in (name, None) and of[0] == face[0] for other, of in known
        ):
            refused = "other_person"
        else:
            enrol(self.folder, SYSTEMS[space], name, [photo(face)], KEEP)
            self.known.setdefault(space, set()).add((name, face))
            return
        with pytest.raises(FaceError) as caught:
            enrol(self.folder, SYSTEMS[space], name, [photo(face)], KEEP)
        assert caught.value.problem == refused

    @rule(name=NAMES, to=NAMES, face=FACES)
    def moves(self, name: str, to: str, face: tuple[int, int]) -> None:
        self.edit(
            {(name, face)},
            to,
            lambda: edits.move(self.folder, photo(face).source, person=name, to=to),
        )

    @rule(to=NAMES, face=FACES)
    def names_nobody(self, to: str, face: tuple[int, int]) -> None:
        self.edit(
            {(None, face)},
            to,
            lambda: edits.move(self.folder, photo(face).source, person=None, to=to),
        )

    @rule(name=NAMES, face=FACES)
    def marks(self, name: str, face: tuple[int, int]) -> None:
        self.edit(
            {(name, face)},
            None,
            lambda: edits.mark_as_nobody(self.folder, photo(face).source, person=name),
        )

    @rule(name=NAMES, into=NAMES)
    def merges(self, name: str, into: str) -> None:
        everybody = {row for rows in self.known.values() for row in rows}
        meant = {row for row in everybody if row[0] == name}
        is_known = name != into and any(other == into for other, _ in everybody)
        self.edit(
            meant if is_known else set(), into, lambda: edits.merge(self.folder, name, into=into)
        )

    @rule(name=NAMES)
    def removes(self, name: str) -> None:
        meant = {row for rows in self.known.values() for row in rows if row[0] == name}
        self.edit(meant, "", lambda: edits.remove_person(self.folder, name))

    @rule(name=NAMES, face=FACES)
    def removes_a_photo(self, name: str, face: tuple[int, int]) -> None:
        self.edit(
            {(name, face)},
            "",
            lambda: edits.remove_photo(self.folder, photo(face).source, person=name),
        )

    def edit(self, meant: set, to: str | None, act: object) -> None:
        if not any(rows & meant for rows in self.known.values()):
            with pytest.raises(InputError):
                act()
            return
        act()
        for space, rows in self.known.items():
            moved = {(to, face) for _, face in rows & meant} if to != "" else set()
            self.known[space] = rows - meant | moved

    @invariant()
    def is_as_the_model_says(self) -> None:
        assert set(spaces_of(self.folder)) == set(self.known)
        photos = {photo((p, t)).source: (p, t) for p in (1, 2, 3) for t in (0, 1, 2)}
        for space, wanted in self.known.items():
            rows = open_gallery(self.folder, space).rows
            listed = [
                (name, photos[source])
                for name, source in zip(rows.person, rows.source, strict=True)
            ]
            assert sorted(listed, key=str) == sorted(wanted, key=str)
            for found in open_gallery(self.folder, space).index.search(rows.embedding, top=4):
                assert {match.person for match in found} == {name for name, _ in wanted if name}
        kept = {photos[source] for source in kept_photos(self.folder)}
        assert kept == {face for rows in self.known.values() for _, face in rows}


TestGallery = GalleryMachine.TestCase
TestGallery.settings = settings(
    max_examples=15, stateful_step_count=15, deadline=None, derandomize=True,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip


def test_what_a_killed_process_left_half_written_is_swept(tmp_path: Path) -> None:
    folder = tmp_path / "galleries" / "staff"
    enrol(folder, system(), "Ada", [drawn(1)], KEEP)
    enrol(folder, system(), "Grace", [drawn(2)], KEEP)
    (folder / OLD / ".faces.parquet.abc").write_bytes(b"half")
    (folder / "photos" / ("0" * 64)).write_bytes(b"a photo whose row was not written any more")
    done = edits.remove_person(folder, "Ada")
    assert done.faces == {OLD: 1}
    assert len(done.photos) == 2
    assert not list(folder.rglob(".*"))


def test_the_digits_of_a_photo_must_be_clear(tmp_path: Path) -> None:
    folder = tmp_path / "galleries" / "staff"
    enrol(folder, system(), "Ada", [drawn(1), drawn(1, take=1)])
    with pytest.raises(InputError, match="several photos"):
        edits.move(folder, "", person="Ada", to="Grace")
