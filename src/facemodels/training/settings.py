"""The `train` parameters that all trainings share; architectures add their own fields."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from facemodels.params import Frozen, WeightsDownload
from facemodels.training.initial_weights import Init

Positive = Annotated[float, Field(gt=0)]
Whole = Annotated[int, Field(ge=0)]


class TrainingSettings(Frozen):
    """The hyperparameters that every training has."""

    seed: int
    threads: Annotated[int, Field(ge=1)]  # part of the result: 1 and 2 threads differ in bits
    # scratch, pretrained (the architecture's pinned weights), or {file: …, sha256: …}
    init: Init = "scratch"
    # The download that `pretrained` stands for; the model's own key, which is put here.
    pretrained: WeightsDownload | None = None


class TorchTraining(TrainingSettings):
    """The hyperparameters of the loop. Budgets are steps, never seconds."""

    device: Literal["cpu", "cuda"]
    mixed_precision: bool  # bfloat16 autocast; worthwhile on CUDA
    # Parts of a batch that go through the network each for itself, equal in size; part of the
    # result. As many processes can share the work.
    micro_batches: Annotated[int, Field(ge=1)] = 1
    steps: Whole  # 0: the weights of `init` are imported as they are
    learning_rate: Positive
    warmup_steps: Whole
    final_learning_rate: Annotated[float, Field(ge=0, le=1)]  # share of learning_rate at the end
    weight_decay: Annotated[float, Field(ge=0)]
    clip_norm: Positive
    ema_decay: Annotated[float, Field(ge=0, lt=1)]  # 0: the last weights, no average
    validate_every: Annotated[int, Field(ge=1)]  # steps
    checkpoint_every: Annotated[int, Field(ge=1)]  # steps
    patience: Whole  # validations without a better one before stopping; 0: never stop early
    # Fine-tuning: patterns of parameter names, see `fine_tuning`.
    frozen: tuple[str, ...] = ()  # stay as they are
    # Of learning_rate; 1 for all others.
    learning_rate_factors: dict[str, Positive] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _something_to_keep(self) -> Self:
        if self.steps == 0 and self.init == "scratch":
            raise ValueError("0 steps from scratch leave random weights; set init")
        return self

    def require_equal_parts(self, batch: int) -> None:
        """Check that a batch of so many inputs can be cut into the micro-batches.

        Raises:
            ValueError: it cannot.
        """
        if batch % self.micro_batches:
            raise ValueError(
                f"micro_batches is {self.micro_batches}, which does not divide a batch of {batch}"
            )

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step, counted from 0.

        It warms up linearly and then falls along half a cosine (Loshchilov and Hutter,
        SGDR, 2017). It depends on the step alone, so that a resumed run needs no scheduler
        state.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        span = max(1, self.steps - self.warmup_steps)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, (step - self.warmup_steps) / span)))
        return self.learning_rate * (
            self.final_learning_rate + (1 - self.final_learning_rate) * cosine
        )
