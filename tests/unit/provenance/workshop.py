"""A repository in which versions are built and registered, for the tests of their lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.provenance import lineage
from facemodels.registry import rules
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.tag_store import TagStore

MODEL = "recognition-facenet"
FOLDER = "models/recognition/facenet-v"


def digest(text: str, *, folder: bool = False) -> str:
    """An MD5-like digest that is easy to tell apart."""
    return (text.encode().hex() * 32)[:32] + (".dir" if folder else "")


def pipeline(version: str, **changed: Any) -> dict[str, Any]:
    """A dvc.lock of prepare, train and package; `changed` are steps, data, code, package."""
    prepared = {
        "path": "data/prepared/recognition",
        "hash": "md5",
        "md5": digest(f"d{changed.get('data', 1)}", folder=True),
        "size": 2_000_000,
        "nfiles": 7,
    }
    raw = {"path": "data/raw/faces", "md5": digest(f"r{changed.get('data', 1)}", folder=True)}
    code = {"path": "src/net.py", "md5": digest(f"c{changed.get('code', 1)}"), "size": 10}
    weights = {"path": f"build/{MODEL}/model", "md5": digest(f"w{version}"), "size": 500}
    package = changed.get("package", f"p{version}")
    train = {"steps": changed.get("steps", 100), "learning_rate": 0.002}
    return {
        "schema": "2.0",
        "stages": {
            "package@recognition-facenet": {
                "cmd": f"python stages/package.py {MODEL}",
                "deps": [weights, code],
                "params": {
                    "params.yaml": {
                        f"models.{MODEL}.name": MODEL,
                        f"models.{MODEL}.version": version,
                        f"models.{MODEL}.variant": "",
                        f"models.{MODEL}.card": {"changelog": f"of {version}"},
                    }
                },
                "outs": [
                    {
                        "path": f"{FOLDER}{version}",
                        "md5": digest(package, folder=True),
                        "size": 94_100_000,
                    }
                ],
            },
            "prepare@recognition": {
                "cmd": ["python stages/prepare.py recognition", "true"],
                "deps": [raw, {"path": "stages/prepare.py", "md5": digest("s1"), "size": 3}],
                "params": {"params.yaml": {"data.recognition": {"seed": 1}}},
                "outs": [prepared],
            },
            "train@recognition-facenet": {
                "cmd": f"python stages/train.py {MODEL}",
                "deps": [prepared, code],
                "params": {"params.yaml": {f"models.{MODEL}.train": train}},
                "outs": [weights],
            },
            "compare@recognition": {
                "cmd": "python stages/compare.py recognition",
                "deps": [{"path": "models/recognition", "md5": digest("m", folder=True)}],
                "outs": [{"path": "reports/compare.json", "md5": digest("o")}],
            },
        },
    }


def parameters(version: str, steps: int = 100) -> dict[str, Any]:
    """A params.yaml."""
    return {
        "data": {"recognition": {"seed": 1}},
        "models": {
            MODEL: {
                "name": MODEL,
                "version": version,
                "variant": "",
                "code": "src/net.py",
                "train": {"steps": steps, "learning_rate": 0.002},
            }
        },
    }


class Workshop:
    """A repository in which versions are made and registered."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.git = Git(root)
        self.repository = TagStore(self.git, RegistryPolicy(remote=""), clock=lambda: 1_700_000_000)
        root.mkdir(exist_ok=True)
        self.git.text("init", "--quiet", "--initial-branch=main")

    def commit(self, files: dict[str, Any], subject: str = "Build") -> str:
        """Write files and commit them; a mapping is written as YAML."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (
                yaml.safe_dump(content, sort_keys=False) if isinstance(content, dict) else content
            )
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git.text("add", "--all")
        when = {"GIT_AUTHOR_DATE": "@1690000000 +0000", "GIT_COMMITTER_DATE": "@1690000000 +0000"}
        self.git.text("commit", "--quiet", "--allow-empty", "-m", subject, environment=when)
        return self.git.commit("HEAD")

    def register(self, version: str, parent: str = "", **facts: Any) -> str:
        """Register a version at HEAD by the real rules."""
        model = ModelId.parse(f"{MODEL}@v{version}")
        entry = {
            "path": str(model.folder),
            "dvc": digest(f"p{version}", folder=True),
            "created_at": "2026-01-02T03:04:05Z",
            "parent_version": parent,
            "changelog": f"What {version} brings.",
            **facts,
        }
        commit = self.git.commit("HEAD")
        evidence = {"package": "ab" * 32}
        self.repository.add(
            lambda state: rules.register(
                state, model, commit, reason="", evidence=evidence, entry=entry
            )
        )
        return str(model)

    def build(self, version: str, parent: str = "", **changed: Any) -> str:
        """Commit a dvc.lock for a version and register it."""
        self.commit({"dvc.lock": pipeline(version, **changed)}, f"Build {version}")
        return self.register(version, parent)

    def trace(self, model: str, **options: Any) -> lineage.Lineage:
        return lineage.trace(self.git, self.repository.state(), model, **options)
