"""The observation as one HTML file that opens offline and runs no script."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from facemodels.monitoring.report import figures
from facemodels.monitoring.report.observation import Observation
from facemodels.monitoring.report.plots import plots
from facemodels.text import one_line

if TYPE_CHECKING:
    from jinja2 import Template

_TEMPLATE = "report.html.j2"


def html(observation: Observation) -> str:
    """The report as one file with its plots.

    The template escapes every value, so text that people wrote into tags stays text. The same
    observation gives the same bytes.
    """
    answer, reasons = figures.verdict(observation)
    known = answer in ("promote", "hold", "roll back")
    agreement = observation.agreement
    return _template().render(
        title=one_line(f"{observation.model_id} in {observation.environment}"),
        verdict_class=answer.replace(" ", "-") if known else "none",
        answer=answer,
        reasons=reasons,
        facts=figures.facts(observation),
        heads=figures.heads(observation),
        rows=figures.rows(observation),
        arms_heads=figures.arms_heads(observation),
        arms_rows=figures.arms_rows(observation),
        agreement=figures.agreement_text(agreement) if agreement else "",
        plots=plots(observation),
        notes=figures.notes(observation),
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("facemodels.monitoring.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(_TEMPLATE)
