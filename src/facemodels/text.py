"""Formats values, sizes and tables for people: in a terminal, a log or a pull request. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_WIDEST = 60  # characters of a value


def one_line(text: str) -> str:
    """Put a text on one line, without control characters.

    Text from outside could move the cursor of a terminal or change its colours.
    """
    line = " ".join(text.split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def short(value: Any) -> str:
    """Format a value as YAML writes it, cut to 60 characters."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = one_line(str(value)) if value != "" else "''"
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "…"


def cut(text: str, width: int) -> str:
    """Cut a text to `width` characters on one line, with `…` at the end if it was longer."""
    line = one_line(text)
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def joined(*parts: str) -> str:
    """Join the parts that are not empty, with two spaces between them."""
    return "  ".join(part for part in parts if part)


def size_text(size: int | None) -> str:
    """Format a size in bytes as `94.1 MB` or `490 B`; None gives "".

    `rich.filesize` writes `490 bytes` and does not scale negative sizes, which a difference can be.
    """
    if size is None:
        return ""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(size) >= scale:
            return f"{size / scale:.1f} {unit}"
    return f"{size} B"


def counted(number: int, word: str) -> str:
    """Format a number with a word: `1 file`, `2 files`."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Format rows as a Markdown table; floats have four significant digits.

    Args:
        rows: one mapping of column to value for each row; the first gives the order of the columns.
    """
    from tabulate import tabulate

    table = [{key: _cell(value) for key, value in row.items()} for row in rows]
    text = tabulate(table, headers="keys", tablefmt="pipe", disable_numparse=True)
    return f"{text}\n"


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
