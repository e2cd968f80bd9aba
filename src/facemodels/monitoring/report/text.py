"""The observation as text: a table for the terminal, and Markdown for a file or a pull request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from facemodels.monitoring.report import figures
from facemodels.monitoring.report.observation import Observation
from facemodels.text import markdown as markdown_table

if TYPE_CHECKING:
    from rich.console import Group

_ONE_LINE: Any = {"no_wrap": True, "overflow": "ellipsis"}
_REASONS = 3  # in the terminal; the report has all
_STYLES = {"promote": "bold green", "roll back": "bold red", "hold": "bold yellow"}
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def table(observation: Observation) -> Group:
    """The verdict, and below it the figures as a table, a column a version, for `rich.live`.

    It fits a terminal of 80 columns and 24 lines: figures that no version has are left out, and
    of the rates on the probes only the accuracy is shown. Text that people wrote into tags is
    shown as it is; it cannot become markup of rich.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    answer, reasons = figures.verdict(observation)
    above = Text(f"verdict: {answer}", style=_STYLES.get(answer, "bold"), **_ONE_LINE)
    lines = [*reasons[:_REASONS], _facts(observation)]
    made = Table(box=SIMPLE_HEAD)
    made.add_column("")
    for head in figures.heads(observation):
        made.add_column(Text(head), justify="right")
    for label, cells in [*_live_rows(observation), *_arms_by_version(observation)]:
        made.add_row(Text(label), *map(Text, cells))
    below = figures.notes(observation)
    if observation.agreement is not None:
        below.append(figures.agreement_text(observation.agreement))
    return Group(above, *(Text(line, **_ONE_LINE) for line in lines), made, *map(Text, below))


def _facts(observation: Observation) -> str:
    return ", ".join(value for _, value in figures.facts(observation)[1:5])


def _live_rows(observation: Observation) -> list[figures.Row]:
    """The rows with a figure of at least one version."""
    return [
        (label, cells)
        for label, cells in figures.rows(observation)
        if label not in figures.DETAILS and set(cells) - figures.NOTHING
    ]


def _arms_by_version(observation: Observation) -> list[figures.Row]:
    """The success rate and the latency of both arms as rows under the versions' columns."""
    rows = figures.arms_rows(observation)
    if len(rows) != len(observation.versions) + 1:
        return []
    heads = figures.arms_heads(observation)
    *versions, (_, differences) = rows
    return [
        (f"{heads[at]}; difference {differences[at]}", [cells[at] for _, cells in versions])
        for at in range(1, len(heads))
    ]


def markdown(observation: Observation) -> str:
    """The report as Markdown. Text that people wrote into tags cannot become markup."""
    answer, reasons = figures.verdict(observation)
    facts = [{"": _escaped(a), "value": _escaped(b)} for a, b in figures.facts(observation)]
    lines = [
        f"# {_escaped(observation.model_id)} in {_escaped(observation.environment)}",
        f"**Verdict: {_escaped(answer)}**",
        _list(reasons),
        markdown_table(facts),
        "## Figures",
        _table(figures.heads(observation), figures.rows(observation)),
    ]
    if observation.arms is not None:
        rows = figures.arms_rows(observation)
        lines += ["## Arms", _table(figures.arms_heads(observation), rows)]
    if observation.agreement is not None:
        lines += ["## Shadow", figures.agreement_text(observation.agreement)]
    notes = figures.notes(observation)
    if notes:
        lines += ["## Notes", _list(notes)]
    return "\n\n".join(line.strip("\n") for line in lines if line) + "\n"


def _table(heads: list[str], rows: list[figures.Row]) -> str:
    return markdown_table(
        [
            {
                "": _escaped(label),
                **dict(zip(map(_escaped, heads), map(_escaped, cells), strict=True)),
            }
            for label, cells in rows
        ]
    )


def _list(texts: list[str]) -> str:
    return "\n".join(f"- {_escaped(text)}" for text in texts)


def _escaped(text: str) -> str:
    return _PUNCTUATION.sub(r"\\\1", text)
