"""Sums whose bits depend on the order of their terms alone, and not on who computed them.

Adding floats is not associative, so a sum in the order in which processes finish has other bits
every time. Here the terms of neighbouring indices are joined first, then those pairs, and so on:
a binary tree that the number of terms fixes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def tree_sum(terms: Sequence[Tensor], out: Tensor) -> None:
    """Add up tensors of one shape by the tree over their indices.

    The left part of `n` terms is the largest power of two below `n`: of three terms a, b, c the
    sum is (a + b) + c, of four (a + b) + (c + d).

    Args:
        terms: the terms, at least one; they are not changed.
        out: gets the sum; it is none of the terms.
    """
    if len(terms) == 1:
        out.copy_(terms[0])
    elif len(terms) == 2:
        torch.add(terms[0], terms[1], out=out)
    else:
        half = 1 << ((len(terms) - 1).bit_length() - 1)
        tree_sum(terms[:half], out)
        right = torch.empty_like(out)
        tree_sum(terms[half:], right)
        out += right
