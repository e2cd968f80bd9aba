"""One observation in the terminal, as Markdown and as a page that opens offline."""

from __future__ import annotations

import base64
import html.parser
import io
import re
import shutil
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from facemodels.monitoring import report
from facemodels.monitoring.analysis.lean import Leaning
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.report.plots import POINTS, plots

CHROMIUM = shutil.which("chromium")
BEGAN = 1_790_000_000.0
BOUNDS = (0.01, 0.02, 0.05)
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)> | [a](http://x.invalid) \x1b[31m\n# $x^2$"
RATES = {"precision": 0.96, "recall": 0.94, "f1": 0.95, "fpr": 0.04, "tpr": 0.94, "accuracy": 0.955}


def series(*values: float | None) -> report.Curve:
    return report.Curve(tuple(BEGAN + 60 * n for n in range(len(values))), values)


def seen(
    model_id: str = "rec-facenet-v2.2.0", role: str = "canary", **more: object
) -> report.VersionFigures:
    own = {
        "percent": 10, "requests": 12345, "error_rate": 0.0024, "success_rate": 0.9976,
        "p50_ms": 12.34, "p95_ms": 45.67, "p99_ms": 99.1, "requests_per_s": 143.2,
        "satisfaction": report.CountedShare(report.ConfidenceInterval(0.93, 0.9, 0.95), 412),
        "memory_mb": 812.4, "cost_per_1000": 0.0123, "accuracy": RATES,
        "series": {
            "p95_ms": series(40.0, 41.0, None, 45.67), "error_rate": series(0.0, 0.01, 0.002),
            "memory_mb": series(800, 812.4), "accuracy": series(0.95, 0.955),
        },
    }  # fmt: skip
    return report.VersionFigures(model_id, role, **{**own, **more})  # type: ignore[arg-type]


def observation(**more: object) -> report.Observation:
    own = {
        "model": "recognition-facenet", "model_id": "rec-facenet-v2.2.0",
        "environment": "production", "began": BEGAN, "now": BEGAN + 5400, "until": BEGAN + 86400,
        "versions": (seen(), seen("rec-facenet-v2.1.3", "stable", percent=90, requests=111111)),
        "verdict": {"answer": "hold", "reasons": ["errors: 0.2 % of 12345"], "alarm": False},
        "rollout": report.RolloutProgress("canary", 10, BEGAN - 60, "Ann <ann@example.invalid>", "try"),
    }  # fmt: skip
    return report.Observation(**{**own, **more})  # type: ignore[arg-type]


BARE = observation(
    versions=(report.VersionFigures("rec-facenet-v2.2.0", "stable", 100, 0),),
    verdict=None,
    rollout=None,
)
AB = observation(
    arms=report.compare_arms(
        Tally(1000, 10, BOUNDS, (100, 500, 300, 90)), Tally(9000, 20, BOUNDS, (900, 5500, 2500, 80))
    )
)
SHADOW = observation(agreement=report.Agreement(200, 197))
ALARM = observation(verdict={"answer": "hold", "reasons": ["no numbers for 31 s"], "alarm": True})
WORDS = (
    "rec-facenet-v2.2.0",
    "12,345",
    "99.76 %",
    "0.24 %",
    "45.7",
    "812",
    "0.0123",
    "0.9550",
    "93.0 % (90 to 95)",
)


def terminal(shown: report.Observation, width: int = 160) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False).print(report.table(shown))
    return stream.getvalue()


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: its elements, its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.mark.parametrize("view", [terminal, report.markdown, lambda o: Page(report.html(o)).words])
def test_every_view_tells_figures_verdict_and_rollout(view) -> None:
    text = view(observation())
    for word in (*WORDS, "hold", "errors: 0.2 % of 12345", "canary, 10 %", "1h30m of 1d"):
        assert word in text, word


@pytest.mark.parametrize("view", [terminal, report.markdown, lambda o: Page(report.html(o)).words])
def test_what_nobody_knows_is_no_number(view) -> None:
    text = view(BARE)
    assert ("nobody said" in text) == (view is not terminal)  # there such rows are left out
    assert ("\N{EN DASH}" in text) == (view is not terminal)
    assert "There is no rollout to judge." in text
    assert not re.search(r"\b(None|nan|inf)\b", text)


@pytest.mark.parametrize("view", [terminal, report.markdown, lambda o: Page(report.html(o)).words])
def test_arms_shadow_and_alarm_are_told(view) -> None:
    arms = view(AB)
    assert "99.00 % (98.17 to 99.46)" in arms
    assert "they differ" in arms
    assert "197 of 200 answers agree: 98.50 %" in view(SHADOW)
    assert "Alarm: the numbers of a version are lost." in view(ALARM)
    assert "Alarm" not in view(observation())


def hostile() -> report.Observation:
    return observation(
        model_id=EVIL,
        environment=EVIL,
        versions=(seen(EVIL), seen("_b", EVIL)),
        verdict={"answer": EVIL, "reasons": [EVIL], "alarm": True},
        rollout=report.RolloutProgress(EVIL, 10, BEGAN, EVIL, EVIL),
        arms=AB.arms,
        notes=(EVIL,),
    )


def test_the_words_of_people_stay_words_on_the_page() -> None:
    page = Page(report.html(hostile()))
    assert not page.all("script")
    assert len(page.all("img")) == len(plots(hostile()))
    assert all(image["src"].startswith("data:image/svg+xml;base64,") for image in page.all("img"))
    assert not any(name.startswith("on") for _, given in page.elements for name in given)
    assert not page.all("a")
    assert "<script>alert(1)</script>" in page.words
    assert "\x1b" not in page.words


def test_the_words_of_people_stay_words_in_markdown() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(report.markdown(hostile()))
    kinds = {token.type for token in tokens} | {
        child.type for token in tokens for child in token.children or ()
    }
    assert not kinds & {"html_block", "html_inline", "image", "link_open", "code_inline"}
    headings = [t for t in tokens if t.type == "heading_open"]
    assert len(headings) == 4
    tables = [t for t in tokens if t.type == "table_open"]
    assert len(tables) == 3


def test_the_words_of_people_do_not_steer_the_terminal() -> None:
    shown = terminal(hostile())
    assert "\x1b" not in shown
    red = replace(observation(), verdict={"answer": "[red]x[/red]", "reasons": ["[/]"]})
    assert "[red]x[/red]" in terminal(red)


def test_the_verdict_comes_first_and_all_fits_a_terminal_of_80_by_24() -> None:
    reasons = [f"not enough evidence in latency p{n}: {'many words ' * 12}" for n in (50, 95, 99)]
    shown = replace(
        observation(verdict={"answer": "hold", "reasons": reasons}),
        leaning=Leaning("promote", 5000.0),
        notes=("No figures since 10:30: it is away.",),
    )
    lines = terminal(shown, width=80).rstrip().splitlines()
    assert lines[0].strip() == "verdict: hold"
    assert lines[1].strip() == "It leans to promote; about 1h23m more at this pace."
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


def test_markdown_tables_have_as_many_cells_in_every_row() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(report.markdown(AB))
    rows, cells = [], 0
    for token in tokens:
        cells += token.type in ("td_open", "th_open")
        if token.type == "tr_close":
            rows.append(cells)
            cells = 0
    assert set(rows) == {2, 3, 4}  # facts; figures of two versions; arms


def test_the_page_is_whole_in_itself_and_the_same_again() -> None:
    text = report.html(AB)
    assert text == report.html(AB)
    page = Page(text)
    assert not page.all("script")
    assert not page.all("link")
    assert "default-src 'none'" in str(page.all("meta")[1]["content"])
    assert [given["lang"] for given in page.all("html")] == ["en"]
    assert all(given.get("alt") for given in page.all("img"))
    assert all(given.get("scope") in ("row", "col") for given in page.all("th"))


def test_every_figure_with_numbers_is_drawn_and_described() -> None:
    drawn = {plot.title: plot for plot in plots(observation())}
    assert set(drawn) == {
        "Error rate, %", "Latency p95, ms", "Memory of a server, MB", "Accuracy on the probes"
    }  # fmt: skip
    words = drawn["Latency p95, ms"].words
    assert "rec-facenet-v2.2.0: from 40 to 45.67, at the end 45.67" in words
    assert "from 0 to 1, at the end 0.2" in drawn["Error rate, %"].words
    for plot in drawn.values():
        assert ET.fromstring(plot.svg).tag == "{http://www.w3.org/2000/svg}svg"
    assert plots(BARE) == []
    lost = seen(series={"p95_ms": series(None, None)})
    assert plots(observation(versions=(lost,))) == []


def test_a_day_of_scrapes_is_thinned_and_keeps_its_worst_moment_and_its_gaps() -> None:
    times = tuple(BEGAN + n for n in range(86_400))
    values = [10.0] * 86_400
    values[50_000] = 900.0
    lost: list[float | None] = [*values]
    lost[20_000:30_000] = [None] * 10_000
    watched = seen(series={"p95_ms": report.Curve(times, tuple(lost))})
    shown = observation(versions=(watched,), now=BEGAN + 86_400)
    (plot,) = plots(shown)
    assert "from 10 to 900" in plot.words
    assert len(plot.svg) < 100_000
    svg = plot.svg.decode()
    line = max(re.findall(r'<path d="([^"]*)" clip-path', svg), key=len)
    assert line.count("M") >= 2  # the gap parts the line
    assert line.count("L") + line.count("M") <= POINTS


def test_an_average_is_not_a_worst_case() -> None:
    times = tuple(BEGAN + n for n in range(8000))
    values = tuple(100.0 if n % 2 else 0.0 for n in range(8000))
    watched = seen(series={"requests_per_s": report.Curve(times, values)})
    (plot,) = plots(observation(versions=(watched,), now=BEGAN + 8000))
    assert "from 50 to 50" in plot.words


def test_times_and_values_are_as_many() -> None:
    with pytest.raises(ValueError, match="2 times with 1"):
        report.Curve((1.0, 2.0), (1.0,))


@pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")
@pytest.mark.parametrize(
    "shown",
    [pytest.param(AB, id="plain", marks=pytest.mark.full), pytest.param(hostile(), id="hostile")],
)
def test_the_page_opens_offline_without_a_request_or_a_complaint(
    shown: report.Observation, tmp_path: Path
) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    path = tmp_path / "report.html"
    path.write_text(report.html(shown), encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND"],
        )
        try:
            page = browser.new_context(offline=True).new_page()
            said: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("dialog", lambda dialog: said.append(dialog.message))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(path.as_uri())
            widths = page.evaluate("[...document.images].map((image) => image.naturalWidth)")
            assert len(widths) == len(plots(shown)) == 4
            assert min(widths) > 100
            assert page.evaluate("document.scripts.length") == 0
            assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
            assert said == []
        finally:
            browser.close()


def test_the_pictures_are_the_drawings() -> None:
    sources = [given["src"] for given in Page(report.html(AB)).all("img")]
    drawn = [base64.b64decode(str(source).partition(",")[2]) for source in sources]
    assert drawn == [plot.svg for plot in plots(AB)]
