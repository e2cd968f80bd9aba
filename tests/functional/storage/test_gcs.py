"""Google Cloud Storage, by `gcp-storage-emulator`: the whole way of a version, and what fails.

The extra `gs` brings DVC's plugin.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from facemodels.files import write_yaml
from facemodels.registry import rules
from facemodels.storage.remotes.doctor import Checkup, examine
from tests.functional.deployment.site import git
from tests.functional.storage import stores
from tests.functional.storage.stores import VERSIONS, GcsStore, S3Site, s3_site

# gcsfs asks over gRPC which kind a bucket is, and waits a minute for an emulator that has none.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
pytest.importorskip("dvc_gs", reason="pip install 'facemodels[gs]'")
pytestmark = [
    pytest.mark.skipif(
        not (stores.BIN / "gcp-storage-emulator").exists(),
        reason="pip install gcp-storage-emulator",
    ),
    # gcsfs' own sessions, closed by the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsStore]:
    store = stores.gcs(tmp_path_factory.mktemp("gcs"))
    store.start()
    yield store
    store.kill()


@pytest.fixture
def site(emulator: GcsStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Site:
    """Three versions, a storage and a backup in buckets of their own; nothing is pushed."""
    from gcsfs import GCSFileSystem

    for name, value in emulator.credentials.items():
        monkeypatch.setenv(name, value)
    GCSFileSystem.clear_instance_cache()
    return s3_site(tmp_path, emulator, backup=emulator)


def test_a_version_goes_there_is_mended_and_comes_back(site: S3Site) -> None:
    sent = json.loads(site.command("push", "--json").stdout)
    assert set(sent["missing"]) == site.all_objects()
    site.command("backup")
    oid = next(c.oid for c in site.objects(VERSIONS[0]).children if c.path == "model.pt")
    place = site.place()
    place.odb.fs.fs.pipe_file(place.path(oid), b"bad")
    assert json.loads(site.command("push", "--json", "--dry-run").stdout)["repaired"]
    found = json.loads(site.command("audit", "--json", code=3).stdout)["findings"]
    assert [(f["place"], f["kind"], f["item"]) for f in found] == [("storage", "corrupt", oid)]
    site.command("audit", "--repair")
    site.command("push", "--read-back")
    known = site.all_objects()
    shutil.rmtree(site.folder / ".dvc/cache")
    done = json.loads(site.command("pull", "--json").stdout)
    assert set(done["fetched"]) == known
    site.command("backup", "--drill")


def test_an_archived_version_is_restored(site: S3Site) -> None:
    site.command("push")
    old = site.register("det-yolov8-v1.0.0", size=20_000)
    site.repository.add(lambda now: rules.deprecate(now, old, reason="superseded"))
    write_yaml(
        site.folder / "conf/retention.yaml", {"keep_days": 0, "grace_days": 0, "least_freed": 0}
    )
    git(site.folder, "rm", "--quiet", f"{old.folder}.dvc")
    git(site.folder, "commit", "--quiet", "--message", "Archive it")
    site.command("push")
    site.command("backup")
    site.command("retention")
    assert str(old) in site.state().archived
    site.command("audit")
    site.command("restore", str(old), "--reason", "wanted")
    assert str(old) not in site.state().archived
    site.command("audit")


def test_a_bucket_that_is_not_there_is_named(site: S3Site) -> None:
    config = (site.folder / ".dvc/config").read_text()
    bucket = site.place().path("0" * 32).partition("/")[0]
    (site.folder / ".dvc/config").write_text(config.replace(f"gs://{bucket}/", "gs://nobodys/"))
    assert "Create the bucket" in site.command("push", "--patience", "0", code=2).output
    kinds = {one.kind for one in examine(site.folder, Checkup(remote="storage"))}
    assert "bucket-absent" in kinds
