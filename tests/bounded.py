"""The bounded form of a campaign, for `make test`; `make test-full` runs all of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def bounded(cases: Iterable[Any], always: Collection[Any]) -> list[Any]:
    """Parameters of a test: the cases of `always`, and the others in `make test-full` alone."""
    return [
        case if case in always else pytest.param(case, marks=pytest.mark.full) for case in cases
    ]
