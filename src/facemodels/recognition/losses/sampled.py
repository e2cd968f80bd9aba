"""A loss over a sample of the people, for more of them than memory holds logits for.

Source: An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face
Recognition CNNs by Partial FC", CVPR 2022. In each step the people of the batch and so many others,
drawn at random, stand for all C: the loss sees S = rate * C of them, and they alone learn.

Bytes, with embeddings of D numbers and a batch of N rows: 12 C D for the weights and the two
moments of everybody, 16 S D for those of the sample with their gradient, and some 4 N S for each
matrix of cosines or logits that the loss keeps for the way back (ArcFace: at most three). Without a
sample it is 16 C D and as many matrices of 4 N C.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from facemodels.recognition.losses.class_weights import SPREAD


class SampledClasses(nn.Module):
    """The head of a loss over S classes, which stand for other ones of C in every step.

    The weights and moments of all are buffers, from which those of the sample are copied before a
    step and to which they go back before the next one. So the optimizer touches the sample alone:
    it neither decays nor moves the others. The sample is drawn from torch's generator, which the
    loop seeds by (seed, step); one checkpoint holds both halves.

    Attributes:
        own: the head over the sample. Its only parameter are the class weights (D, S).
        weights: float32 (C, D).
        moments: float32 (2, C, D), those of AdamW.
        sample: int64 (S,), the classes of the last step, ascending.
    """

    weights: Tensor
    moments: Tensor
    sample: Tensor

    def __init__(
        self, make: Callable[[int], nn.Module], *, classes: int, size: int, embedding_size: int
    ) -> None:
        """Make the head and random class weights from torch's generator.

        Args:
            make: makes the head over so many classes.
            classes: C.
            size: S, 1..C.
            embedding_size: D.
        """
        super().__init__()
        self.own = make(size)
        self._optimizer: Optimizer | None = None
        self.register_buffer("weights", torch.randn(classes, embedding_size) * SPREAD)
        self.register_buffer("moments", torch.zeros(2, classes, embedding_size))
        self.register_buffer("sample", torch.arange(size))
        with torch.no_grad():
            self._active.copy_(self.weights[self.sample].T)

    @property
    def _active(self) -> nn.Parameter:
        (parameter,) = self.own.parameters()
        return parameter

    def attach(self, optimizer: Optimizer) -> None:
        """Take the optimizer of the class weights, whose moments change places with them."""
        self._optimizer = optimizer

    def forward(self, features: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of features (N, D) of people (N,) among a new sample.

        The people of the batch are at most S.
        """
        self._exchange(self._draw(classes).to(classes.device))
        value: Tensor = self.own(features, torch.searchsorted(self.sample, classes))
        return value

    def _draw(self, classes: Tensor) -> Tensor:
        """The classes of the batch and others, (S,), ascending."""
        chosen = torch.zeros(len(self.weights), dtype=torch.bool)
        chosen[classes.cpu()] = True
        others = torch.nonzero(~chosen).squeeze(1)
        left = len(self.sample) - int(chosen.sum())
        chosen[others[torch.randperm(len(others))[:left]]] = True
        return torch.nonzero(chosen).squeeze(1)

    @torch.no_grad()
    def _exchange(self, sample: Tensor) -> None:
        """Put the last sample back among all, and take the next one from there."""
        state = self._optimizer.state.get(self._active) if self._optimizer else None
        pairs = [(self.weights, self._active)]
        if state:  # empty before the first step of all
            pairs += zip(self.moments, (state["exp_avg"], state["exp_avg_sq"]), strict=True)
        for of_all, of_sample in pairs:
            of_all[self.sample] = of_sample.T
            of_sample.copy_(of_all[sample].T)
        self.sample.copy_(sample)
