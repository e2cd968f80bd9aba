"""The observation in a terminal, for `rich.live`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from facemodels.monitoring.report import figures
from facemodels.monitoring.report.observation import Observation

if TYPE_CHECKING:
    from rich.table import Table

_STYLES = {"promote": "bold green", "roll back": "bold red", "hold": "bold yellow"}


def table(observation: Observation) -> Table:
    """The figures, a column a version; the verdict below. Words of others steer nothing."""
    from rich.table import Table
    from rich.text import Text

    answer, reasons = figures.verdict(observation)
    caption = Text(f"verdict: {answer}", style=_STYLES.get(answer, "bold"))
    lines = [*reasons, *figures.notes(observation)]
    if observation.agreement is not None:
        lines.append(figures.agreement_text(observation.agreement))
    for line in lines:
        caption.append(f"\n{line}", style="default not bold")
    title = Text(", ".join(f"{value}" for _, value in figures.facts(observation)[1:5]))
    made = Table(title=title, caption=caption, caption_justify="left", title_justify="left")
    made.add_column("")
    for head in figures.heads(observation):
        made.add_column(Text(head), justify="right")
    for label, cells in figures.rows(observation):
        made.add_row(Text(label), *map(Text, cells))
    for label, cells in _arms(observation):
        made.add_row(Text(label), *map(Text, cells))
    return made


def _arms(observation: Observation) -> list[figures.Row]:
    """Success and latency with their intervals, a row each, under the versions' columns."""
    rows = figures.arms_rows(observation)
    if len(rows) != len(observation.versions) + 1:
        return []
    heads = figures.arms_heads(observation)
    *versions, (_, differences) = rows
    return [
        (f"{heads[at]}; difference {differences[at]}", [cells[at] for _, cells in versions])
        for at in (1, 2)
    ]
