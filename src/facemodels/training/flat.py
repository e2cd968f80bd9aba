"""Many tensors in one row of numbers, so that one operation sums, sends or scales all of them."""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Allocate = Callable[..., Tensor]  # a shape to float32 zeros
_ALIGNED = 16  # numbers: each tensor starts at a line of the processor's cache, in every row


class FlatLayout:
    """Where each of some float32 tensors lies in a row.

    A tensor keeps its own order of memory there (that of channels last, for example). Between
    two tensors there may be a gap of zeros.

    Attributes:
        size: numbers in a row.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._shapes = [(tensor.shape, tensor.stride()) for tensor in tensors]
        self._starts = [0]
        for tensor in tensors:
            self._starts.append(self._starts[-1] + -(-tensor.numel() // _ALIGNED) * _ALIGNED)
        self.size = self._starts[-1]

    def views(self, row: Tensor) -> list[Tensor]:
        """The tensors inside a row (size,), which share its memory."""
        return [
            row.as_strided(shape, stride, row.storage_offset() + start)
            for start, (shape, stride) in zip(self._starts, self._shapes, strict=False)
        ]

    def span(self, run: range) -> slice:
        """Where the tensors of a run of indices lie in a row, the gaps behind them included."""
        return slice(self._starts[run.start], self._starts[run.stop])

    def runs(self, count: int) -> list[range]:
        """The indices of the tensors in `count` runs of about as many numbers each."""
        targets = [self.size * part / count for part in range(1, count)]
        bounds = [0, *(bisect_left(self._starts, target) for target in targets)]
        return [range(*pair) for pair in pairwise([*bounds, len(self._shapes)])]


def shared(*shape: int) -> Tensor:
    """Zeros in memory that the processes forked from this one see and write too.

    The mapping has no name and goes with its last process, whatever ended it; /dev/shm, which
    containers keep small, is not used.
    """
    size = torch.Size(shape)
    memory = mmap.mmap(-1, max(1, size.numel()) * torch.float32.itemsize)
    return torch.frombuffer(memory, dtype=torch.float32)[: size.numel()].view(size)
