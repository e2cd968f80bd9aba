"""Plots of the figures over time as SVG; the same observation gives the same bytes."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from facemodels.monitoring.report.observation import Curve, Observation
from facemodels.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 400  # of one line; a day has 86,400 scrapes
# Okabe and Ito's colours, which colour-blind people can tell apart; dashes do so without colour.
_LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", "-."), ("#cc79a7", ":"))
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "facemodels", "svg.fonttype": "path", "font.family": "DejaVu Sans",
    "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False,
    "timezone": "UTC",
}  # fmt: skip
_SIZE = (7.2, 2.6)  # inches


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        title: what it shows, with the unit.
        words: what can be seen on it, as the alternative text.
        svg: the image.
    """

    title: str
    words: str
    svg: bytes

    @property
    def data_url(self) -> str:
        """The image as a `data:` URL."""
        return f"data:image/svg+xml;base64,{base64.b64encode(self.svg).decode()}"


# attribute, title, scale of the values, and how the values of an interval become one
_PLOTS: tuple[tuple[str, str, float, Callable[[Sequence[float]], float]], ...] = (
    ("error_rate", "Error rate, %", 100.0, max),
    ("p50_ms", "Latency p50, ms", 1.0, max),
    ("p95_ms", "Latency p95, ms", 1.0, max),
    ("p99_ms", "Latency p99, ms", 1.0, max),
    ("requests_per_s", "Throughput, requests a second", 1.0, lambda x: math.fsum(x) / len(x)),
    ("memory_mb", "Memory of a server, MB", 1.0, max),
    ("gpu_utilization", "GPU utilization, %", 100.0, max),
    ("gpu_memory_mb", "GPU memory, MB", 1.0, max),
    ("cost_per_1000", "Cost of 1,000 inferences", 1.0, max),
    ("accuracy", "Accuracy on the probes", 1.0, min),
)


def plots(observation: Observation) -> list[Plot]:
    """A plot of each figure that at least one version has values of."""
    made = []
    for key, title, scale, choose in _PLOTS:
        lines = [
            (one_line(seen.model_id), _thinned(seen.series[key], scale, choose, observation))
            for seen in observation.versions
            if key in seen.series
        ]
        known = [(name, line) for name, line in lines if any(y is not None for _, y in line)]
        if known:
            made.append(Plot(title, _words(known), _draw(title, known)))
    return made


_Line = list[tuple[float, float | None]]


def _thinned(
    series: Curve, scale: float, choose: Callable[[Sequence[float]], float], seen: Observation
) -> _Line:
    """At most `POINTS` points: `choose` makes one value from those of each interval of time.

    An interval in which every number was lost is a gap in the line.
    """
    if len(series.times) <= POINTS:
        return [
            (time, None if value is None else scale * value)
            for time, value in zip(series.times, series.values, strict=True)
        ]
    begin = min(seen.began, series.times[0])
    width = max(max(seen.now, series.times[-1]) - begin, 1e-9) / POINTS
    stretches: dict[int, list[float]] = {}
    for time, value in zip(series.times, series.values, strict=True):
        place = stretches.setdefault(min(POINTS - 1, int((time - begin) / width)), [])
        if value is not None:
            place.append(value)
    return [
        (begin + (number + 0.5) * width, scale * choose(values) if values else None)
        for number, values in sorted(stretches.items())
    ]


def _words(lines: list[tuple[str, _Line]]) -> str:
    told = []
    for name, line in lines:
        values = [y for _, y in line if y is not None]
        told.append(
            f"{name}: from {min(values):.4g} to {max(values):.4g}, at the end {values[-1]:.4g}"
        )
    return "; ".join(told) + "."


def _draw(title: str, lines: list[tuple[str, _Line]]) -> bytes:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.style import context

    with context("default"), mpl.rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes = figure.add_subplot()
        for (name, line), (colour, dashes) in zip(lines, _cycle(len(lines)), strict=True):
            axes.plot(
                [datetime.fromtimestamp(x, UTC) for x, _ in line],  # type: ignore[arg-type]
                [math.nan if y is None else y for _, y in line],
                label=f" {name}",  # matplotlib hides labels that begin with _
                color=colour,
                linestyle=dashes,
                marker="." if len(line) < 3 else "",
            )
        _finish(axes, title)
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()


def _cycle(count: int) -> list[tuple[str, str]]:
    return [_LINES[number % len(_LINES)] for number in range(count)]


def _finish(axes: Axes, title: str) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator()  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    form = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(form)
    if "Accuracy" not in title:
        axes.set_ylim(0, 1.1 * (axes.dataLim.y1 or 1.0))
    axes.set_ylabel(title.rpartition(", ")[2] if ", " in title else "")
    axes.set_xlabel("UTC")
    axes.grid(visible=True, color="#e2e8f0", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(loc="best", frameon=False, fontsize="small")
