"""Tables: drawn for people, tab-separated lines where the output goes to a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

import click


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headers.

    Into a pipe go plain lines, one a row, with tabs between: `cut` and `awk` read them, and
    they cost no time on thousands of rows.
    """
    if not sys.stdout.isatty():
        lines = ["\t".join(_cell(value) for value in row) for row in (headers, *rows)]
        click.echo("\n".join(lines))
        return
    # rich takes 0.1 s to import
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*headers, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    Console().print(drawn)


def _cell(value: object) -> str:
    """One line, without control characters: names and reasons come from other people."""
    text = "" if value is None else str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
