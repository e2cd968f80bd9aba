"""Azure, by Azurite: Microsoft's own emulator of Blob Storage, an npm package.

It is taken from PATH, or from build/azurite (`npm install azurite` there); the extra `azure`
brings DVC's plugin.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels.cli.storage_setup import init
from facemodels.errors import ToolError
from facemodels.storage.backup.manifest import LATEST, LatestBackup, read_latest
from facemodels.storage.remotes.doctor import Checkup, examine
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.stores import open_store
from tests.functional.deployment.site import free_port, git, wait_until

ROOT = Path(__file__).resolve().parents[3]
LOCAL = ROOT / "build/azurite/node_modules/.bin/azurite-blob"
PROGRAM = shutil.which("azurite-blob") or (str(LOCAL) if LOCAL.is_file() else None)
# Azurite's published account; no secret (its README, "Default Storage Account").
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
OID = "9dd4e461268c8034f5c8564e155c67a6"  # md5 of b"x"

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="no azurite: npm install azurite in build/azurite"),
    # azure's own asyncio transport, closed by the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A connection string."""
    pytest.importorskip("dvc_azure", reason="pip install 'facemodels[azure]'")
    from azure.core.exceptions import AzureError
    from azure.storage.blob import BlobServiceClient

    folder = tmp_path_factory.mktemp("azurite")
    port = free_port()
    words = [str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location",
             str(folder), "--silent", "--skipApiVersionCheck", "--disableTelemetry"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    said = (
        f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};"
        f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT};"
    )

    def answers() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        try:
            with BlobServiceClient.from_connection_string(said, retry_total=0) as client:
                names = {one.name for one in client.list_containers()}
                for name in {"models", "models-backup"} - names:
                    client.create_container(name)
        except AzureError:
            return False
        return True

    try:
        wait_until(answers, "azurite answers")
        yield said
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def root(azurite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def set_up() -> None:
    words = ["--url", "azure://models/faces", "--backup-url", "azure://models-backup/faces"]
    done = CliRunner().invoke(init, words)
    assert done.exit_code == 0, (done.output, done.exception)


def test_objects_go_there_and_come_back(root: Path) -> None:
    set_up()
    assert "AccountKey" not in (root / ".dvc/config").read_text()
    place = open_store(root)
    (root / "data").write_bytes(b"x")
    place.put(root / "data", OID)
    assert place.sizes() == {OID: 1}
    assert place.is_whole(OID)
    place.get(OID, root / "copy")
    assert (root / "copy").read_bytes() == b"x"
    place.delete(OID)
    assert place.size(OID) is None
    assert open_store(root, "backup").sizes() == {}


def test_documents_of_a_backup_go_there_and_come_back(root: Path) -> None:
    set_up()
    shelf = NamedFiles(open_store(root, "backup"))
    assert read_latest(shelf) is None
    for moment in ("2026-01-02T03:04:05Z", "2026-01-03T03:04:05Z"):
        latest = LatestBackup("registry/manifests/x.json", moment)
        shelf.write(LATEST, latest.data)
        assert read_latest(shelf) == latest


def test_dvc_pushes_and_pulls(root: Path) -> None:
    import sys

    set_up()
    (root / "weights").write_text("some")
    for words in (["add", "weights"], ["push"]):
        subprocess.run([sys.executable, "-m", "dvc", "--quiet", *words], cwd=root, check=True)
    shutil.rmtree(root / ".dvc/cache")
    (root / "weights").unlink()
    subprocess.run([sys.executable, "-m", "dvc", "--quiet", "pull"], cwd=root, check=True)
    assert (root / "weights").read_text() == "some"


def test_a_container_that_is_not_there_stops_init(root: Path) -> None:
    done = CliRunner().invoke(init, ["--url", "azure://nobody-made-this/faces"])
    assert isinstance(done.exception, ToolError)
    assert "Make the bucket" in str(done.exception)


def test_the_doctor_reaches_it_and_says_what_it_did_not_look_at(root: Path) -> None:
    set_up()
    kinds = {one.kind: one.level for one in examine(root, Checkup(remote="storage"))}
    assert kinds == {"not-examined": "unknown"}
