"""A team of processes that a launcher started, on one machine or several.

No memory is shared, so what a piece writes is sent by `torch.distributed`: gloo on CPUs, NCCL on
GPUs. Nothing is added up on the way, because the order of a sum would then depend on the number of
processes. A process that dies ends the run here: the launcher starts all of them again, and they
go on from the checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, distributed

from facemodels.errors import InputError
from facemodels.training.workers import Fill, pieces


def is_launched() -> bool:
    """Whether this is one of several processes of a process group."""
    return distributed.is_initialized() and distributed.get_world_size() > 1


class ProcessGroupTeam:
    """The processes of torch's default process group.

    Args:
        micro_batches: parts of a batch.

    Raises:
        InputError: there are more processes than parts, so that some would have no work.
    """

    def __init__(self, micro_batches: int) -> None:
        self._rank, self._size = distributed.get_rank(), distributed.get_world_size()
        if self._size > micro_batches:
            raise InputError(
                f"{self._size} processes were launched, and a batch has {micro_batches} "
                "micro-batches.",
                "Launch fewer, or raise train.micro_batches, which is part of the result.",
            )

    @property
    def leads(self) -> bool:
        """Whether this is the process of rank 0."""
        return self._rank == 0

    @property
    def size(self) -> int:
        """The number of processes."""
        return self._size

    def share(self, rows: Sequence[Sequence[Tensor]], fill: Fill, *, parted: bool = False) -> None:
        """Do this process's pieces and exchange what they wrote; see `Team.share`."""
        ranks = range(self._size)
        for index in pieces(len(rows), ranks, self._rank):
            fill(index)
        transfers = []
        for owner in ranks:
            for index in pieces(len(rows), ranks, owner):
                for place, tensor in enumerate(rows[index]):
                    readers = [place] if parted else ranks
                    transfers += self._transfers(tensor, owner, readers)
        if transfers:
            for work in distributed.batch_isend_irecv(transfers):
                work.wait()

    def agreed(self, decision: bool) -> bool:
        """Return the decision of rank 0."""
        told = [decision]
        distributed.broadcast_object_list(told, src=0)
        return told[0]

    def _transfers(
        self, tensor: Tensor, owner: int, readers: Sequence[int]
    ) -> list[distributed.P2POp]:
        """What this process sends or receives of a tensor, in the same order everywhere."""
        if not tensor.numel():
            return []
        if self._rank == owner:
            others = [rank for rank in readers if rank != owner]
            return [distributed.P2POp(distributed.isend, tensor, rank) for rank in others]
        if self._rank in readers:
            return [distributed.P2POp(distributed.irecv, tensor, owner)]
        return []
