"""`facemodels manifests` in a clone: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from tests.unit.deployment.kubernetes.cluster import LEAST
from tests.unit.registry.conftest import V1, move, start

from facemodels.cli.main import main
from facemodels.deployment.settings import FOLDER
from facemodels.files import write_yaml


def test_a_clone_without_tags_is_refused_and_one_with_tags_gives_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = start(tmp_path / "clone")
    ports = {"address": {"port": 8080}, "control": {"port": 8081}}
    write_yaml(clone.root / FOLDER / "production.yaml", {**ports, "kubernetes": LEAST})
    monkeypatch.chdir(clone.root)

    def run(*options: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["manifests", "--environment", "production", *options])
        return done.exit_code, done.output

    code, text = run("--output", "deploy")
    assert (code, "git fetch --tags" in text) == (2, True)
    assert run("--allow-empty")[0] == 0
    clone.register(V1)
    clone.add(move(V1, "staging"))
    clone.add(move(V1, "production"))
    objects = list(yaml.safe_load_all(run()[1]))
    assert "Deployment" in {one["kind"] for one in objects}
    would = json.loads(run("--output", "deploy", "--dry-run", "--json")[1])
    assert len(would["written"]) == len(objects) + 1
    assert not Path("deploy").exists()
    assert run("--output", "deploy")[0] == 0
    assert run("--output", "deploy") == (0, "deploy: equal\n")
