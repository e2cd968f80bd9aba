"""Hands an experiment to submitit, in a process without terminal: the job outlives the command.

python -m facemodels.experiments.start <folder of the job>
"""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from facemodels.experiments.experiment import Experiment, run
from facemodels.files import write_json

ASKED, SUBMITTED = "experiment.json", "job.json"


def start(folder: Path) -> None:
    """Submit what ASKED in the job's folder says, and write SUBMITTED.

    Raises:
        RuntimeError: there is no such cluster here, or it refuses.
    """
    from submitit import AutoExecutor

    asked = json.loads((folder / ASKED).read_text(encoding="utf-8"))
    executor = AutoExecutor(folder=folder, cluster=asked["cluster"])
    executor.update_parameters(**asked["resources"])
    job = executor.submit(run, Experiment.of(asked["experiment"]))
    write_json(folder / SUBMITTED, {"job": job.job_id, "host": socket.gethostname()})


if __name__ == "__main__":
    start(Path(sys.argv[1]))
