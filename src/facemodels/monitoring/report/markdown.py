"""The observation as Markdown: for a pull request, a log, an issue."""

from __future__ import annotations

import re

from facemodels.monitoring.report import figures
from facemodels.monitoring.report.observation import Observation
from facemodels.text import markdown as as_table

_PUNCTUATION = re.compile(r"([\\`*_{}\[\]<>#|~&$])")


def markdown(observation: Observation) -> str:
    """A report; what people wrote into tags cannot become markup."""
    answer, reasons = figures.verdict(observation)
    lines = [
        f"# {_text(observation.model_id)} in {_text(observation.environment)}",
        f"**Verdict: {_text(answer)}**",
        _list(reasons),
        as_table([{"": _text(a), "value": _text(b)} for a, b in figures.facts(observation)]),
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
    return as_table(
        [
            {"": _text(label), **dict(zip(map(_text, heads), map(_text, cells), strict=True))}
            for label, cells in rows
        ]
    )


def _list(texts: list[str]) -> str:
    return "\n".join(f"- {_text(text)}" for text in texts)


def _text(text: str) -> str:
    return _PUNCTUATION.sub(r"\\\1", text)
