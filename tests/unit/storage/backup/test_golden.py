"""A backup and an archive that version 1 of the formats wrote still load: tests/golden/backup.

It was made by the release of November 2026, from a repository with two versions: v1.0.0, which is
archived, and v1.1.0, which is in production.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from facemodels.files import sha256_tree
from facemodels.registry.registry import open_registry
from facemodels.registry.state import State
from facemodels.storage.backup import bundle
from facemodels.storage.backup.drill import drill
from facemodels.storage.backup.manifest import BackedUpVersion, read_latest, read_manifest
from facemodels.storage.retention.archive_store import ArchiveStore, recorded_archive
from facemodels.storage.retention.settings import ArchiveSettings
from facemodels.storage.retention.version_files import gather
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.stores import open_store

GOLDEN = Path(__file__).resolve().parents[3] / "golden" / "backup"
OLD, NEW = "rec-facenet-v1.0.0", "rec-facenet-v1.1.0"
PACKAGES = {  # `sha256_tree` of the folders as they were made
    OLD: "8c612a8fb82a07d8d74d037aafffa70d84e5ad54b767bd91d0a49fe376a59f01",
    NEW: "a713de2bd63749ce9ded88a34abcf37cd44340780b4a34245d04506916d85e8d",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose remote `backup` is a copy of the golden one."""
    folder = tmp_path_factory.mktemp("golden")
    shutil.copytree(GOLDEN, folder / "backup")
    root = folder / "clone"
    subprocess.run(("git", "init", "--quiet", str(root)), check=True)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("['remote \"backup\"']\n    url = ../../backup\n")
    return root


@pytest.fixture(scope="module")
def store(root: Path) -> ObjectStore:
    return open_store(root, "backup")


@pytest.fixture(scope="module")
def state(store: ObjectStore, tmp_path_factory: pytest.TempPathFactory) -> State:
    """The registry in the bundle that the manifest names."""
    folder = tmp_path_factory.mktemp("bundle")
    files = NamedFiles(store)
    latest = read_latest(files)
    assert latest is not None
    manifest = read_manifest(files, latest)
    files.fetch(manifest.bundle, folder / "refs.bundle", manifest.bundle_sha256)
    clone = bundle.unpack(folder / "refs.bundle", folder / "clone")
    registry = open_registry(clone.root)
    assert registry.audit() == []
    return registry.repository.state()


def test_the_documents_say_what_belongs_together(store: ObjectStore) -> None:
    files = NamedFiles(store)
    latest = read_latest(files)
    assert latest is not None
    assert latest.made_at == "2026-11-28T08:51:45Z"
    manifest = read_manifest(files, latest)
    assert manifest.format == 1
    assert manifest.name == latest.manifest  # the document is written as it was read
    assert manifest.versions == {
        NEW: BackedUpVersion(
            "dd1f1be5aabcee6fb7d7a12b4e36133e.dir",
            "sha256:af430b9c0dc442efc033b82fd7f2462a51203fc486f16e39803a083dda3c96d2",
            8,
            14046,
        )
    }
    for name, digest in manifest.archives.items():
        assert files.digest(name) == digest


def test_the_archive_gives_its_version_back(store: ObjectStore, state: State) -> None:
    assert list(state.archived) == [OLD]
    archives = ArchiveStore(store, ArchiveSettings())
    with archives.open(state.entries[OLD], recorded_archive(state, OLD)) as (facts, files):
        assert sha256_tree(files.folder) == PACKAGES[OLD]
        assert facts.as_json() == {
            key: value
            for key, value in (recorded_archive(state, OLD) or {}).items()
            if key != "objects"
        }


def test_the_objects_are_those_of_the_version(
    store: ObjectStore, state: State, tmp_path: Path
) -> None:
    assert sha256_tree(gather(state.entries[NEW], [store], tmp_path).folder) == PACKAGES[NEW]


def test_a_drill_runs_what_was_in_production(root: Path) -> None:
    report = drill(root)
    assert report.problems == ()
    assert [one.id for one in report.proofs] == [NEW]
