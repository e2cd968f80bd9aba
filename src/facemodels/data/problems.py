"""What a reader could not use: listed and counted against a limit.

Real datasets hold a few broken files. A few must not stop a build, and many must.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from facemodels.errors import DataError

_SHOWN = 8  # kinds of problems that a message lists
_VALUES = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d[\d.x]*(e[-+]?\d+)?|\S+\.\w{2,4}\b")


class BadAnnotationError(DataError):
    """One annotation cannot be used. Readers catch it and list a `Problem` instead."""


@dataclass(frozen=True, order=True)
class Problem:
    """A file, or a part of one, that was left out.

    Attributes:
        path: path relative to the dataset's root, with `/`, so that a report does not depend
            on where the dataset lies.
        reason: what is wrong with it.
    """

    path: str
    reason: str

    @classmethod
    def at(cls, path: Path, root: Path, reason: str) -> Self:
        """A problem of the file `path` in the dataset at `root`."""
        return cls(relative(path, root), reason)


def relative(path: Path, root: Path) -> str:
    """`path` relative to `root`, with `/`; bytes of a name that are not UTF-8 are escaped."""
    text = Path(os.path.relpath(path, root)).as_posix()
    return text.encode(errors="backslashreplace").decode()


def kinds(problems: Iterable[Problem]) -> dict[str, list[Problem]]:
    """Problems by kind: by their reason without its numbers and names; the most frequent first."""
    found: dict[str, list[Problem]] = {}
    for problem in sorted(problems):
        found.setdefault(_VALUES.sub("…", problem.reason), []).append(problem)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


def summary(problems: Iterable[Problem]) -> list[str]:
    """A line for each kind of problem, with how often there is one and an example."""
    lines = []
    for kind, found in kinds(problems).items():
        first = found[0]
        one = f"{first.path}: {first.reason}"
        lines.append(one if len(found) == 1 else f"{len(found)} times {kind}, such as {one}")
    more = [f"and {len(lines) - _SHOWN} more kinds"] if len(lines) > _SHOWN else []
    return lines[:_SHOWN] + more


def check_share(problems: Sequence[Problem], total: int, allowed_share: float, what: str) -> None:
    """Stop when too much of a dataset is unusable.

    Args:
        problems: what was left out.
        total: number of items, those that were left out included.
        allowed_share: largest share that may be left out, 0 to 1.
        what: name of the dataset for the message.

    Raises:
        DataError: `problems` are more than `allowed_share` of `total`, or `total` is 0.
    """
    if total <= 0:
        raise DataError(f"{what} holds nothing to read.", "Check the path and the layout.")
    if len(problems) <= allowed_share * total:
        return
    raise DataError(
        f"{what}: {len(problems)} of {total} cannot be used, over the allowed share of "
        f"{allowed_share:g} ({'; '.join(summary(problems))}).",
        "Repair or remove these files, or allow a larger share.",
    )
