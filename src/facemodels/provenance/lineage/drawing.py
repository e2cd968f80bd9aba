"""Draws a lineage as SVG. The same lineage gives the same bytes."""

from __future__ import annotations

import io
from bisect import bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.files import write_bytes
from facemodels.provenance.lineage.ancestry import Lineage
from facemodels.provenance.lineage.graph import LINE, TITLE, Node, build
from facemodels.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

_MARGIN = 0.35  # inches
_HEAD = 0.75  # title and legend
_INK, _MUTED, _EDGE = "#0f172a", "#64748b", "#94a3b8"
_MARK = "#c2410c"
# fill and edge of unchanged and of changed nodes
_SAME, _CHANGED = ("#f8fafc", _EDGE), ("#ffedd5", _MARK)
_STATUS = {
    "development": "#475569", "staging": "#b45309", "production": "#15803d",
    "deprecated": "#b91c1c",
}  # fmt: skip
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "facemodels", "svg.fonttype": "path", "font.family": "DejaVu Sans",
}  # fmt: skip


def draw(lineage: Lineage, path: Path) -> None:
    """Write the lineage as an SVG file.

    Raises:
        OSError: the file cannot be written.
    """
    write_bytes(path, svg(lineage))


def svg(lineage: Lineage) -> bytes:
    """Draw a lineage as SVG, without a date, a program version or a random name in it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.style import context

    title = f"Lineage of {lineage.versions[0].id}"
    with context("default"), mpl.rc_context(_STYLE):
        figure = Figure()
        axes = figure.add_axes((0, 0, 1, 1))
        graph = build(lineage)
        nodes: dict[str, Node] = dict(graph.nodes(data="node"))
        for source, target in graph.edges:
            _arrow(axes, nodes[source], nodes[target])
        for node in nodes.values():
            _shape(axes, node)
            _words(axes, node)
        _frame(axes, list(nodes.values()), title)
        stream = io.BytesIO()
        nothing = {"Date": None, "Creator": None, "Title": title}
        figure.savefig(stream, format="svg", metadata=nothing)
    return stream.getvalue()


def _frame(axes: Axes, nodes: list[Node], title: str) -> None:
    """Fit the figure to the nodes, and put the title and the legend above them."""
    left = min(node.left for node in nodes) - _MARGIN
    right = max(max(node.right for node in nodes) + _MARGIN, left + 7.5)
    bottom = min(node.bottom for node in nodes) - _MARGIN
    top = max(node.top for node in nodes) + _HEAD + _MARGIN
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_axis_off()
    figure: Any = axes.figure
    figure.set_size_inches(right - left, top - bottom)
    figure.set_facecolor("white")
    y = top - _MARGIN - 0.12
    _text(axes, (left + _MARGIN, y), title, size=13, weight="bold")
    for place, (label, style) in enumerate(
        (("unchanged, or nothing to compare with", _SAME), ("changed since the parent", _CHANGED))
    ):
        _legend(axes, left + _MARGIN + 2.8 * place, y - 0.36, label, style)


def _legend(axes: Axes, x: float, y: float, label: str, style: tuple[str, str]) -> None:
    from matplotlib.patches import Rectangle

    fill, edge = style
    axes.add_patch(Rectangle((x, y - 0.07), 0.22, 0.14, facecolor=fill, edgecolor=edge))
    _text(axes, (x + 0.3, y), label, size=8, color=_MUTED)


# --- shapes --------------------------------------------------------------------------------


def _shape(axes: Axes, node: Node) -> None:
    from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon

    fill, edge = _CHANGED if node.marked else _SAME
    style: dict[str, Any] = {
        "facecolor": fill, "edgecolor": edge, "linewidth": 1.6 if node.marked else 1.0,
        "zorder": 3,
    }  # fmt: skip
    patch: Patch
    if node.kind == "data":
        patch = PathPatch(_cylinder(node), **style)
    elif node.kind in {"code", "parameters"}:
        patch = Polygon(_corners(node), closed=True, joinstyle="round", **style)
    else:
        if node.kind in {"version", "member"}:
            style |= {"facecolor": "#eff6ff", "edgecolor": "#1d4ed8", "linewidth": 1.8}
        else:
            style |= {"facecolor": "white", "linestyle": (0, (4, 3))}
        corner = (node.left, node.bottom)
        patch = FancyBboxPatch(corner, *node.size, boxstyle="round,pad=0,rounding_size=0.12",
                               **style)  # fmt: skip
    axes.add_patch(patch)


def _corners(node: Node) -> list[tuple[float, float]]:
    """The corners of a hexagon for code, or of a parallelogram for parameters."""
    left, right, bottom, top, slant = node.left, node.right, node.bottom, node.top, 0.16
    if node.kind == "code":
        y = node.place[1]
        return [(left, y), (left + slant, top), (right - slant, top), (right, y),
                (right - slant, bottom), (left + slant, bottom)]  # fmt: skip
    return [(left, bottom), (left + slant, top), (right, top), (right - slant, bottom)]


def _cylinder(node: Node) -> Any:
    """The path of a cylinder: its outline, and the front edge of its top."""
    from matplotlib.path import Path as Outline

    left, right, depth = node.left, node.right, 0.09
    low, high = node.bottom + depth, node.top - depth
    bulge = depth * 4 / 3  # of a cubic curve that goes `depth` beyond its ends
    points = [
        (left, high), (left, high + bulge), (right, high + bulge), (right, high),
        (right, low), (right, low - bulge), (left, low - bulge), (left, low), (left, high),
        # the same way round as the outline, or the two would cancel where they are filled
        (right, high), (right, high - bulge), (left, high - bulge), (left, high),
    ]  # fmt: skip
    curve = [Outline.CURVE4] * 3
    lid = [Outline.MOVETO, *curve]
    return Outline(points, [Outline.MOVETO, *curve, Outline.LINETO, *curve, Outline.LINETO, *lid])


def _arrow(axes: Axes, start: Node, end: Node) -> None:
    """Draw an arrow between the edges of two nodes.

    The arrow of an input is vertical if the target is wide enough for that.
    """
    from matplotlib.patches import FancyArrowPatch

    row = {start.kind, end.kind} <= {"version", "end"}
    if row:
        points = ((start.right, start.place[1]), (end.left, end.place[1]))
    else:
        room = end.size[0] / 2 - 0.35
        x = min(max(start.place[0], end.place[0] - room), end.place[0] + room)
        downwards = start.place[1] > end.place[1]
        points = (
            (start.place[0], start.bottom if downwards else start.top),
            (x, end.top if downwards else end.bottom),
        )
    axes.add_patch(
        FancyArrowPatch(
            *points, arrowstyle="-|>", mutation_scale=14 if row else 10, shrinkA=1, shrinkB=1,
            linewidth=2.2 if row else 1.4 if start.marked else 1.0,
            linestyle="--" if start.kind in {"end", "nothing"} else "-",
            color="#1d4ed8" if start.kind == "version" else _MARK if start.marked else _EDGE,
            zorder=2,
        )
    )  # fmt: skip


# --- words ---------------------------------------------------------------------------------


def _words(axes: Axes, node: Node) -> None:
    """Write the title and the lines, centred on the node."""
    x, y = node.place
    height = TITLE + LINE * len(node.lines)
    if node.kind == "data":
        y -= 0.05  # the lid takes its room
    elif node.kind == "version":
        y += 0.11  # the status stands below
    room = node.size[0] - 0.4
    line_y = y + height / 2 - TITLE / 2
    _text(axes, (x, line_y), node.title, size=11 if node.kind == "version" else 8.5,
          weight="bold", centred=True, room=room)  # fmt: skip
    line_y -= TITLE / 2 + LINE / 2
    color = _MARK if node.marked else _MUTED
    for line in node.lines:
        _text(axes, (x, line_y), line, size=8, color=color, centred=True, room=room)
        line_y -= LINE
    if node.status:
        _pill(axes, (x, node.bottom + 0.2), node.status, _STATUS.get(node.status, _MUTED))
    if node.marked:
        # Arrows come to data from above, and go from code and parameters upwards.
        y = node.bottom - 0.04 if node.kind == "data" else node.top
        _pill(axes, (node.right - 0.42, y), "changed", _MARK)


def _pill(axes: Axes, place: tuple[float, float], words: str, color: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    width, height = _width(words, 7, "bold") + 0.2, 0.19
    corner = (place[0] - width / 2, place[1] - height / 2)
    shape = f"round,pad=0,rounding_size={height / 2}"
    axes.add_patch(
        FancyBboxPatch(corner, width, height, boxstyle=shape, facecolor=color, linewidth=0,
                       zorder=5)
    )  # fmt: skip
    _text(axes, place, words, size=7, weight="bold", color="white", centred=True)


def _text(
    axes: Axes, place: tuple[float, float], words: str, *, size: float, weight: str = "normal",
    color: str = _INK, centred: bool = False, room: float = 0,
) -> None:  # fmt: skip
    shown = _drawable(words)
    if room:
        shown = _fit(shown, size, weight, room)
    axes.text(
        *place, shown, size=size, weight=weight, color=color, va="center_baseline",
        ha="center" if centred else "left", zorder=6, parse_math=False,
    )  # fmt: skip


def _drawable(words: str) -> str:
    """Replace the characters of a text that the font does not have by a box."""
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return "".join(c if font.get_char_index(ord(c)) else "□" for c in one_line(words))


def _fit(words: str, size: float, weight: str, room: float) -> str:
    """Shorten a text that is too wide with `…`, at its end or in the middle of a path."""
    if _width(words, size, weight) <= room:
        return words

    def shown(kept: int) -> str:
        tail = 0 if " " in words else kept // 2
        return words[: kept - tail].rstrip() + "…" + words[len(words) - tail :]

    kept = bisect_right(
        range(1, len(words)), room, key=lambda number: _width(shown(number), size, weight)
    )
    return shown(max(kept, 1))


def _width(words: str, size: float, weight: str) -> float:
    """The width of a text, in inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    if not words.strip():
        return 0.0
    properties = FontProperties(family="DejaVu Sans", weight=weight)
    path: Any = TextPath((0, 0), words, size=size, prop=properties, usetex=False)
    return float(path.get_extents().width) / 72
