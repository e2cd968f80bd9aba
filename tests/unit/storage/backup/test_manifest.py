"""What a backup says of itself."""

from __future__ import annotations

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
)
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore

MANIFEST = BackupManifest(
    head="a" * 40, bundle=f"registry/bundles/{'b' * 64}.bundle", bundle_size=7, refs="c" * 64,
    versions={"rec-facenet-v1.0.0": BackedUpVersion("d" * 32 + ".dir", "sha256:e", 3, 100)},
    archives={"archive/x": "f" * 64},
)  # fmt: skip


@pytest.fixture
def shelf(tmp_path: Path) -> NamedFiles:
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    folder = tmp_path / "backup"
    return NamedFiles(
        ObjectStore("backup", LocalHashFileDB(LocalFileSystem(), f"{folder}/files/md5"))
    )


def test_what_is_written_is_read_again(shelf: NamedFiles) -> None:
    latest = LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z")
    shelf.write(MANIFEST.name, MANIFEST.data)
    shelf.write(LATEST, latest.data)
    assert read_latest(shelf) == latest
    assert read_manifest(shelf, latest) == MANIFEST
    assert MANIFEST.bundle_sha256 == "b" * 64


def test_no_backup_is_none(shelf: NamedFiles) -> None:
    assert read_latest(shelf) is None


def test_the_same_content_has_the_same_name_and_another_has_another() -> None:
    from dataclasses import replace

    assert replace(MANIFEST).name == MANIFEST.name
    assert replace(MANIFEST, bundle_size=8).name != MANIFEST.name


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"manifest": 3}', b"\xff", b"null"])
def test_a_damaged_pointer_is_named(shelf: NamedFiles, data: bytes) -> None:
    shelf.write(LATEST, data)
    with pytest.raises(IntegrityError, match="latest"):
        read_latest(shelf)


def test_every_flipped_byte_of_a_manifest_is_noticed(shelf: NamedFiles) -> None:
    latest = LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z")
    for index in range(len(MANIFEST.data)):
        damaged = bytearray(MANIFEST.data)
        damaged[index] ^= 1
        shelf.write(MANIFEST.name, bytes(damaged))
        with pytest.raises(IntegrityError, match="not what its name says"):
            read_manifest(shelf, latest)


def test_a_missing_manifest_is_named(shelf: NamedFiles) -> None:
    with pytest.raises(IntegrityError, match="missing"):
        read_manifest(shelf, LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z"))


def test_a_file_is_fetched_checked(shelf: NamedFiles, tmp_path: Path) -> None:
    import hashlib

    shelf.write("registry/x", b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert shelf.digest("registry/x") == digest
    shelf.fetch("registry/x", tmp_path / "copy", digest)
    assert (tmp_path / "copy").read_bytes() == b"content"
    for wanted, name in (("0" * 64, "registry/x"), (digest, "registry/y")):
        with pytest.raises(IntegrityError):
            shelf.fetch(name, tmp_path / "copy", wanted)
    assert shelf.digest("registry/y") is None
    assert shelf.read("registry/y") is None
