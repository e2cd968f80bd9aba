"""What a backup says of itself."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from facemodels.errors import IntegrityError
from facemodels.storage.backup.manifest import (
    LATEST,
    BackedUpVersion,
    BackupManifest,
    LatestBackup,
    read_latest,
    read_manifest,
    whole_manifests,
)
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore

MANIFEST = BackupManifest(
    head="a" * 40, bundle=f"registry/bundles/{'b' * 64}.bundle", bundle_size=7, refs="c" * 64,
    versions={"rec-facenet-v1.0.0": BackedUpVersion("d" * 32 + ".dir", "sha256:e", 3, 100)},
    archives={"archive/x": "f" * 64},
)  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> NamedFiles:
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "backup"
    return NamedFiles(
        ObjectStore("backup", LocalHashFileDB(LocalFileSystem(), f"{folder}/files/md5"))
    )


def test_what_is_written_is_read_again(files: NamedFiles) -> None:
    latest = LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z")
    files.write(MANIFEST.name, MANIFEST.data)
    files.write(LATEST, latest.data)
    assert read_latest(files) == latest
    assert read_manifest(files, latest) == MANIFEST
    assert MANIFEST.bundle_sha256 == "b" * 64


def test_no_backup_is_none(files: NamedFiles) -> None:
    assert read_latest(files) is None


def test_the_same_content_has_the_same_name_and_another_has_another() -> None:
    assert replace(MANIFEST).name == MANIFEST.name
    assert replace(MANIFEST, bundle_size=8).name != MANIFEST.name


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"manifest": 3}', b"\xff", b"null"])
def test_a_damaged_pointer_is_named(files: NamedFiles, data: bytes) -> None:
    files.write(LATEST, data)
    with pytest.raises(IntegrityError, match="latest"):
        read_latest(files)


def test_every_flipped_byte_of_a_manifest_is_noticed(files: NamedFiles) -> None:
    latest = LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z")
    for index in range(len(MANIFEST.data)):
        damaged = bytearray(MANIFEST.data)
        damaged[index] ^= 1
        files.write(MANIFEST.name, bytes(damaged))
        with pytest.raises(IntegrityError, match="not what its name says"):
            read_manifest(files, latest)


def test_the_manifests_that_are_whole_are_listed_the_newest_first(files: NamedFiles) -> None:
    assert list(whole_manifests(files)) == []
    made = [replace(MANIFEST, bundle_size=size) for size in range(3)]
    for date, one in zip((10, 30, 20), made, strict=True):
        files.write(one.name, one.data)
        os.utime(files.path(one.name), (date, date))
    files.write("registry/manifests/leftover.json", b"{")
    found = [(latest.made_at[-3:], one) for latest, one in whole_manifests(files)]
    assert found == [("30Z", made[1]), ("20Z", made[2]), ("10Z", made[0])]


def test_a_missing_manifest_is_named(files: NamedFiles) -> None:
    with pytest.raises(IntegrityError, match="missing"):
        read_manifest(files, LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z"))


def test_a_file_is_fetched_checked(files: NamedFiles, tmp_path: Path) -> None:
    import hashlib

    files.write("registry/x", b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert files.digest("registry/x") == digest
    files.fetch("registry/x", tmp_path / "copy", digest)
    assert (tmp_path / "copy").read_bytes() == b"content"
    for wanted, name in (("0" * 64, "registry/x"), (digest, "registry/y")):
        with pytest.raises(IntegrityError):
            files.fetch(name, tmp_path / "copy", wanted)
    assert files.digest("registry/y") is None
    assert files.read("registry/y") is None
