"""Square root, arc tangent and arc cosine of torch with the same bits on every processor.

torch gives these three to MKL's vector library, whose results start from the processor's own
approximation of a reciprocal; no setting changes that (docs/determinism.md). Here they are made
of what was seen to agree everywhere: NumPy's square root, which is exact, and torch's atan2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.overrides import TorchFunctionMode


class _Sqrt(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        root = _exact_root(x)
        ctx.save_for_backward(root)
        return root

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (root,) = ctx.saved_tensors
        slope: Tensor = gradients[0] / (2 * root)
        return slope


class _Acos(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 2 * torch.atan2(_exact_root(1 - x), _exact_root(1 + x))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        slope: Tensor = -gradients[0] * (1 - x * x).rsqrt()
        return slope


def _exact_root(x: Tensor) -> Tensor:
    with np.errstate(invalid="ignore"):  # a NaN is the answer that torch gives as well
        return torch.from_numpy(np.asarray(np.sqrt(x.detach().numpy())))


def _atan(x: Tensor) -> Tensor:
    return torch.atan2(x, torch.ones_like(x))


_POWERS = {torch.pow, Tensor.pow, Tensor.__pow__}  # of one half, which torch takes as a root
_REPLACED: Mapping[Any, Callable[[Tensor], Tensor]] = {
    torch.sqrt: _Sqrt.apply,
    Tensor.sqrt: _Sqrt.apply,
    torch.atan: _atan,
    Tensor.atan: _atan,
    torch.arctan: _atan,
    Tensor.arctan: _atan,
    torch.acos: _Acos.apply,
    Tensor.acos: _Acos.apply,
    torch.arccos: _Acos.apply,
    Tensor.arccos: _Acos.apply,
}


class PortableFunctions(TorchFunctionMode):
    """Within it, the three functions are replaced for float32 and float64 on the CPU.

    A power of one half is a square root too.

    Only calls from Python are: an operation of torch that takes such a root inside, as `cdist`
    does, keeps the bits of the processor.
    """

    def __torch_function__(
        self,
        function: Any,
        types: Any,
        arguments: Sequence[Any] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch, or what replaces it."""
        portable = _REPLACED.get(function)
        if function in _POWERS and len(arguments) == 2 and _is_half(arguments[1]):
            portable = _Sqrt.apply
        if portable is not None and not keywords and _is_computed_by_mkl(arguments[0]):
            return portable(arguments[0])
        return function(*arguments, **(keywords or {}))


def _is_half(exponent: Any) -> bool:
    return isinstance(exponent, float) and exponent == 0.5


def _is_computed_by_mkl(x: Any) -> bool:
    return (
        isinstance(x, Tensor)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
    )
