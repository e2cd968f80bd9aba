"""CPU time to import the command line and to print its help.

python -m benchmarks.startup [--runs N]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from facemodels.text import markdown

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import facemodels.cli.main": [sys.executable, "-c", "import facemodels.cli.main"],
    "facemodels --help": [str(Path(sys.executable).parent / "facemodels"), "--help"],
}


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the median of each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    rows = []
    for name, command in COMMANDS.items():
        cpu_seconds(command)
        runs = [cpu_seconds(command) for _ in range(options.runs)]
        rows.append({"command": name, "median CPU s": float(np.median(runs))})
    print(markdown(rows))


if __name__ == "__main__":
    main()
