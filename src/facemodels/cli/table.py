"""Prints tables: drawn on a terminal, tab-separated into a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headers.

    Into a pipe, each row is one line with tabs between its cells. `cut` and `awk` can read
    it, and thousands of rows take no time.

    Args:
        headers: one a column.
        rows: as many cells each as there are headers; None is an empty cell.
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

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for number, header in enumerate(headers):
        # The first names the row: cut off on a narrow terminal, all rows would read the same.
        width = _longest(rows) if number == 0 else None
        drawn.add_column(header, no_wrap=number == 0, min_width=width)
    for row in rows:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    Console().print(drawn)


def _longest(rows: Sequence[Sequence[object]]) -> int:
    return max((len(_cell(row[0])) for row in rows if row), default=0)


def _cell(value: object) -> str:
    """The value on one line, without control characters: other people may have written it."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
