"""Prints tables: drawn on a terminal, tab-separated into a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[object]], *, spare: Sequence[str] = ()
) -> None:
    """Print rows under headers.

    Into a pipe, each row is one line with tabs between its cells. `cut` and `awk` can read
    it, and thousands of rows take no time.

    Args:
        headers: one a column.
        rows: as many cells each as there are headers; None is an empty cell.
        spare: headers of columns that a narrow terminal leaves out, in this order, before it
            breaks words. A pipe gets all columns.
    """
    rows = list(rows)
    if not sys.stdout.isatty():
        lines = ["\t".join(_cell(value) for value in row) for row in (headers, *rows)]
        click.echo("\n".join(lines))
        return
    # The import of rich takes 0.1 s.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    headers, rows = _fit(headers, [[_cell(value) for value in row] for row in rows], spare,
                         console.width)  # fmt: skip
    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for number, header in enumerate(headers):
        # The first names the row: cut off on a narrow terminal, all rows would read the same.
        width = _longest(rows) if number == 0 else None
        drawn.add_column(header, no_wrap=number == 0, min_width=width, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(value)) for value in row))
    console.print(drawn)


def _fit(
    headers: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str], width: int
) -> tuple[list[str], list[list[str]]]:
    """Leave out columns until no word of the others needs to be broken."""
    kept = list(range(len(headers)))
    for header in spare:
        columns = ([headers[at], *(row[at] for row in rows)] for at in kept)
        # Text wraps between its words, and two spaces stand between columns.
        needed = sum(max(map(_longest_word, cells)) + 2 for cells in columns) - 2
        if needed <= width:
            break
        kept.remove(headers.index(header))
    return [headers[at] for at in kept], [[row[at] for at in kept] for row in rows]


def _longest_word(text: str) -> int:
    return max(map(len, text.split()), default=0)


def _longest(rows: Sequence[Sequence[object]]) -> int:
    return max((len(_cell(row[0])) for row in rows if row), default=0)


def _cell(value: object) -> str:
    """The value on one line, without control characters: other people may have written it."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
