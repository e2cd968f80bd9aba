from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from facemodels import dvc_files
from facemodels.cli.main import main
from facemodels.errors import ConflictError, InputError
from facemodels.release import card
from facemodels.release.merge import merge

ROOT = Path(__file__).resolve().parents[3]
STAGES = [f"{stage}@{model}" for stage in ("train", "package") for model in "abc"]


def lock(runs: dict[str, int]) -> str:
    """A dvc.lock as DVC writes it, in which each stage was run with some input."""
    stages = "".join(
        f"  {name}:\n    cmd: python stages/{name}\n    deps:\n    - path: src/x.py\n"
        f"      hash: md5\n      md5: '{run:032x}'\n      size: 1\n    outs:\n"
        f"    - path: build/{name}\n      hash: md5\n      md5: '{run:032x}'\n      size: 1\n"
        for name, run in runs.items()
    )
    return f"schema: '2.0'\nstages:\n{stages}" if runs else "schema: '2.0'\nstages: {}\n"


def test_of_random_merges_each_stage_is_a_run_of_one_side_or_left_to_be_built() -> None:
    chance = random.Random(1)
    for _ in range(50):
        base = {name: 0 for name in STAGES if chance.random() < 0.8}
        sides = []
        for number in (1, 2):
            side = dict(base)
            for name in STAGES:
                draw = chance.random()
                if draw < 0.3:
                    side[name] = number if chance.random() < 0.8 else 3
                elif draw < 0.4:
                    side.pop(name, None)
            sides.append(side)
        ours, theirs = sides
        merged = merge("dvc.lock", lock(base), lock(ours), lock(theirs))
        found = dvc_files.parse_lock(merged.text, "merged")
        for name in STAGES:
            before, mine, other = base.get(name), ours.get(name), theirs.get(name)
            expected = other if mine in (before, other) else mine if other == before else None
            assert (name in merged.rebuilt) == (mine != other and before not in (mine, other))
            if expected is None:
                assert name not in found
            else:
                assert found[name] == dvc_files.parse_lock(lock({name: expected}), "one")[name]
        again = merge("dvc.lock", lock(base), lock(theirs), lock(ours))
        assert dvc_files.parse_lock(again.text, "again") == found


def test_what_dvc_and_hydra_wrote_keeps_its_bytes() -> None:
    stages = (ROOT / "dvc.lock").read_text().split("\n  prepare@")
    one, two = ("\n  prepare@".join(stages[:count]) + "\n" for count in (2, 3))
    assert merge("dvc.lock", one, one, two).text == two
    assert merge("dvc.lock", one, two, one).text == two
    params = (ROOT / "params.yaml").read_text()
    assert merge("params.yaml", "", params, params).text == params


def test_a_lock_with_conflict_markers_or_another_file_is_refused() -> None:
    text = lock({"a": 1})
    with pytest.raises(InputError):
        merge("dvc.lock", text, f"<<<<<<< ours\n{text}", text)
    with pytest.raises(InputError, match="nothing that the pipeline writes"):
        merge("conf/config.yaml", "", "", "")


@pytest.mark.parametrize("path", ["reports/sealed/train/x.json", "reports/code/train/x.json"])
def test_a_file_that_stages_write_anew_comes_from_the_side_that_changed_it_or_from_ours(
    path: str,
) -> None:
    assert merge(path, "a", "a", "b").text == "b"
    assert merge(path, "a", "b", "a").text == "b"
    assert merge(path, "a", "b", "c").text == "b"


def test_two_releases_that_each_pin_a_baseline_merge(tmp_path: Path) -> None:
    config = (ROOT / "conf/config.yaml").read_text()
    params = (ROOT / "params.yaml").read_text()
    sides = []
    for task in ("detection", "recognition"):
        edited = card.edit_baseline(config, task, f"models/{task}/x-v1.0.0", "conf/config.yaml")
        assert card.baseline(edited, task, "") == f"models/{task}/x-v1.0.0"
        (tmp_path / task).write_text(edited)
        sides.append(params.replace(f"    {task}: ''", f"    {task}: models/{task}/x-v1.0.0"))
    (tmp_path / "base").write_text(config)
    done = subprocess.run(
        ["git", "merge-file", "-p", "detection", "base", "recognition"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert card.baseline(done.stdout, "detection", "") == "models/detection/x-v1.0.0"
    assert card.baseline(done.stdout, "recognition", "") == "models/recognition/x-v1.0.0"
    merged = merge("params.yaml", params, *sides).text
    assert merged.count("x-v1.0.0") == 2
    with pytest.raises(ConflictError, match=r"compare\.baselines\.detection"):
        merge("params.yaml", params, sides[0], sides[0].replace("x-v1.0.0", "y-v1.0.0"))


def test_git_merges_by_the_driver_that_make_setup_sets(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    files = {name: tmp_path / name for name in ("O", "A", "B")}
    for name, runs in (("O", {"x": 0, "y": 0}), ("A", {"x": 1, "y": 1}), ("B", {"x": 0, "y": 2})):
        files[name].write_text(lock(runs))
    told = CliRunner().invoke(main, ["merge-lock", *map(str, files.values()), "dvc.lock"])
    assert told.exit_code == 0
    assert "both sides changed y" in told.output
    assert files["A"].read_text() == lock({"x": 1})

    git("init", "--quiet", "--initial-branch=main")
    (tmp_path / ".gitattributes").write_bytes((ROOT / ".gitattributes").read_bytes())
    setup = (ROOT / "Makefile").read_text()
    line = next(line for line in setup.splitlines() if "merge.facemodels-lock.driver" in line)
    driver = line.partition("driver '")[2].partition("'")[0]
    assert driver.startswith(".venv/bin/facemodels merge-lock %O %A %B %P")
    program = f"{Path(sys.executable).parent}/facemodels"
    git("config", "merge.facemodels-lock.driver", driver.replace(".venv/bin/facemodels", program))
    for branch, runs in (("main", {"x": 0, "y": 0}), ("one", {"x": 1, "y": 0}),
                         ("two", {"x": 0, "y": 2})):  # fmt: skip
        if branch != "main":
            git("switch", "--quiet", "--create", branch, "main")
        (tmp_path / "dvc.lock").write_text(lock(runs))
        git("add", "dvc.lock", ".gitattributes")
        git("commit", "--quiet", "--message", branch)
    git("merge", "--quiet", "--no-edit", "one")
    assert (tmp_path / "dvc.lock").read_text() == lock({"x": 1, "y": 2})
