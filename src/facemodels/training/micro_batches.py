"""The gradient of a batch from its micro-batches, with the same bits whoever computes them.

Every micro-batch goes through the network alone: its outputs are a function of the weights, the
seed, the step and its index. Micro-batch i of k has the rows i, i + k, i + 2k, ... of the batch:
neighbours are alike (they may be one person's crops), and each batch norm is to see all kinds.

The loss sees the outputs of all micro-batches at once, so that losses over pairs and triplets, and
means over the batch, are those of the whole batch; only the statistics of batch norm are a
micro-batch's own, as in torch's DistributedDataParallel. Then the gradient of the outputs goes
back through each micro-batch (Gao et al., "Scaling Deep Contrastive Learning Batch Size under
Memory Limited Setup", RepL4NLP 2021, known as GradCache), and the gradients of the weights are
joined by `tree_sum`.

A process that sent a micro-batch forward keeps its graph for the way back. One that takes it
over from a process that died sends it forward again, which gives the same graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from facemodels.training.flat import Allocate, FlatLayout
from facemodels.training.tree_sum import tree_sum
from facemodels.training.workers import Team


class MicroBatches:
    """Computes the gradients of a network and the next values of its buffers, step by step."""

    def __init__(
        self,
        network: nn.Module,
        inputs: Tensor,
        *,
        count: int,
        outputs: Callable[[Tensor], Tensor],
        seed: int,
        allocate: Allocate,
    ) -> None:
        """Take the network, in training mode, and learn the shape of its outputs.

        Args:
            network: gets the gradients; its parameters are float32.
            inputs: of any batch, (N, ...).
            count: micro-batches of a batch, a divisor of N.
            outputs: sends inputs (n, ...) through the network: float32 (n, ...).
            seed: of the training.
            allocate: makes the memory that the processes of the team share.
        """
        self._outputs_of, self._seed, self.count = outputs, seed, count
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        buffers = list(network.buffers())
        self._averaged = [b for b in buffers if b.is_floating_point()]
        self._counted = [b for b in buffers if not b.is_floating_point()]
        self._layout = FlatLayout([*self._parameters, *self._averaged])
        self._slots = allocate(count, self._layout.size)
        self._sum = allocate(self._layout.size)
        self._norms = allocate(len(self._parameters))
        self._slot_views = [self._layout.views(slot) for slot in self._slots]
        self._sum_views = self._layout.views(self._sum)
        self._clipped = torch.empty_like(self._sum)
        self._clipped_views = self._layout.views(self._clipped)
        self._unused: set[int] = set()  # parameters that the outputs do not depend on
        self._graphs: dict[int, Tensor] = {}
        self._begin()
        with torch.no_grad():
            part = self._forward(0, 0, inputs)
        self._restore()
        self._outputs = allocate(count, *part.shape)

    def __call__(
        self, team: Team, step: int, inputs: Tensor, loss_of: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch, and set the buffers to what it leaves.

        The network's gradients are set by `clip`. Parameters of the loss have theirs
        afterwards, of the whole batch, in every process.

        Args:
            team: the processes; each of them calls this with the same values.
            step: counted from 0.
            inputs: (N, ...).
            loss_of: the scalar loss of outputs (N, ...).

        Returns:
            The loss, and the norm of the gradient of each parameter (P,).
        """
        self._begin()
        team.share(
            [[part] for part in self._outputs],
            lambda index: self._fill_outputs(step, index, inputs),
        )
        torch.manual_seed(self._seed_of(step, self.count))
        # In the order of the batch again.
        outputs = self._outputs.transpose(0, 1).flatten(0, 1).detach().requires_grad_()
        loss = loss_of(outputs)
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = outputs.grad if outputs.grad is not None else torch.zeros_like(outputs)
        runs = self._layout.runs(team.size)
        team.share(
            [[slot[self._layout.span(run)] for run in runs] for slot in self._slots],
            lambda index: self._fill_slot(step, index, inputs, gradient),
            parted=True,
        )
        team.share([self._results(run) for run in runs], lambda index: self._reduce(runs[index]))
        self._end()
        return loss.detach(), self._norms

    def clip(self, coefficient: Tensor) -> None:
        """Set the gradients of the network's parameters, multiplied by a scalar."""
        torch.mul(self._sum, coefficient, out=self._clipped)
        for index, parameter in enumerate(self._parameters):
            parameter.grad = None if index in self._unused else self._clipped_views[index]

    def _seed_of(self, step: int, index: int) -> int:
        return (self._seed * 1_000_003 + step) ^ (index << 40)

    def _begin(self) -> None:
        """Note the buffers from which every micro-batch of the step starts."""
        self._start = [b.clone() for b in (*self._averaged, *self._counted)]
        self._graphs.clear()

    def _restore(self) -> None:
        for buffer, value in zip((*self._averaged, *self._counted), self._start, strict=True):
            # Graphs of other micro-batches hold the buffer and would refuse the way back if they
            # saw it written. They do not read it: in training a batch norm reads its batch.
            buffer.data.copy_(value)

    def _forward(self, step: int, index: int, inputs: Tensor) -> Tensor:
        self._restore()
        torch.manual_seed(self._seed_of(step, index))
        return self._outputs_of(inputs[index :: self.count].clone())  # dense, as kernels want it

    def _fill_outputs(self, step: int, index: int, inputs: Tensor) -> None:
        self._graphs[index] = self._forward(step, index, inputs)
        self._outputs[index] = self._graphs[index].detach()
        inside = self._slot_views[index][len(self._parameters) :]
        for view, buffer in zip(inside, self._averaged, strict=True):
            view.copy_(buffer)

    def _fill_slot(self, step: int, index: int, inputs: Tensor, gradient: Tensor) -> None:
        if index not in self._graphs:
            self._fill_outputs(step, index, inputs)
        for parameter in self._parameters:
            parameter.grad = None
        self._graphs.pop(index).backward(gradient[index :: self.count])  # type: ignore[no-untyped-call]
        inside = self._slot_views[index]
        for place, parameter in enumerate(self._parameters):
            if parameter.grad is None:
                self._unused.add(place)
                inside[place].zero_()
            else:
                inside[place].copy_(parameter.grad)

    def _results(self, run: range) -> list[Tensor]:
        """The parts of the sum and of the norms that the tensors of a run have."""
        return [
            self._sum[self._layout.span(run)],
            self._norms[run.start : min(run.stop, len(self._parameters))],
        ]

    def _reduce(self, run: range) -> None:
        """Join the micro-batches' gradients and buffers of a run of tensors."""
        span, parameters = self._layout.span(run), len(self._parameters)
        tree_sum([slot[span] for slot in self._slots], self._sum[span])
        for place in run:
            if place < parameters:
                flat = self._sum[self._layout.span(range(place, place + 1))]
                self._norms[place] = torch.linalg.vector_norm(flat)
            else:
                self._sum_views[place].div_(self.count)

    def _end(self) -> None:
        """Set the buffers to the mean of what the micro-batches left."""
        means = self._sum_views[len(self._parameters) :]
        for buffer, mean in zip(self._averaged, means, strict=True):
            buffer.copy_(mean)
