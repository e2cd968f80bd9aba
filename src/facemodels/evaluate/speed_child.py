"""The process that is measured: reads a job as JSON on stdin, prints figures as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from facemodels.evaluate.speed import run_child
from facemodels.package.load import open_package


def main() -> None:
    """Measure one runtime of one package."""
    job = json.load(sys.stdin)
    print(json.dumps(run_child(open_package(Path(job["folder"])), job["runtime"], job)))


if __name__ == "__main__":
    main()
