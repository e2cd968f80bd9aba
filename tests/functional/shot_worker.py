"""The command `facemodels` in a process that is shot in the middle of a step.

SHOT in the environment says at which step, if the process was never started again, and what:
`STEP:TARGET`, where the target is `worker` (this process), `agent` (the launcher's that started it)
or `node` (both). Every process leaves its name in the folder STARTED.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from facemodels.determinism import settle

settle("portable")

from facemodels.cli.main import main  # noqa: E402
from facemodels.training.micro_batches import MicroBatches  # noqa: E402

RESTARTS = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
fill = MicroBatches._fill_slot


def shoot(self: MicroBatches, step: int, index: int, *rest: object) -> None:
    at, target = os.environ["SHOT"].split(":")
    if (at, "0") == (str(step), RESTARTS):
        if target != "worker":
            os.kill(os.getppid(), signal.SIGKILL)
        if target != "agent":
            os.kill(os.getpid(), signal.SIGKILL)
    fill(self, step, index, *rest)


if __name__ == "__main__":
    if "SHOT" in os.environ:
        MicroBatches._fill_slot = shoot
    name = f"{RESTARTS}-{os.environ.get('RANK')}-of-{os.environ.get('WORLD_SIZE')}"
    Path(os.environ["STARTED"], name).touch()
    main()
