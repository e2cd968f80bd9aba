"""What the examination of a remote finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["problem", "unknown"]


@dataclass(frozen=True)
class RemoteFinding:
    """Something that is wrong with a remote, or that could not be examined.

    Attributes:
        kind: a word for programs, for example `versioning-off`.
        where: the name of the remote, or the file.
        level: `problem`; or `unknown` where the rights or the store do not give an answer.
        text: what is wrong and why it matters.
        remedy: what to do.
    """

    kind: str
    where: str
    level: Level
    text: str
    remedy: str
