"""The bounded form of a campaign, for `make test`; `make test-full` runs all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pytest


def bounded(cases: Iterable[Any], always: Collection[Any]) -> list[Any]:
    """Parameters of a test: the cases of `always`, and the others in `make test-full` alone."""
    return [
        case if case in always else pytest.param(case, marks=pytest.mark.full) for case in cases
    ]


# How far apart the points are at which a test interrupts: all of them in `make test-full`.
STRIDES = [pytest.param(4, id="some points"), pytest.param(1, id="any point", marks=pytest.mark.full)]  # fmt: skip


def points(count: int, stride: int, always: Sequence[int] = ()) -> list[int]:
    """Every so manieth of `count` points, the last one, and those that are always wanted."""
    return sorted({*range(0, count, stride), count - 1, *always})


def examples(count: int) -> int:
    """`max_examples` of a property: `count` in `make test-full`, a fifth in `make test`.

    Never fewer than the default of the run, which is 40 there: see conftest.py.
    """
    from hypothesis import settings

    default = settings.default
    assert default is not None
    few = default.max_examples < 100
    return max(default.max_examples, count // 5) if few else count
