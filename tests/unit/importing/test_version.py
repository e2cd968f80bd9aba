"""An imported model is registered, promoted, traced and served like any other version."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facemodels.data.splits import RecognitionSplit
from facemodels.package.load import open_package
from tests.functional.serving.conftest import Server

BIN = Path(sys.executable).parent
ID, FOLDER = "rec-x-v1.0.0", "models/recognition/x-v1.0.0"
SUITE = "def test_it(): pass\n"


class Repository:
    """A folder with Git and DVC in which commands are run as in a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A session's fixture runs before the isolation of each test.
        self.env = {
            **os.environ, "HOME": str(folder.parent), "DVC_NO_ANALYTICS": "true",
            **{f"GIT_{who}_NAME": "Test" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "test@example.invalid" for who in ("AUTHOR", "COMMITTER")},
        }  # fmt: skip

    def run(self, *command: str, code: int = 0) -> str:
        program = command[0] if command[0] == "git" else str(BIN / command[0])
        done = subprocess.run(
            [program, *command[1:]], cwd=self.folder, env=self.env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout

    def json(self, *command: str) -> dict:
        return json.loads(self.run("facemodels", *command, "--json"))


@pytest.fixture(scope="session")
def imported(tmp_path_factory: pytest.TempPathFactory, faces: Path, network: bytes) -> Path:
    """A repository with an imported version, committed as the command says."""
    tmp_path = tmp_path_factory.mktemp("imported") / "repository"
    made = Repository(tmp_path)
    for path, text in {
        "conf/import.yaml": "recognition: {auc: {min: 0.6}}\n",
        "conf/registry.yaml": "remote: ''\n",
        "params.yaml": (Path(__file__).parents[3] / "params.yaml").read_text(),
        "tests/model_tests/test_it.py": SUITE,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "x.onnx").write_bytes(network)
    made.run("git", "init", "--quiet", "--initial-branch", "main")
    made.run("dvc", "init", "--quiet")
    told = made.run(
        "facemodels", "import", "--onnx", "x.onnx", "--name", "recognition-x", "--version", "1.0.0",
        "--crop", "arcface112", "--colour", "RGB", "--mean", "127.5", "--scale", "0.0078125",
        "--license", "MIT", "--author", "Somebody", "--training-dataset", "drawn faces",
        "--data", str(faces), "--no-trial", "--threads", "1",
    )  # fmt: skip
    steps = [line.strip() for line in told.splitlines() if line.startswith("  ")]
    assert steps[-1] == f"facemodels serve {ID}"
    (tmp_path / "x.onnx").unlink()
    for step in steps[:2]:
        made.run(*step.split())
    made.run("git", "add", "--all")
    made.run("git", "commit", "--quiet", "--message", "Import")
    return tmp_path


@pytest.fixture
def repository(imported: Path, tmp_path: Path) -> Repository:
    """A private copy."""
    shutil.copytree(imported, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


@pytest.fixture
def server(repository: Repository) -> Iterator[Server]:
    repository.run("facemodels", "registry", "register", "--path", FOLDER)
    process = subprocess.Popen(
        [BIN / "facemodels", "serve", ID, "--port", "0", "--threads", "1"],
        cwd=repository.folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    served = Server(process)
    yield served
    served.stop(signal.SIGKILL)


def test_it_is_registered_with_its_gates_and_suite_and_served(
    repository: Repository, server: Server, faces: Path, network: bytes
) -> None:
    entry = repository.json("registry", "info", "--model-id", ID)
    assert entry["status"] == "development"
    assert [gate["metric"] for gate in entry["gates"]] == ["auc"]
    moved = repository.json(
        "registry", "update-status", "--model-id", ID, "--status", "staging", "--reason", "tried"
    )
    assert moved["status"] == "staging"
    digest = hashlib.sha256(network).hexdigest()
    lineage = repository.run("facemodels", "registry", "lineage", "--model-id", ID)
    assert "Imported from x.onnx" in lineage
    assert digest in lineage.replace("\n", "")
    assert "earlier dvc.lock" not in lineage

    image = np.array(RecognitionSplit.load(faces / "test", "arcface112").images[0])
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    answer = server.post(
        "/api/embed", content=stream.getvalue(), headers={"content-type": "image/png"}
    ).json()
    (expected,) = open_package(repository.folder / FOLDER).predictor(threads=1).embed([image])
    np.testing.assert_allclose(answer["results"][0]["embedding"], expected, atol=1e-5)


def test_without_the_report_of_its_suite_it_is_not_promoted(repository: Repository) -> None:
    report = repository.folder / "reports/import/recognition-x.json"
    values = json.loads(report.read_text())
    report.write_text(json.dumps({**values, "package": f"sha256:{'0' * 64}"}))
    repository.run("git", "commit", "--quiet", "--all", "--message", "Another package's report")
    repository.run("facemodels", "registry", "register", "--path", FOLDER)
    repository.run(
        "facemodels", "registry", "update-status", "--model-id", ID, "--status", "staging",
        "--reason", "tried", code=4,
    )  # fmt: skip
