"""The documents of a backup in an audit."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from facemodels.storage.backup.manifest import LATEST, BackupManifest, LatestBackup
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.sync.documents import audit_documents
from facemodels.storage.sync.findings import AuditReport, ObjectFinding, explain

BUNDLE = b"refs"
MANIFEST = BackupManifest(
    head="a" * 40, bundle=f"registry/bundles/{hashlib.sha256(BUNDLE).hexdigest()}.bundle",
    bundle_size=len(BUNDLE), refs="c" * 64, versions={},
)  # fmt: skip
NAMES = {"pointer": LATEST, "manifest": MANIFEST.name, "bundle": MANIFEST.bundle}


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    from dvc_data.hashfile.db.local import LocalHashFileDB
    from dvc_objects.fs.local import LocalFileSystem

    store = ObjectStore("backup", LocalHashFileDB(LocalFileSystem(), f"{tmp_path}/files/md5"))
    files = NamedFiles(store)
    files.write(MANIFEST.bundle, BUNDLE)
    files.write(MANIFEST.name, MANIFEST.data)
    files.write(LATEST, LatestBackup(MANIFEST.name, "2026-01-02T03:04:05Z").data)
    return store


def test_a_whole_backup_has_no_finding(store: ObjectStore) -> None:
    assert audit_documents(store, required=True) == []


@pytest.mark.parametrize("what", NAMES)
@pytest.mark.parametrize("harm", [b"", b"{}", b"\xff", None])
def test_each_damaged_document_is_named(
    store: ObjectStore, tmp_path: Path, what: str, harm: bytes | None
) -> None:
    path = tmp_path / NAMES[what]
    if harm is None:
        path.unlink()
    else:
        path.write_bytes(harm)
    kind = "missing" if harm is None else "corrupt"
    (found,) = audit_documents(store, required=True)
    assert (found.store, found.kind, found.item) == ("backup", kind, NAMES[what])
    assert found.is_document


def test_a_remote_without_a_pointer_is_no_backup_unless_it_is_the_backup(
    store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / LATEST).unlink()
    assert audit_documents(store, required=False) == []


def test_the_error_names_the_documents_and_the_command_that_writes_them() -> None:
    lost = ObjectFinding("second", "corrupt", LATEST)
    weights = ObjectFinding("storage", "missing", "a", ("v1",))
    facts = {name: {"objects": 1} for name in ("storage", "second")}
    for findings in ((lost,), (weights, lost)):
        error = explain(AuditReport(facts, findings, repaired=False))
        assert "registry/latest.json in second is corrupt" in str(error)
        assert "facemodels storage backup --to second" in error.remedy
        assert ("audit --repair" in error.remedy) == (weights in findings)
    assert replace(lost, kind="extra").is_document is False
