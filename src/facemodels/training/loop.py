"""The training loop: the same bytes whether it ran through or was killed and resumed.

Nothing random outlives a step: batches are functions of the step, and torch's generator
is reseeded before each micro-batch. A checkpoint is then weights, optimizer and history, and
the data loader has no state at all.

A step may be shared out among processes (`micro_batches`, `workers`). Each of them makes every
step of the optimizer on its own copy of the weights, so that no weights are sent; their number is
no part of the result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from facemodels.determinism import settled
from facemodels.files import atomic_path
from facemodels.training.devices import device_of_process, require_possible, to_device
from facemodels.training.fine_tuning import attach, fine_tuning
from facemodels.training.finite import StepGuard
from facemodels.training.flat import shared
from facemodels.training.heap import keep_freed_memory
from facemodels.training.micro_batches import MicroBatches
from facemodels.training.portable_functions import PortableFunctions
from facemodels.training.process_group import ProcessGroupTeam, is_launched
from facemodels.training.settings import TorchTraining
from facemodels.training.weights import save_state
from facemodels.training.workers import Team, team

_PREFETCH = 3  # batches prepared ahead; more only costs memory
State = dict[str, Tensor]
Record = dict[str, float]


class Task(Protocol):
    """What an architecture gives the loop: batches, a loss and a validation.

    A task may have an attribute `head`: a module that the loss needs and the model does not,
    for example a weight for each person. The loop moves it to the device, trains it with the
    network and keeps it in checkpoints; the final weights are those of the network alone.
    """

    monitor: str  # the validation metric that early stopping watches; higher is better

    def batch(self, step: int) -> tuple[Tensor, Any]:
        """Return inputs (N, ...) and answers of a step, on the CPU: a function of (seed, step).

        It is called in a thread of its own and should compute with NumPy, since torch's
        operators start further OpenMP threads there.
        """

    def outputs(self, network: nn.Module, inputs: Tensor) -> Tensor:
        """Return the network's outputs (n, ...) of some rows of the inputs."""

    def loss(self, network: nn.Module, outputs: Tensor, answers: Any) -> Tensor:
        """Return the scalar loss of all outputs (N, ...) of a batch, on the network's device.

        It learns through the outputs and the head alone: of the network it may read what does
        not change, such as its strides.
        """

    def validate(self, network: nn.Module) -> Record:
        """Return the metrics on the validation split, of a network in eval mode."""


@dataclass
class Fit:
    """The state of a training, which a checkpoint holds too.

    Attributes:
        step: steps done.
        history: one record a validation: step, loss (mean since the last), learning_rate
            and the task's metrics. Imported weights have one, without loss and rate.
        best: weights of the best validation so far, kept only for early stopping.
    """

    step: int = 0
    history: list[Record] = field(default_factory=list)
    best_value: float = float("-inf")
    best_age: int = 0
    best: State = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)


@contextmanager
def deterministic(threads: int, seed: int) -> Iterator[None]:
    """Make torch repeat itself bit for bit: one thread count, one seed, exact kernels.

    In a process that computes portably, another processor repeats it too.

    The previous settings come back at the end, so one process may train twice.
    """
    before = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    # A debugging aid that costs time: no code of ours reads memory before writing it.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # cuBLAS repeats itself only with a fixed workspace; read when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.manual_seed(seed)
    try:
        with PortableFunctions() if settled() == "portable" else nullcontext():
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


class Trainer:
    """Trains a network for `settings.steps` steps of a task.

    Args:
        network: it is changed.
        task: see `Task`.
        settings: the hyperparameters.
        workers: processes that share the work, no part of the result; more than there are
            micro-batches have nothing to do and are not started.
    """

    def __init__(
        self, network: nn.Module, task: Task, settings: TorchTraining, *, workers: int = 1
    ) -> None:
        require_possible(settings)
        self.settings = settings
        # A CUDA device is one, and a process that has used it cannot be forked.
        self.workers = min(workers, settings.micro_batches) if settings.device == "cpu" else 1
        self.task = task
        self.device = device_of_process(settings.device)
        self.network = network.to(self.device)
        self.head: nn.Module = getattr(task, "head", nn.Identity()).to(self.device)
        self.trained = nn.ModuleList([self.network, self.head])
        tuning = fine_tuning(
            self.network,
            self.head,
            frozen=settings.frozen,
            factors=settings.learning_rate_factors,
            weight_decay=settings.weight_decay,
        )
        self.still = tuning.still
        self.optimizer = torch.optim.AdamW(tuning.groups, lr=settings.learning_rate, fused=True)
        attach(self.head, self.optimizer)
        self.average: AveragedModel | None = None
        if settings.ema_decay > 0:
            average = get_ema_multi_avg_fn(settings.ema_decay)  # type: ignore[no-untyped-call]
            self.average = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self.fit = Fit()

    def run(
        self,
        checkpoint: Path,
        *,
        advance: Callable[[int], None],
        log: Callable[[Record], None],
    ) -> State:
        """Train to the end, from `checkpoint` if it exists, and return the final weights.

        Args:
            checkpoint: file that is rewritten every `checkpoint_every` steps.
            advance: told the number of steps done, those of a resumed run included.
            log: told every validation record, those of a resumed run included.

        Returns:
            State dict on the CPU: the averaged weights if `ema_decay` is set, and the best
            validated ones if `patience` is.

        Raises:
            DivergedError: a loss, gradient, weight or metric is not finite; the checkpoint stays
                as it was when all were.
        """
        keep_freed_memory()
        self.guard = StepGuard(self.settings.learning_rate, checkpoint)
        if checkpoint.exists():
            self._restore(checkpoint)
        for record in self.fit.history:
            log(record)
        advance(self.fit.step)
        if self.settings.steps == 0:
            self._validate()
            log(self.fit.history[-1])
        if self.fit.step < self.settings.steps and not self._exhausted():
            gradients = self._micro_batches()
            with self._team() as members:
                self._steps(gradients, members, checkpoint, advance, log)
        self.guard.weights(self.fit.step, [self.current.state_dict()])
        return self.fit.best or _cpu_state(self.current)

    def _steps(
        self,
        gradients: MicroBatches,
        members: Team,
        checkpoint: Path,
        advance: Callable[[int], None],
        log: Callable[[Record], None],
    ) -> None:
        """Make the steps that are left; only the process that leads validates and saves."""
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as loader:
            for inputs, answers in self._batches(loader):
                self._step(gradients, members, inputs, answers)
                done = self.fit.step
                if members.leads:
                    advance(1)
                if done % self.settings.validate_every == 0 or done == self.settings.steps:
                    if members.leads:
                        self._validate()
                        log(self.fit.history[-1])
                    if members.agreed(self._exhausted()):
                        break
                if members.leads and done % self.settings.checkpoint_every == 0:
                    self._save(checkpoint)

    @property
    def current(self) -> nn.Module:
        """The network that would be kept now: the average, where there is one."""
        return self.average.module if self.average is not None else self.network

    def _batches(self, loader: ThreadPoolExecutor) -> Iterator[Any]:
        steps = range(self.fit.step, self.settings.steps)
        waiting: list[Future[Any]] = []
        for step in steps:
            while len(waiting) < _PREFETCH and step + len(waiting) < self.settings.steps:
                waiting.append(loader.submit(self.task.batch, step + len(waiting)))
            yield to_device(waiting.pop(0).result(), self.device)

    def _team(self) -> AbstractContextManager[Team]:
        if is_launched():
            return nullcontext(ProcessGroupTeam(self.settings.micro_batches))
        return team(self.workers)

    def _micro_batches(self) -> MicroBatches:
        """What computes the gradients, with memory for as many processes as there will be."""
        inputs, _ = self.task.batch(self.fit.step)
        self._train_mode()
        return MicroBatches(
            self.network,
            inputs.to(self.device),
            count=self.settings.micro_batches,
            outputs=self._outputs,
            seed=self.settings.seed,
            allocate=shared if self.workers > 1 else partial(torch.zeros, device=self.device),
        )

    def _outputs(self, inputs: Tensor) -> Tensor:
        with self._precision():
            return self.task.outputs(self.network, inputs).float()

    def _precision(self) -> torch.autocast:
        return torch.autocast(
            self.device.type,
            torch.bfloat16,
            enabled=self.settings.mixed_precision,
            cache_enabled=False,
        )

    def _train_mode(self) -> None:
        self.trained.train()
        for module in self.still:
            module.eval()

    def _step(self, gradients: MicroBatches, members: Team, inputs: Tensor, answers: Any) -> None:
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate_at(self.fit.step) * group["factor"]
        self._train_mode()
        self.optimizer.zero_grad(set_to_none=True)

        def loss_of(outputs: Tensor) -> Tensor:
            with self._precision():
                value: Tensor = self.task.loss(self.network, outputs, answers)
            return value

        loss, norms = gradients(members, self.fit.step, inputs, loss_of)
        norm = self._clip(gradients, norms)
        if members.leads:  # the others would only say the same
            self.fit.losses.append(self.guard.step(self.fit.step, loss, norm))
        self.optimizer.step()
        if self.average is not None and members.leads:
            self.average.update_parameters(self.network)
        self.fit.step += 1

    def _clip(self, gradients: MicroBatches, norms: Tensor) -> Tensor:
        """Bring the norm of all gradients to `clip_norm` at most; return what it was."""
        own = [p.grad for p in self.head.parameters() if p.grad is not None]
        of_head = [torch.linalg.vector_norm(gradient) for gradient in own]
        norm: Tensor = torch.linalg.vector_norm(torch.stack([*norms.unbind(), *of_head]))
        coefficient = (self.settings.clip_norm / (norm + 1e-6)).clamp(max=1.0)
        gradients.clip(coefficient)
        for gradient in own:
            gradient.mul_(coefficient)
        return norm

    def _validate(self) -> None:
        fit, network = self.fit, self.current
        network.eval()
        with torch.inference_mode():
            metrics = self.task.validate(network)
        self.guard.metrics(fit.step, metrics)
        record: Record = {"step": fit.step, **metrics}
        if fit.losses:  # none, where weights are imported and not trained
            record["loss"] = sum(fit.losses) / len(fit.losses)
            record["learning_rate"] = self.settings.learning_rate_at(fit.step - 1)
        fit.losses = []
        fit.history.append(record)
        if self.settings.patience == 0:
            return
        if metrics[self.task.monitor] > fit.best_value:
            fit.best_value, fit.best_age = metrics[self.task.monitor], 0
            fit.best = _cpu_state(network)
        else:
            fit.best_age += 1

    def _exhausted(self) -> bool:
        return 0 < self.settings.patience <= self.fit.best_age

    def _save(self, path: Path) -> None:
        kept = [self.trained, *([self.average] if self.average is not None else [])]
        self.guard.weights(self.fit.step, [module.state_dict() for module in kept])
        state = {
            "network": self.network.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average.state_dict() if self.average is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "fit": vars(self.fit),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            torch.save(state, stream)

    def _restore(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.head.load_state_dict(state["head"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.fit = Fit(**state["fit"])


def _cpu_state(network: nn.Module) -> State:
    return {k: v.detach().to("cpu", copy=True) for k, v in network.state_dict().items()}


def train_to_file(
    settings: TorchTraining,
    *,
    build: Callable[[], nn.Module],
    task: Callable[[], Task],
    checkpoint: Path,
    weights: Path,
    advance: Callable[[int], None],
    log: Callable[[Record], None],
    workers: int = 1,
) -> None:
    """Train and write the final weights to the file `weights`.

    The network is built here, so that its random weights come from the training's seed.

    Args:
        settings: the hyperparameters of the loop.
        build: makes the network.
        task: makes the batches, the loss and the validation.
        checkpoint: see `Trainer.run`.
        weights: the file that gets the final state dict.
        advance: see `Trainer.run`.
        log: see `Trainer.run`.
        workers: see `Trainer`.
    """
    with deterministic(settings.threads, settings.seed):
        trainer = Trainer(build(), task(), settings, workers=workers)
        state = trainer.run(checkpoint, advance=advance, log=log)
    save_state(state, weights)
