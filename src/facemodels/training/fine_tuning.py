"""Which parameters a training changes, and how fast: patterns over their names.

A pattern is one of a shell (`fnmatch`), in which `*` also stands for dots: `repeat_1.*` names
everything below `repeat_1`. The parameters of a loss, such as class weights, are `loss.*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer

from facemodels.errors import InputError

LOSS = "loss"  # the prefix of the parameters of the loss
_LISTED = 40  # most lines of names in a message


@dataclass(frozen=True)
class FineTuning:
    """What the patterns of a training come to.

    Attributes:
        groups: for the optimizer: `params`, `weight_decay`, and `factor`, by which the
            learning rate is multiplied.
        still: the modules whose running statistics must not move: they stay in eval mode.
    """

    groups: list[dict[str, Any]]
    still: list[nn.Module]


@runtime_checkable
class KnowsOptimizer(Protocol):
    """A module of a loss that needs what the optimizer keeps for its parameters."""

    def attach(self, optimizer: Optimizer) -> None:
        """Take the optimizer, before the first step."""


def attach(loss: nn.Module, optimizer: Optimizer) -> None:
    """Give the optimizer to the modules of a loss that want it."""
    for module in loss.modules():
        if isinstance(module, KnowsOptimizer):
            module.attach(optimizer)


def fine_tuning(
    network: nn.Module,
    loss: nn.Module,
    *,
    frozen: Sequence[str],
    factors: Mapping[str, float],
    weight_decay: float,
) -> FineTuning:
    """Freeze what is to be frozen, and group the rest for the optimizer.

    Weights decay; biases and normalisation scales, which are vectors, do not. A batch norm whose
    own parameters are frozen keeps its running mean and variance too; one that has no parameters
    keeps them if `frozen` names them.

    Args:
        network: gets `requires_grad` of its parameters.
        loss: the module of the loss, which may have parameters.
        frozen: patterns of names whose values stay as they are.
        factors: the factor of the learning rate, by pattern; 1 where none matches.
        weight_decay: of the weights.

    Raises:
        InputError: a pattern names nothing that can be trained, two patterns give a parameter
            two factors, or nothing of the network is left to train.
    """
    parameters = dict(network.named_parameters())
    parameters |= {f"{LOSS}.{name}": value for name, value in loss.named_parameters()}
    buffers = [name for name, _ in network.named_buffers()]
    _freeze(network, parameters, buffers, frozen)
    trained = {name: value for name, value in parameters.items() if value.requires_grad}
    factor_of = _factors(trained, factors)
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, value in trained.items():
        groups.setdefault((factor_of.get(name, 1.0), value.ndim > 1), []).append(value)
    return FineTuning(
        groups=[
            {"params": groups[key], "weight_decay": weight_decay * key[1], "factor": key[0]}
            for key in sorted(groups, reverse=True)
        ],
        still=_still(network, frozen),
    )


def _freeze(
    network: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    buffers: Iterable[str],
    patterns: Sequence[str],
) -> None:
    for pattern in patterns:
        _require_match(pattern, [*parameters, *buffers], "train.frozen")
    for name, value in parameters.items():
        if _any_matches(patterns, name):
            value.requires_grad = False
    if patterns and not any(value.requires_grad for value in network.parameters()):
        raise InputError(
            "train.frozen names every parameter of the network: nothing is left to train.",
            "Leave a pattern out, or import the weights with train.steps=0.",
        )


def _factors(trained: Iterable[str], factors: Mapping[str, float]) -> dict[str, float]:
    """The factor of each parameter that a pattern names."""
    names, found, by = list(trained), dict[str, float](), dict[str, str]()
    for pattern, factor in factors.items():
        _require_match(pattern, names, "train.learning_rate_factors")
        for name in (one for one in names if fnmatchcase(one, pattern)):
            if found.get(name, factor) != factor:
                raise InputError(
                    f"train.learning_rate_factors: {by[name]!r} and {pattern!r} both name {name}, "
                    f"with the factors {found[name]} and {factor}.",
                    "Make one of them narrower.",
                )
            found[name], by[name] = factor, pattern
    return found


def _still(network: nn.Module, patterns: Sequence[str]) -> list[nn.Module]:
    """The modules with running statistics whose own tensors are frozen."""
    if not patterns:
        return []
    found = []
    for prefix, module in network.named_modules():
        own = list(module.parameters(recurse=False))
        held = [f"{prefix}.{name}".lstrip(".") for name, _ in module.named_buffers(recurse=False)]
        if not hasattr(module, "running_mean") or module.running_mean is None:
            continue
        frozen = [not value.requires_grad for value in own] or [
            _any_matches(patterns, name) for name in held
        ]
        if all(frozen):
            found.append(module)
    return found


def _any_matches(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _require_match(pattern: str, names: Sequence[str], key: str) -> None:
    if not any(fnmatchcase(name, pattern) for name in names):
        raise InputError(
            f"{key}: {pattern!r} names nothing that can be trained.",
            f"There are {', '.join(_summary(names))}.",
        )


def _summary(names: Sequence[str]) -> list[str]:
    """The names, shortened to patterns until they fit into a message."""
    depth = max(name.count(".") for name in names) + 1 if names else 1
    while True:
        shown = list(dict.fromkeys(_shortened(name, depth) for name in names))
        if len(shown) <= _LISTED or depth == 1:
            return shown
        depth -= 1


def _shortened(name: str, depth: int) -> str:
    parts = name.split(".")
    return name if len(parts) <= depth else ".".join([*parts[:depth], "*"])
