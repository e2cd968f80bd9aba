"""Processes that a launcher started to work on one training: torchrun, Ray Train, Slurm's srun.

    torchrun --nproc-per-node 2 --no-python facemodels train --config facenet.yaml ...

Every process runs the same command. They find each other by the variables that torchrun sets
(`RANK`, `WORLD_SIZE`, `MASTER_ADDR`, `MASTER_PORT`), which are made here of srun's. The process of
rank 0 leads: it alone writes. Whether they were given the same training is checked before the
first step, and a checkpoint that one of them has is sent to all, so nodes need no folder in common.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from facemodels.errors import InputError
from facemodels.files import write_bytes

# How long a process waits for another one: for a validation, which the first one makes, or for a
# machine that vanished without closing its connections.
PATIENCE = timedelta(hours=1)
_PORTS = range(15_000, 30_000)  # below those that systems give out by themselves
ValueT = TypeVar("ValueT")


class Launched:
    """This process among those that work on one training; by itself, where none was launched."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self._rank == 0

    def require_same(self, key: str) -> None:
        """Check that all processes were given the same work.

        Args:
            key: a digest of code, data and parameters.

        Raises:
            InputError: a process has another key than that of rank 0.
        """
        keys = self._of_all(key)
        others = [rank for rank, other in enumerate(keys) if other != keys[0]]
        if others:
            raise InputError(
                f"the processes of rank {', '.join(map(str, others))} have other code, data, "
                "parameters or versions of libraries than that of rank 0.",
                "Give every node the same commit, lock file and prepared data.",
            )

    def share_file(self, path: Path) -> None:
        """Let every process have a file at its `path` if one of them does.

        The first of them by rank that has one sends it to those that lack it.
        """
        having = [rank for rank, has in enumerate(self._of_all(path.exists())) if has]
        if not having or len(having) == self._size:
            return
        from torch import distributed

        content = [path.read_bytes() if self._rank == having[0] else b""]
        distributed.broadcast_object_list(content, src=having[0])
        if not path.exists():
            write_bytes(path, content[0])

    def _of_all(self, value: ValueT) -> list[ValueT]:
        if self._size == 1:
            return [value]
        from torch import distributed

        values = [value] * self._size
        distributed.all_gather_object(values, value)
        return values


@contextmanager
def launched() -> Iterator[Launched]:
    """Run the block in every process that a launcher started, as one group of torch.distributed.

    They leave it together: what starts the processes again after a failure starts all of them,
    and none may have ended before the first one has written its results.
    """
    variables = torchrun_variables(os.environ)
    size = int(variables.get("WORLD_SIZE", "1"))
    if "RANK" not in variables or size == 1:
        yield Launched(0, 1)
        return
    _require_fresh_store(os.environ)
    os.environ.update(variables)
    from torch import distributed

    ours = not distributed.is_initialized()  # Ray Train has made the group already
    if ours:
        distributed.init_process_group(timeout=PATIENCE)
    try:
        yield Launched(distributed.get_rank(), size)
        distributed.barrier()
    finally:
        if ours:
            distributed.destroy_process_group()


def _require_fresh_store(environment: Mapping[str, str]) -> None:
    """Refuse a torchrun whose second start would find the addresses of the first one.

    It keeps them in the store of its rendezvous, where processes that were started again read
    those of processes that are dead (seen with torch 2.14: three of four restarts failed).
    """
    restarts = int(environment.get("TORCHELASTIC_MAX_RESTARTS", "0"))
    if restarts and environment.get("TORCH_DISABLE_SHARE_RDZV_TCP_STORE") != "1":
        raise InputError(
            f"torchrun is to start processes again (--max-restarts {restarts}), and they would "
            "look for each other at the addresses of those that died.",
            "Set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 where torchrun is called.",
        )


def torchrun_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that torchrun sets; made of Slurm's, where srun started several tasks.

    Args:
        environment: the variables of the process.

    Returns:
        `RANK`, `WORLD_SIZE`, `LOCAL_RANK`, `MASTER_ADDR` and `MASTER_PORT`, those that there are.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    given = {name: environment[name] for name in names if name in environment}
    # The number of the step's tasks: a batch script has those of the whole job, and is one process.
    if "RANK" in given or int(environment.get("SLURM_STEP_NUM_TASKS", "1")) == 1:
        return given
    job = int(environment["SLURM_JOB_ID"]) + int(environment["SLURM_STEP_ID"])
    return {
        "MASTER_ADDR": first_host(environment["SLURM_STEP_NODELIST"]),
        "MASTER_PORT": str(_PORTS[job % len(_PORTS)]),
        **given,
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environment["SLURM_LOCALID"],
    }


def first_host(nodes: str) -> str:
    """The first host of a list as Slurm writes it: node007 of `node[007-012,020],gpu1`."""
    return re.sub(r"\[([^],-]*)[^]]*\]", r"\1", re.split(r",(?![^\[]*\])", nodes)[0])
