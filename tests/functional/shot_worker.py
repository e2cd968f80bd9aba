"""The command `facemodels` in processes of which one is shot in the middle of a step.

SHOT in the environment says at which step, and what: `STEP:TARGET`, where the target is `worker`
(this process), `agent` (what started it) or `node` (both). Every process leaves its name in the
folder STARTED.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from facemodels.determinism import settle

settle("portable")

from facemodels.cli.main import main  # noqa: E402
from facemodels.training.micro_batches import MicroBatches  # noqa: E402

STARTED = Path(os.environ["STARTED"])
fill = MicroBatches._fill_slot


def shoot(self: MicroBatches, step: int, index: int, *rest: object) -> None:
    at, target = os.environ["SHOT"].split(":")
    if at == str(step) and first():
        if target != "worker":
            os.kill(os.getppid(), signal.SIGKILL)
        if target != "agent":
            os.kill(os.getpid(), signal.SIGKILL)
    fill(self, step, index, *rest)


def first() -> bool:
    """Whether nobody was shot before."""
    try:
        (STARTED / "shot").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


if "SHOT" in os.environ:
    MicroBatches._fill_slot = shoot
restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
(STARTED / f"{restarts}-{os.environ.get('RANK')}-of-{os.environ.get('WORLD_SIZE')}").touch()

if __name__ == "__main__":
    main()
