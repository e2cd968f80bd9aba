"""`dvc repro` with everything up to date, against a bare DVC repository of as many stages.

python -m benchmarks.dvc [--runs N]      (after `make repro`)

The bare repository has the same number of stages in a chain, each with one small dep and
one small out. The two take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from facemodels.tables import markdown

ROOT = Path(__file__).resolve().parents[1]
DVC = str(Path(sys.executable).parent / "dvc")


def bare_repository(folder: Path, stages: int) -> None:
    """A chain of `stages` copies."""
    (folder / "0.txt").write_text("start\n")
    chain = {
        f"stage{i}": {
            "cmd": f"cp {i}.txt {i + 1}.txt",
            "deps": [f"{i}.txt"],
            "outs": [f"{i + 1}.txt"],
        }
        for i in range(stages)
    }
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
    stages = len(yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"])
    with tempfile.TemporaryDirectory() as scratch:
        bare = Path(scratch)
        bare_repository(bare, stages)
        seconds(ROOT), seconds(bare)
        pairs = np.array([(seconds(ROOT), seconds(bare)) for _ in range(options.runs)])
    ours, plain = np.median(pairs, axis=0)
    ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
    print(
        markdown(
            [{"stages": stages, "ours s": float(ours), "bare s": float(plain), "ratio": ratio}]
        )
    )


if __name__ == "__main__":
    main()
