"""A lineage as a graph whose nodes have positions. Pure.

The versions form a row, with the oldest on the left. The inputs of a version are in its column:
data above it, code and parameters below it. Lengths are in inches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from facemodels.provenance.lineage.ancestry import Ancestor, Lineage, MemberOrigin
from facemodels.provenance.lineage.inputs import Artifact
from facemodels.text import counted, size_text

if TYPE_CHECKING:
    import networkx as nx  # type: ignore[import-untyped]

Kind = Literal["version", "member", "data", "code", "parameters", "nothing", "end"]

VERSION_SIZE = (3.5, 1.2)
WIDTH = 2.35  # of an input
LINE = 0.19  # height of a line of text
TITLE = 0.24
_PADDING = 0.30  # above and below the text of an input, together
_CELL = WIDTH + 0.3  # from one input to the next
_COLUMN_GAP = 0.85
_ROW_GAP = 0.5
_SHOWN = 5  # changed parameters of a version


@dataclass(frozen=True)
class Node:
    """One shape of the drawing.

    Attributes:
        kind: what it stands for, which decides its form.
        title: the first line of its text.
        lines: the further lines of its text.
        marked: whether it differs from the parent.
        status: the status of a version; "" for other nodes.
        size: width and height, in inches.
        place: the position of its centre, in inches; y grows upwards.
    """

    kind: Kind
    title: str
    lines: tuple[str, ...] = ()
    marked: bool = False
    status: str = ""
    size: tuple[float, float] = VERSION_SIZE
    place: tuple[float, float] = (0.0, 0.0)

    @property
    def left(self) -> float:
        """The x of its left edge."""
        return self.place[0] - self.size[0] / 2

    @property
    def right(self) -> float:
        """The x of its right edge."""
        return self.place[0] + self.size[0] / 2

    @property
    def bottom(self) -> float:
        """The y of its lower edge."""
        return self.place[1] - self.size[1] / 2

    @property
    def top(self) -> float:
        """The y of its upper edge."""
        return self.place[1] + self.size[1] / 2


@dataclass
class _Column:
    """The nodes of one version by name, centred at x = 0, and the edges between them."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    @property
    def span(self) -> tuple[float, float]:
        nodes = self.nodes.values()
        return min(node.left for node in nodes), max(node.right for node in nodes)


def build(lineage: Lineage) -> nx.DiGraph:
    """Build a directed graph in the order of drawing; the attribute `node` holds each `Node`."""
    import networkx as nx

    columns = [_column(version) for version in reversed(lineage.versions)]
    versions = [version.id for version in reversed(lineage.versions)]
    if lineage.end.why != "first":
        columns.insert(0, _Column({"end": _end(lineage)}))
        versions.insert(0, "end")
    drawn = nx.DiGraph()
    x = 0.0
    for column in columns:
        left, right = column.span
        for name, node in column.nodes.items():
            moved = replace(node, place=(node.place[0] + x - left, node.place[1]))
            drawn.add_node(name, node=moved)
        drawn.add_edges_from(column.edges)
        x += right - left + _COLUMN_GAP
    nx.add_path(drawn, versions)
    return drawn


def _end(lineage: Lineage) -> Node:
    words = str(lineage.end)
    what, _, why = words.partition(": ") if ": " in words else words.partition(", ")
    return Node("end", what, (why,) if why else (), size=(2.9, 0.85))


def _column(version: Ancestor) -> _Column:
    inputs, revision = version.inputs, version.revision
    facts = (revision.commit[:10], version.created_at[:10])
    lines = (" · ".join(part for part in facts if part), revision.subject)
    column = _Column({version.id: Node("version", version.id, lines, status=version.status)})
    _add_data(column, version)
    below = [_member(member) for member in version.members]
    below += [node for node in (_code(version), _parameters(version)) if node is not None]
    if not (below or inputs.data):
        below = [_input("nothing", "inputs not recorded", ())]
    edge = -VERSION_SIZE[1] / 2 - _ROW_GAP
    for node, x in zip(below, _spread(len(below)), strict=True):
        name = f"{version.id} {node.title if node.kind == 'member' else node.kind}"
        column.nodes[name] = replace(node, place=(x, edge - node.size[1] / 2))
        column.edges.append((name, version.id))
    return column


def _add_data(column: _Column, version: Ancestor) -> None:
    """Add the data of a version above it, and above each row the data that it was made from."""
    y = VERSION_SIZE[1] / 2 + _ROW_GAP
    flow = _flow(version)
    for generation in _generations(flow):
        nodes = [_datum(artifact, version) for artifact in generation]
        for artifact, node, x in zip(generation, nodes, _spread(len(nodes)), strict=True):
            name = f"{version.id} {artifact.path} {artifact.md5}"
            column.nodes[name] = replace(node, place=(x, y + node.size[1] / 2))
            into = [f"{version.id} {to.path} {to.md5}" for to in flow.successors(artifact)]
            column.edges += [(name, to) for to in into or [version.id]]
        y += max(node.size[1] for node in nodes) + _ROW_GAP


def _flow(version: Ancestor) -> nx.DiGraph:
    """Build the graph of which data was made from which."""
    import networkx as nx

    stages = {stage.name: stage for stage in version.inputs.stages}
    flow = nx.DiGraph()
    flow.add_nodes_from(version.inputs.data)
    for made in version.inputs.data:
        stage = stages.get(made.made_by)
        read = {(dep.path, dep.md5) for dep in stage.deps} if stage else set()
        flow.add_edges_from((a, made) for a in version.inputs.data if (a.path, a.md5) in read)
    return flow


def _generations(flow: nx.DiGraph) -> Iterable[list[Artifact]]:
    """Group the data by distance from the version, nearest first."""
    import networkx as nx

    # A hand-made dvc.lock may go in a circle; then all of it stands in one row.
    if not nx.is_directed_acyclic_graph(flow):
        return [list(flow)]
    return [sorted(g, key=lambda a: a.path) for g in nx.topological_generations(flow.reverse())]


def _spread(number: int) -> list[float]:
    """The x of the centres of neighbouring nodes, centred at 0."""
    return [(place - (number - 1) / 2) * _CELL for place in range(number)]


def _input(kind: Kind, title: str, lines: Sequence[str], *, marked: bool = False) -> Node:
    height = _PADDING + TITLE + LINE * len(lines)
    return Node(kind, title, tuple(lines), marked, size=(WIDTH, height))


def _member(member: MemberOrigin) -> Node:
    """A member of a system, with the data that it was made of."""
    version = member.version
    data = version.inputs.data if version else ()
    status = version.status if version else "not registered here"
    lines = [f"{member.task} · {status}", *(artifact.path for artifact in data[:_SHOWN])]
    return _input("member", member.id, lines)


def _datum(artifact: Artifact, version: Ancestor) -> Node:
    paths: Any = (version.differences.data if version.differences else None) or ()
    digest = " · ".join(p for p in (artifact.md5[:10], size_text(artifact.size)) if p)
    return _input("data", artifact.path, (digest,), marked=artifact.path in paths)


def _code(version: Ancestor) -> Node | None:
    code = version.inputs.code
    if not code:
        return None
    paths = (version.differences.code if version.differences else None) or ()
    count = f"{len(paths)} of {counted(len(code), 'file')}" if paths else counted(len(code), "file")
    lines = [version.inputs.code_digest[:10], count]
    return _input("code", "code", lines, marked=bool(paths))


def _parameters(version: Ancestor) -> Node | None:
    if not version.inputs.parameters:
        return None
    changed = (version.differences.parameters if version.differences else None) or ()
    telling = sorted(changed, key=lambda change: change.kind != "changed")
    lines = [str(change) for change in telling[:_SHOWN]]
    if len(changed) > _SHOWN:
        lines.append(f"… and {len(changed) - _SHOWN} more")
    number = counted(len(version.inputs.parameters), "parameter")
    return _input("parameters", number, lines or ["of " + version.inputs.parameters_from],
                  marked=bool(changed))  # fmt: skip
