"""Tables as Markdown: readable in a terminal, a log and a pull request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """One line a mapping, columns in the order of the first; floats to four digits."""
    import pandas as pd

    table = [{key: _text(value) for key, value in row.items()} for row in rows]
    return str(pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)) + "\n"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
