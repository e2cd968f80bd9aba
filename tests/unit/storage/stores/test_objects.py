"""What versions are made of, and what Git speaks of."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.unit.storage.stores.test_object_store import folder_store, oid_of, put_folder

from facemodels.errors import IntegrityError
from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.registry.events import Event
from facemodels.registry.state import Entry, State
from facemodels.registry.tag_names import parse, register
from facemodels.storage.stores import objects
from facemodels.storage.stores.object_store import FolderFile, ObjectStore
from facemodels.storage.stores.objects import (
    VersionObjects,
    ids_in_git,
    objects_of,
    versions_by_object,
    with_children,
)


def entry(identity: str, folder: str | None) -> Entry:
    tag = register(ModelId.parse(identity))
    evidence = {"dvc": f"md5:{folder}"} if folder else {}
    record = {"evidence": evidence, "reason": "", "sequence": 1, "previous": None}
    return Entry(Event(tag, parse(tag), "0" * 40, "1" * 40, tag, "a <b>", 0, record, ""))


def test_a_folders_own_object_comes_last_and_none_twice() -> None:
    one = VersionObjects(
        "x", "f.dir", (FolderFile("b", "1"), FolderFile("a", "2"), FolderFile("b", "3"))
    )
    assert one.oids == ("b", "a", "f.dir")


def test_an_object_belongs_to_every_version_that_has_it() -> None:
    one = VersionObjects("v2", "f.dir", (FolderFile("a", "x"),))
    two = VersionObjects("v1", "g.dir", (FolderFile("a", "x"), FolderFile("b", "y")))
    assert versions_by_object([one, two]) == {
        "a": ("v1", "v2"), "f.dir": ("v2",), "b": ("v1",), "g.dir": ("v1",),
    }  # fmt: skip


def test_the_list_of_files_comes_from_the_first_store_that_has_it_whole(tmp_path: Path) -> None:
    stores = [folder_store(tmp_path / name, name) for name in ("none", "bad", "good")]
    folder = put_folder(stores[2], {"a": b"1"})
    Path(stores[1].path(folder)).parent.mkdir(parents=True)
    Path(stores[1].path(folder)).write_bytes(b"[]")
    found = objects_of(entry("rec-facenet-v1.0.0", folder), stores)
    assert found.oids == (oid_of(b"1"), folder)


def test_a_list_that_is_whole_nowhere_is_named_with_the_remedy(tmp_path: Path) -> None:
    store = folder_store(tmp_path, "storage")
    with pytest.raises(IntegrityError, match=r"rec-facenet-v1.0.0.*storage.*restore"):
        objects_of(entry("rec-facenet-v1.0.0", "0" * 32 + ".dir"), [store])


def test_versions_in_the_archive_or_without_dvc_are_not_kept() -> None:
    ids = [f"rec-facenet-v1.0.{number}" for number in range(3)]
    entries = {
        identity: entry(identity, None if identity == ids[1] else "0" * 32 + ".dir")
        for identity in ids
    }
    state = State(entries=entries)
    state.archived[ids[2]] = entries[ids[2]].event
    assert [one.id for one in objects.stored_versions(state)] == ids[:1]


def git(root: Path, *words: str) -> None:
    subprocess.run(("git", *words), cwd=root, check=True, capture_output=True)


def test_git_speaks_of_what_any_branch_stash_index_or_file_says(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    assert ids_in_git(Git(tmp_path)) == set()
    ids = [f"{number:032x}" for number in range(7)]
    folder = tmp_path / "data"
    folder.mkdir()

    def write(text: str, path: str = "data/x.dvc") -> None:
        (tmp_path / path).write_text(text)

    write(f"outs:\n- md5: {ids[0]}.dir\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "1")
    write(f'stages:\n  a:\n    outs:\n    - md5: "{ids[1]}"\n', "dvc.lock")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "2")
    git(tmp_path, "checkout", "-qb", "side", "HEAD~1")
    write(f"outs: [{{md5: {ids[2]}, path: x}}]")
    git(tmp_path, "commit", "-qam", "side")
    git(tmp_path, "checkout", "-q", "main")
    git(tmp_path, "merge", "-q", "--strategy", "ours", "-m", "drop it", "side")
    write(f"outs:\n- md5: {ids[3]}\n")
    git(tmp_path, "stash")
    write(f"outs:\n- md5: {ids[4]}\n")
    git(tmp_path, "add", ".")
    write(f"outs:\n- md5: {ids[5]}\n")
    write(f"nothing: {ids[6]}\n", "data/y.txt")
    assert ids_in_git(Git(tmp_path)) == {f"{ids[0]}.dir", *ids[1:6]}


def test_folders_give_their_files_where_a_store_knows_them(tmp_path: Path) -> None:
    empty, store = folder_store(tmp_path / "a"), folder_store(tmp_path / "b")
    folder = put_folder(store, {"a": b"1", "b": b"2"})
    stores: list[ObjectStore] = [empty, store]
    unknown = "0" * 32 + ".dir"
    assert with_children([folder, unknown], stores) == {
        folder, unknown, oid_of(b"1"), oid_of(b"2"),
    }  # fmt: skip
