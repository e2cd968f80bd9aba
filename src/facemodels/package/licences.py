"""The licence of what is made of several parts: that of the part that allows the least."""

from __future__ import annotations

from collections.abc import Iterable

# From the one that asks for nothing to those that allow the least. Later ones ask for all that
# the ones before them ask for, or for more. What is not here is taken to allow the least.
_ORDER = ("CC0-1.0", "MIT", "BSD-3-Clause", "Apache-2.0", "GPL-3.0", "AGPL-3.0")


def strictest(licences: Iterable[str]) -> str:
    """The licence (SPDX) that allows the least; of two unknown ones the last by name.

    Args:
        licences: one or more.
    """

    def rank(licence: str) -> tuple[int, str]:
        known = licence in _ORDER
        return (_ORDER.index(licence), "") if known else (len(_ORDER), licence)

    return max(licences, key=rank)
