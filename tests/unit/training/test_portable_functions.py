"""The three functions that MKL rounds by the processor, made of others."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import Tensor

from facemodels.training.portable_functions import PortableFunctions

X = (torch.arange(1, 4097) / 4097).float()
FUNCTIONS = ("sqrt", "atan", "acos")
# SHA-256 of the values and of the gradients at X, seen with AVX-512 and with AVX2 alone.
DIGESTS = {
    "sqrt": "12011a8d5fa09fef",
    "atan": "0be71a4a2003974a",
    "acos": "e72b00e3378c6993",
}


def values_and_gradients(name: str) -> tuple[Tensor, Tensor]:
    x = X.clone().requires_grad_()
    y = getattr(torch, name)(x)
    y.sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_agree_with_those_of_torch_but_for_the_last_bits(name: str) -> None:
    expected = values_and_gradients(name)
    with PortableFunctions():
        found = values_and_gradients(name)
    torch.testing.assert_close(found, expected, rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_have_the_same_bits_on_every_machine(name: str) -> None:
    with PortableFunctions():
        found = values_and_gradients(name)
        method = getattr(X, name)()
    assert torch.equal(found[0], method)
    data = b"".join(one.numpy().tobytes() for one in found)
    assert hashlib.sha256(data).hexdigest()[:16] == DIGESTS[name]


def test_the_square_root_is_exact_and_of_a_negative_number_it_is_nan() -> None:
    squares = torch.arange(2048).float() ** 2
    with PortableFunctions():
        for root in (squares.sqrt(), squares.pow(0.5), squares**0.5, torch.pow(squares, 0.5)):
            assert torch.equal(root, torch.arange(2048).float())
        assert torch.isnan(torch.sqrt(torch.tensor([-1.0]))).all()
