"""The observation as one HTML file that opens anywhere, offline, and runs nothing."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ET

from facemodels.monitoring.report import figures
from facemodels.monitoring.report.observation import Observation
from facemodels.monitoring.report.plots import plots
from facemodels.text import one_line

# Nothing is fetched, run or sent, whatever the words in the file are.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'"
)
_CSS = """
:root { color-scheme: light; font: 16px/1.5 system-ui, sans-serif; color: #0f172a; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.verdict { border-left: 0.4rem solid #475569; background: #f1f5f9; padding: 0.5rem 1rem; }
.promote { border-color: #15803d; } .hold { border-color: #b45309; }
.roll-back { border-color: #b91c1c; }
.wide { overflow-x: auto; margin: 1.5rem 0; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem; }
th, td { border-bottom: 1px solid #cbd5e1; padding: 0.25rem 0.6rem; text-align: right; }
th:first-child { text-align: left; } tbody th { font-weight: 400; }
td { font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1rem; }
dt { color: #475569; } dd { margin: 0; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figcaption { font-weight: 600; } img { max-width: 100%; height: auto; }
"""


def html(observation: Observation) -> str:
    """A report in one file; the plots are within it.

    The document is built as a tree, so that words of people are words whatever is in them.
    """
    answer, reasons = figures.verdict(observation)
    title = one_line(f"{observation.model_id} in {observation.environment}")
    page = ET.Element("html", lang="en")
    _head(page, title)
    main = _add(_add(page, "body"), "main")
    _add(main, "h1", title)
    kind = answer if answer in ("promote", "hold", "roll back") else "none"
    box = _add(main, "section", **{"class": f"verdict {kind.replace(' ', '-')}"})
    _add(box, "h2", f"Verdict: {answer}")
    _list(box, reasons)
    _facts(main, observation)
    heads = figures.heads(observation)
    _table(main, "Figures", heads, figures.rows(observation))
    if observation.arms is not None:
        _table(main, "Arms", figures.arms_heads(observation), figures.arms_rows(observation))
    if observation.agreement is not None:
        _add(main, "h2", "Shadow")
        _add(main, "p", figures.agreement_text(observation.agreement))
    _plots(main, observation)
    notes = figures.notes(observation)
    if notes:
        _add(main, "h2", "Notes")
        _list(main, notes)
    return "<!DOCTYPE html>\n" + ET.tostring(page, encoding="unicode", method="html") + "\n"


def _add(parent: ET.Element, tag: str, text: str = "", **attributes: str) -> ET.Element:
    element = ET.SubElement(parent, tag, attributes)
    element.text = text or None
    return element


def _head(page: ET.Element, title: str) -> None:
    head = _add(page, "head")
    _add(head, "meta", charset="utf-8")
    _add(head, "meta", **{"http-equiv": "Content-Security-Policy", "content": _POLICY})
    _add(head, "meta", name="viewport", content="width=device-width, initial-scale=1")
    _add(head, "title", title)
    _add(head, "style", _CSS)


def _list(parent: ET.Element, texts: list[str]) -> None:
    items = _add(parent, "ul")
    for text in texts:
        _add(items, "li", text)


def _facts(parent: ET.Element, observation: Observation) -> None:
    listing = _add(parent, "dl")
    for label, value in figures.facts(observation):
        _add(listing, "dt", label)
        _add(listing, "dd", value)


def _table(parent: ET.Element, caption: str, heads: list[str], rows: list[figures.Row]) -> None:
    # A table that scrolls is reached by the keyboard too.
    region = _add(
        parent, "div", role="region", tabindex="0", **{"class": "wide", "aria-label": caption}
    )
    table = _add(region, "table")
    _add(table, "caption", caption)
    head = _add(_add(table, "thead"), "tr")
    _add(head, "td")
    for text in heads:
        _add(head, "th", text, scope="col")
    body = _add(table, "tbody")
    for label, cells in rows:
        row = _add(body, "tr")
        _add(row, "th", label, scope="row")
        for cell in cells:
            _add(row, "td", cell)


def _plots(parent: ET.Element, observation: Observation) -> None:
    drawn = plots(observation)
    _add(parent, "h2", "Over time")
    if not drawn:
        _add(parent, "p", "No samples yet.")
    for plot in drawn:
        figure = _add(parent, "figure")
        _add(figure, "figcaption", plot.title)
        data = base64.b64encode(plot.svg).decode()
        # An image of its own: the ids of one drawing do not meet those of another.
        _add(figure, "img", src=f"data:image/svg+xml;base64,{data}", alt=plot.words)
