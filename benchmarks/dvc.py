"""`dvc repro` with everything up to date, against bare DVC repositories of as many stages.

python -m benchmarks.dvc [--runs N]      (after `make repro`)

Two bare repositories, each a chain of as many stages as dvc.lock has here. In the one a
stage has one small dep and one small out; in the other it has as many deps as the average
stage here and reads a params.yaml of the same size. All take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from facemodels.text import markdown

ROOT = Path(__file__).resolve().parents[1]
DVC = str(Path(sys.executable).parent / "dvc")


def bare_repository(folder: Path, stages: int, *, deps: int = 0, params: str = "") -> None:
    """A chain of `stages` copies, each with `deps` further deps and the keys of `params`."""
    folder.mkdir()
    (folder / "0.txt").write_text("start\n")
    for i in range(deps):
        (folder / f"dep{i}.txt").write_text(f"{i}\n")
    chain: dict[str, Any] = {}
    for i in range(stages):
        chain[f"stage{i}"] = {
            "cmd": f"cp {i}.txt {i + 1}.txt",
            "deps": [f"{i}.txt", *(f"dep{k}.txt" for k in range(deps))],
            "outs": [f"{i + 1}.txt"],
        }
        if params:
            (folder / "params.yaml").write_text(params)
            chain[f"stage{i}"]["params"] = ["data.detection", "compare"]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": chain}))
    for command in (["git", "init", "-q"], [DVC, "init", "-q"], [DVC, "repro", "-q"]):
        subprocess.run(command, cwd=folder, check=True)


def seconds(folder: Path) -> float:
    """Wall time of one `dvc repro` that has nothing to do."""
    start = time.perf_counter()
    done = subprocess.run([DVC, "repro"], cwd=folder, check=True, capture_output=True, text=True)
    elapsed = time.perf_counter() - start
    if "Running stage" in done.stdout:
        raise SystemExit(f"{folder} was not up to date: run `make repro` first.")
    return elapsed


def main() -> None:
    """Print both medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    os.environ["DVC_NO_ANALYTICS"] = "true"
    os.environ["PATH"] = f"{Path(DVC).parent}:{os.environ['PATH']}"
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"].values()
    deps = round(sum(len(stage["deps"]) for stage in lock) / len(lock))
    with tempfile.TemporaryDirectory() as scratch:
        bare, full = Path(scratch, "bare"), Path(scratch, "full")
        bare_repository(bare, len(lock))
        params = (ROOT / "params.yaml").read_text()
        bare_repository(full, len(lock), deps=deps - 1, params=params)
        folders = (ROOT, bare, full)
        for folder in folders:
            seconds(folder)
        runs = np.array([[seconds(folder) for folder in folders] for _ in range(options.runs)])
    ours, plain, alike = np.median(runs, axis=0)
    rows = [
        {
            "repository": name,
            "median s": float(median),
            "ours / it": float(np.median(runs[:, 0] / runs[:, column])),
        }
        for column, (name, median) in enumerate(
            [
                ("ours", ours),
                (f"bare, {len(lock)} stages", plain),
                (f"bare, {len(lock)} stages of {deps} deps and params", alike),
            ]
        )
    ]
    print(markdown(rows))


if __name__ == "__main__":
    main()
