"""`facemodels release` of a system: its own stages, its version computed from the photo on.

The stages of the repository train for minutes. These have the same names, files and parameters,
and take members with random weights.
"""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
import yaml

from tests.small_systems import detector, recogniser

from .conftest import ROOT, Clone

NAME = "system-faces"
CARD = "conf/bundle/faces.yaml"
PIPELINE = """
stages:
  prepare:
    foreach: [system]
    do:
      cmd: python make.py prepare
      outs: [data/prepared/system]
  system:
    foreach: [system-faces]
    do:
      cmd: python make.py system
      params: [systems.system-faces.members]
      deps: [data/prepared/system]
      outs: [build/system-faces/calibration.json]
  gate_system:
    foreach: [system-faces]
    do:
      cmd: python make.py gate
      deps: [build/system-faces/calibration.json]
      outs: [build/system-faces/gate.json]
  bundle:
    foreach: [system-faces]
    do:
      cmd: python make.py bundle
      params: [systems.system-faces]
      deps: [build/system-faces/calibration.json, build/system-faces/gate.json, recogniser]
      outs: ["${systems.system-faces.package}"]
  benchmark_system:
    foreach: [system-faces]
    do:
      cmd: python make.py benchmark
      deps: ["${systems.system-faces.package}"]
      outs: [reports/suite/system/system-faces.json]
  compare:
    foreach: [system]
    do:
      cmd: python make.py compare
      params: [compare.baselines.system]
      deps: [models/system]
      outs: [reports/compare/system.json]
"""
MAKE = """
import os, sys
from pathlib import Path
from facemodels import params
from facemodels.data.sample.generate import photo_split
from facemodels.data.splits import save_group_names
from facemodels.files import write_json
from facemodels.package.build_system import SystemContent, build_system
from facemodels.package.load import open_package
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits

act = sys.argv[1]
if act == "prepare":
    folder = Path("data/prepared/system")
    for name in ("val", "test"):
        photo_split(name, seed=1, people=12, photos=14, image_size=120, workers=1).save(folder / name)
    save_group_names(folder, ("light", "medium", "dark"))
elif act in ("system", "gate"):
    name = {"system": "calibration", "gate": "gate"}[act]
    write_json(Path(f"build/system-faces/{name}.json"), {})
elif act == "bundle":
    system, members = params.load().system("system-faces"), Path(os.environ["MEMBERS"])
    packages = [members / "det-mtcnn-v1.0.0", members / Path("recogniser").read_text().strip()]
    opened = map(open_package, packages)
    known = Calibration((0.001, 0.01, 0.1), (0.999, 0.99, 0.9), 30000, "a test")
    content = SystemContent(
        system.id, {one.task: one for one in opened}, 0.7, system.fmr, known,
        QualityLimits.model_validate(system.quality), {"metrics": {"recall": 0.99, "rank1": 0.9}},
        system.card,
    )
    build_system(content, Path(system.package))
else:
    write_json(Path(f"reports/{'suite/system/system-faces' if act == 'benchmark' else 'compare/system'}.json"),
               {"of": sorted(path.name for path in Path("models/system").glob("*/"))})
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A repository with the configuration of this one, and small stages; nothing is released."""
    folder = tmp_path_factory.mktemp("release")
    detector(folder / "members")
    recogniser(folder / "members", "1.0.0")
    recogniser(folder / "members", "2.0.0", seed=2)
    made = Clone(folder / "clone")
    shutil.copytree(ROOT / "conf", made.folder / "conf")
    (made.folder / "conf/registry.yaml").write_text('remote: ""\n')  # this clone is all of it
    subprocess.run(["git", "init", "-q", "--initial-branch=main"], cwd=made.folder, check=True)
    made.run("dvc", "init", "--quiet")
    (made.folder / "dvc.yaml").write_text(PIPELINE)
    (made.folder / "make.py").write_text(MAKE)
    (made.folder / ".gitignore").write_text("/build/\n/data/\n")
    (made.folder / "recogniser").write_text("rec-arcface-v1.0.0\n")
    change(made, licence="Apache-2.0")
    made.ours("params")
    made.commit("Begin")
    return made


def change(clone: Clone, *, fmr: float = 0.01, licence: str = "") -> None:
    path = clone.folder / CARD
    text = path.read_text()
    head, _, _ = text.partition("\n")
    values = yaml.safe_load(text)
    values["fmr"] = fmr
    values["card"]["license"] = licence or values["card"]["license"]
    path.write_text(f"{head}\n{yaml.safe_dump(values, sort_keys=False)}")


def release(clone: Clone, *words: str, code: int = 0) -> str:
    environment = {"MEMBERS": str(clone.folder.parent / "members"), "PYTHONPATH": str(ROOT / "src")}
    done = clone.ours("release", NAME, *words, code=code, **environment)
    return done.stdout + done.stderr


def info(clone: Clone, identity: str) -> dict[str, object]:
    words = ("registry", "info", "--json", "--model-id", identity)
    found: dict[str, object] = json.loads(clone.ours(*words).stdout)
    return found


def test_a_system_is_released_and_its_next_version_is_held_against_what_changed(
    site: Clone,
) -> None:
    plan = release(site, "-m", "First", "--dry-run")
    assert "dvc repro bundle@system-faces benchmark_system@system-faces compare@system" in plan
    assert "Released sys-faces-v1.0.0" in release(site, "-m", "First")
    assert site.run("git", "status", "--porcelain").stdout == ""

    change(site, fmr=0.001)
    site.ours("params")
    site.commit("A stricter threshold")
    told = release(site, "-m", "Stricter", "--bump", "patch")
    assert "Released sys-faces-v1.0.1" in told
    assert "patch or more was due" in told
    second = info(site, "sys-faces-v1.0.1")
    assert second["decides_by"]["threshold"] == 0.999  # type: ignore[index]
    assert second["members"]["recognition"]["id"] == "rec-arcface-v1.0.0"  # type: ignore[index]

    (site.folder / "recogniser").write_text("rec-arcface-v2.0.0\n")
    site.commit("Another recogniser")
    refused = release(site, "-m", "Other", "--bump", "minor", code=5)
    assert "at least major is due" in " ".join(refused.split())
    assert "embedding space" in refused
    words = ("--bump", "major", "--accept-regression", "a test: both know nothing")
    assert "Released sys-faces-v2.0.0" in release(site, "-m", "Other", *words)
    changed = site.ours("registry", "diff", "sys-faces-v1.0.1", "sys-faces-v2.0.0")
    assert "rec-arcface-v2.0.0" in changed.stdout
    assert site.run("git", "status", "--porcelain").stdout == ""
    site.ours("registry", "audit")
