"""Values and tables as people read them: in a terminal, a log or a pull request. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_WIDEST = 60  # characters of a value


def one_line(text: str) -> str:
    """Words of others without line ends and control characters, which would steer a terminal."""
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def short(value: Any) -> str:
    """A value as YAML writes it, cut to 60 characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = one_line(str(value)) if value != "" else "''"
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def cut(text: str, width: int) -> str:
    """The first characters of a line, with `…` where there were more."""
    line = one_line(text)
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def joined(*parts: str) -> str:
    """What is not empty, two spaces apart."""
    return "  ".join(part for part in parts if part)


def size_text(size: int | None) -> str:
    """A size in bytes as `94.1 MB` or `490 B`; "" where it is not recorded."""
    if size is None:
        return ""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def counted(number: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """One line a mapping, columns in the order of the first; floats to four digits."""
    import pandas as pd

    table = [{key: _cell(value) for key, value in row.items()} for row in rows]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
