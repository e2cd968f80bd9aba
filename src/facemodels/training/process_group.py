"""A team of processes that a launcher started: torchrun, on one machine or several.

    torchrun --nproc-per-node 2 stages/train.py recognition-facenet

Every process runs the whole stage; the one of rank 0 writes, and the others end with the last
step. What a piece writes is sent to all by `torch.distributed` (gloo), since no memory is shared.
A process that dies ends the run here, and the next run goes on from the checkpoint, which all of
them have to see.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, distributed

from facemodels.errors import InputError
from facemodels.training.workers import Fill, Team, leave, pieces


class ProcessGroupTeam:
    """The processes of torch's default process group."""

    def __init__(self) -> None:
        self._rank, self._size = distributed.get_rank(), distributed.get_world_size()

    @property
    def leads(self) -> bool:
        """Whether this is the process of rank 0."""
        return self._rank == 0

    @property
    def size(self) -> int:
        """The number of processes."""
        return self._size

    def share(self, rows: Sequence[Sequence[Tensor]], fill: Fill) -> None:
        """Do this process's pieces, send them, and receive the others'; see `Team.share`."""
        ranks = range(self._size)
        for index in pieces(len(rows), ranks, self._rank):
            fill(index)
        for rank in ranks:
            for index in pieces(len(rows), ranks, rank):
                for tensor in rows[index]:
                    if tensor.numel():
                        distributed.broadcast(tensor, src=rank)

    def agreed(self, decision: bool) -> bool:
        """Return the decision of rank 0."""
        told = torch.tensor([decision])
        distributed.broadcast(told, src=0)
        return bool(told)


def launched() -> bool:
    """Whether a launcher started this process as one of several, as torchrun's variables say."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def launched_team(pieces_of_a_step: int) -> Iterator[Team]:
    """Run the block in all processes that were launched; only that of rank 0 leaves it.

    Args:
        pieces_of_a_step: the micro-batches.

    Raises:
        InputError: there are more processes than micro-batches.
    """
    size = int(os.environ["WORLD_SIZE"])
    if size > pieces_of_a_step:
        raise InputError(
            f"{size} processes were launched, and a batch has {pieces_of_a_step} micro-batches.",
            "Launch fewer, or raise train.micro_batches, which is part of the result.",
        )
    distributed.init_process_group("gloo")
    try:
        made = ProcessGroupTeam()
        yield made
        if not made.leads:
            leave()
    finally:
        distributed.destroy_process_group()
