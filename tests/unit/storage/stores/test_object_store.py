"""A store that is a folder: what it says of objects, and that nothing damaged leaves it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import InputError, IntegrityError
from facemodels.storage.stores.object_info import ObjectInfo, read_info
from facemodels.storage.stores.object_store import CACHE, ObjectStore, path_below


def oid_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def folder_store(path: Path, name: str = "remote") -> ObjectStore:
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    path.mkdir(parents=True, exist_ok=True)
    return ObjectStore(name, LocalHashFileDB(LocalFileSystem(), str(path)))


def put_bytes(store: ObjectStore, data: bytes, oid: str | None = None) -> str:
    path = Path(store.path(oid or oid_of(data)))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return oid or oid_of(data)


def put_folder(store: ObjectStore, files: dict[str, bytes]) -> str:
    listed = [{"md5": put_bytes(store, data), "relpath": name} for name, data in files.items()]
    data = json.dumps(listed).encode()
    return put_bytes(store, data, f"{oid_of(data)}.dir")


def test_an_empty_store_lists_nothing(tmp_path: Path) -> None:
    store = folder_store(tmp_path / "store")
    (tmp_path / "store").rmdir()
    assert store.sizes() == {}
    assert store.size(oid_of(b"a")) is None
    assert store.digest(oid_of(b"a")) is None


def test_a_listing_tells_objects_from_other_files(tmp_path: Path) -> None:
    store = folder_store(tmp_path)
    one, folder = put_bytes(store, b"one"), put_folder(store, {"a": b"two"})
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / one[:2] / f".{one[2:]}.tmp").write_text("half")
    (tmp_path / oid_of(b"flat")).write_text("not in a folder of two digits")
    found = store.listing()
    assert found.objects.keys() == {one, folder, oid_of(b"two")}
    assert set(found.foreign) == {"notes.txt", f"{one[:2]}/.{one[2:]}.tmp", oid_of(b"flat")}
    assert store.sizes()[one] == 3


@pytest.mark.parametrize("oid", ["", "../../etc/passwd", "A" * 32, "0" * 31, "0" * 32 + ".dirs"])
def test_what_is_no_id_is_no_path(tmp_path: Path, oid: str) -> None:
    with pytest.raises(InputError, match="no object id"):
        folder_store(tmp_path).path(oid)


def test_an_object_is_whole_if_its_bytes_give_its_name(tmp_path: Path) -> None:
    store = folder_store(tmp_path)
    good, bad = put_bytes(store, b"good"), put_bytes(store, b"bad", oid_of(b"other"))
    assert store.is_whole(good)
    assert not store.is_whole(bad)
    assert store.digest(bad) == oid_of(b"bad")


def test_what_is_broken_is_not_given_out_and_leaves_the_target_as_it_was(tmp_path: Path) -> None:
    store = folder_store(tmp_path / "store")
    bad = put_bytes(store, b"bad", oid_of(b"good"))
    target = tmp_path / "out" / "file"
    target.parent.mkdir()
    target.write_text("before")
    for oid in (bad, oid_of(b"missing")):
        with pytest.raises(IntegrityError):
            store.get(oid, target)
    assert target.read_text() == "before"
    assert [path.name for path in target.parent.iterdir()] == ["file"]


def test_the_cache_takes_objects_as_dvc_protects_them(tmp_path: Path) -> None:
    store, cache = folder_store(tmp_path / "store"), folder_store(tmp_path / "cache", CACHE)
    oid = put_bytes(store, b"weights")
    cache.copy_from(store, oid)
    assert cache.is_whole(oid)
    assert Path(cache.path(oid)).stat().st_mode & 0o777 == 0o444
    assert cache.odb.is_protected(cache.path(oid))


def test_a_put_replaces_what_was_there_and_a_delete_takes_it_away(tmp_path: Path) -> None:
    store = folder_store(tmp_path / "store")
    oid = put_bytes(store, b"bad", oid_of(b"good"))
    (tmp_path / "file").write_bytes(b"good")
    store.put(tmp_path / "file", oid)
    assert store.is_whole(oid)
    store.delete(oid)
    store.delete(oid)
    assert store.sizes() == {}


class LateStore(ObjectStore):
    """A store of a cloud that shows what it took only at the third question."""

    is_local = False
    asked = 0
    old: ObjectInfo | None = None

    def info(self, oid: str) -> ObjectInfo | None:
        self.asked += 1
        return super().info(oid) if self.asked > 2 else self.old


@pytest.mark.parametrize("old", [None, ObjectInfo(6, "1", "1", "")])
def test_a_store_that_shows_an_object_only_later_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: ObjectInfo | None
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    store = LateStore("remote", folder_store(tmp_path / "store").odb)
    store.old = old
    (tmp_path / "new").write_bytes(b"new")
    shown = store.put(tmp_path / "new", oid_of(b"new"), before=old)
    assert shown is not None
    assert shown.size == 3
    assert waited == [0.1]


def test_a_cache_that_several_users_share_keeps_the_modes_of_its_folders(tmp_path: Path) -> None:
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    (tmp_path / "cache").mkdir()
    odb = LocalHashFileDB(LocalFileSystem(), str(tmp_path / "cache"), shared="group")
    cache, source = ObjectStore(CACHE, odb), folder_store(tmp_path / "source")
    oid = put_bytes(source, b"a")
    cache.copy_from(source, oid)
    path = Path(cache.path(oid))
    assert path.parent.stat().st_mode & 0o7777 == 0o2775
    assert path.stat().st_mode & 0o777 == 0o444


def test_the_children_of_a_folder_are_those_of_a_list_that_is_whole(tmp_path: Path) -> None:
    store = folder_store(tmp_path)
    folder = put_folder(store, {"a/b": b"1", "c": b"2"})
    assert [(child.path, child.oid) for child in store.children(folder)] == [
        ("a/b", oid_of(b"1")), ("c", oid_of(b"2")),
    ]  # fmt: skip
    Path(store.path(folder)).write_bytes(b"[]")
    with pytest.raises(IntegrityError, match="not what its name says"):
        store.children(folder)
    store.delete(folder)
    with pytest.raises(IntegrityError, match="is not in remote"):
        store.children(folder)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_no_bytes_but_its_own_make_an_object_whole(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, other: bytes
) -> None:
    store = folder_store(tmp_path_factory.mktemp("store"))
    oid = put_bytes(store, other, oid_of(data))
    assert store.is_whole(oid) == (data == other)


def test_each_clouds_words_for_the_same_facts_are_understood() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    md5 = oid_of(b"a")
    listed = read_info({"size": 1, "ETag": f'"{md5}"', "LastModified": moment})
    asked = read_info(
        {"size": 1, "ETag": f'"{md5}"', "LastModified": moment.replace(microsecond=0)}
    )
    assert listed == asked
    assert listed.md5 == md5
    assert read_info({"size": 1, "ETag": f'"{md5}-2"'}).md5 == ""  # of an upload in parts
    google = {"size": 1, "etag": "CJ=", "md5Hash": "DMF1ucDxtqgxw5niaXcmYQ==", "updated": "x"}
    assert read_info(google).md5 == md5
    azure = read_info({"size": 1, "etag": "0x8D4BCC2E4835CD0", "last_modified": moment})
    assert (azure.md5, azure.etag) == ("", "0x8D4BCC2E4835CD0")


@pytest.mark.parametrize(
    ("folder", "path", "name"),
    [
        ("bucket/a/files/md5", "bucket/a/files/md5/ab/cd", "ab/cd"),
        ("bucket/a/files/md5", "bucket/a/files/md5", ""),  # what a console leaves for a folder
        ("bucket/a/files/md5", "bucket/a/files/md5/", ""),
        ("bucket//a/files/md5", "bucket/a/files/md5/ab/cd", "ab/cd"),
        ("/a/files/md5/", "/a/files/md5/ab/cd", "ab/cd"),
        ("a/files/md5", "bucket/a/files/md5/ab/cd", "ab/cd"),
    ],
)
def test_a_listed_path_is_cut_at_the_folder(folder: str, path: str, name: str) -> None:
    assert path_below(folder, path) == name


def test_a_path_of_another_folder_is_no_answer() -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        path_below("bucket/a/files/md5", "elsewhere/ab/cd")
