"""Formats a lineage as text for the terminal, and as Mermaid, which Git hosts draw. Pure.

In the terminal the versions are listed one below the other, newest first. A tree that is indented
at every parent would become wider than the screen.
"""

from __future__ import annotations

from facemodels.provenance.flat import summary
from facemodels.provenance.lineage.ancestry import (
    Ancestor,
    InputDifferences,
    Lineage,
    MemberOrigin,
)
from facemodels.provenance.lineage.inputs import Artifact
from facemodels.text import counted, cut, joined, one_line, size_text

_SHOWN = 8  # changed values or files of a version
_SUBJECT = 60  # characters
_STYLES = (
    "  classDef version fill:#dbeafe,stroke:#1d4ed8,color:#172554,font-weight:bold",
    "  classDef same fill:#f8fafc,stroke:#94a3b8,color:#475569",
    "  classDef changed fill:#ffedd5,stroke:#c2410c,stroke-width:2px,color:#431407",
    "  classDef ending fill:#ffffff,stroke:#94a3b8,stroke-dasharray:4 3,color:#475569",
)
_ENTITIES = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "#": "#35;", "`": "#96;"}

Row = tuple[str, str, list[str]]  # label, value, further lines


def text(lineage: Lineage) -> str:
    """Format a lineage as plain text; `*` marks what differs from the parent."""
    lines = []
    for version in lineage.versions:
        lines.append(f"● {joined(version.id, version.status, one_line(version.created_at))}")
        for label, value, further in _rows(version):
            lines.append(f"├─ {label:<10} {value}")
            lines += [f"│  {'':<10} {line}" for line in further]
        lines.append("│")
    lines.append(f"○ {one_line(str(lineage.end))}")
    return "\n".join(lines) + "\n"


def _rows(version: Ancestor) -> list[Row]:
    inputs, differences, revision = version.inputs, version.differences, version.revision
    subject = cut(revision.subject, _SUBJECT)
    commit = joined(revision.commit[:10], revision.time, subject, on_branches(version))
    size = size_text(inputs.package.size) if inputs.package else ""
    digest = version.dvc or (inputs.package.md5 if inputs.package else "")
    rows: list[Row] = [
        ("commit", commit, []),
        ("package", joined(one_line(version.path), digest, size), []),
    ]
    rows += [_member(member) for member in version.members]
    rows += [("data", _artifact(artifact, differences), []) for artifact in inputs.data]
    rows += [("built", _artifact(artifact, None), []) for artifact in inputs.built]
    if inputs.code:
        rows.append(_code(version))
    if inputs.parameters:
        rows.append(_parameters(version))
    if inputs.stages:
        rows.append(("stages", " → ".join(one_line(stage.name) for stage in inputs.stages), []))
    if version.changelog:
        rows.append(("changelog", one_line(version.changelog), []))
    rows += [("note", one_line(note), []) for note in (*version.notes, *inputs.notes)]
    return rows


def _member(member: MemberOrigin) -> Row:
    """A member with the data that it was made of."""
    version = member.version
    status = version.status if version else "not registered here"
    value = joined(member.task, member.id, status, member.digest[:19])
    data = version.inputs.data if version else ()
    return "member", value, [f"data {_artifact(artifact, None)}" for artifact in data]


def on_branches(version: Ancestor) -> str:
    """Name the branches of a version, as `on main, origin/main`; "" if no branch contains it."""
    names = version.revision.branches
    return f"on {', '.join(names[:2])}{' …' if len(names) > 2 else ''}" if names else ""


def _artifact(artifact: Artifact, differences: InputDifferences | None) -> str:
    mark = differences is not None and artifact.path in (differences.data or ())
    maker = f"by {artifact.made_by}" if artifact.made_by else "from outside"
    return joined(
        one_line(artifact.path), artifact.md5, size_text(artifact.size), maker, "*" if mark else ""
    )


def _code(version: Ancestor) -> Row:
    inputs = version.inputs
    value = joined(counted(len(inputs.code), "file"), f"sha256 {inputs.code_digest[:16]}")
    paths = version.differences.code if version.differences else None
    if not paths:
        return "code", value, []
    listed = [f"* {one_line(path)}" for path in paths[:_SHOWN]]
    return "code", joined(value, f"{len(paths)} changed", "*"), [*listed, *_rest(len(paths))]


def _parameters(version: Ancestor) -> Row:
    inputs = version.inputs
    value = joined(counted(len(inputs.parameters), "value"), f"of {inputs.parameters_from}")
    changed = version.differences.parameters if version.differences else None
    if not changed:
        return "parameters", value, []
    listed = [f"* {one_line(str(change))}" for change in changed[:_SHOWN]]
    value = joined(value, summary(changed), "*")
    return "parameters", value, [*listed, *_rest(len(changed))]


def _rest(number: int) -> list[str]:
    return [f"  … and {number - _SHOWN} more"] if number > _SHOWN else []


# --- Mermaid -------------------------------------------------------------------------------


def mermaid(lineage: Lineage) -> str:
    """Format a lineage as a Mermaid flowchart, with the oldest version on the left."""
    lines = ["flowchart LR"]
    for place, version in enumerate(reversed(lineage.versions)):
        lines += _node_lines(place, version)
        if place:
            lines.append(f"  v{place - 1} ==> v{place}")
    if lineage.end.why != "first":
        lines += [f'  e(["{_escape(str(lineage.end))}"]):::ending', "  e -.-> v0"]
    return "\n".join([*lines, *_STYLES]) + "\n"


def _node_lines(place: int, version: Ancestor) -> list[str]:
    inputs, differences = version.inputs, version.differences
    subject = cut(version.revision.subject, _SUBJECT)
    commit = joined(version.revision.commit[:10], subject)
    lines = [f'  v{place}["{_label(version.id, version.status, commit)}"]:::version']
    for number, member in enumerate(version.members):
        status = member.version.status if member.version else "not registered here"
        label = _label(member.id, member.task, status)
        lines.append(f'  m{place}_{number}["{label}"]:::version --> v{place}')
        for at, artifact in enumerate(member.version.inputs.data if member.version else ()):
            shown = _label(artifact.path, joined(artifact.md5[:10], size_text(artifact.size)))
            lines.append(f'  md{place}_{number}_{at}[("{shown}")]:::same --> m{place}_{number}')
    changed_data = (differences.data if differences else None) or ()
    for number, artifact in enumerate(inputs.data):
        label = _label(artifact.path, joined(artifact.md5[:10], size_text(artifact.size)))
        style = "changed" if artifact.path in changed_data else "same"
        lines.append(f'  d{place}_{number}[("{label}")]:::{style} --> v{place}')
    if inputs.code:
        paths = (differences.code if differences else None) or ()
        count = joined(counted(len(inputs.code), "file"), f"{len(paths)} changed" if paths else "")
        label = _label(f"code {inputs.code_digest[:10]}", count)
        style = "changed" if paths else "same"
        lines.append(f'  c{place}{{{{"{label}"}}}}:::{style} --> v{place}')
    if inputs.parameters:
        lines.append(_parameter_line(place, version))
    return lines


def _parameter_line(place: int, version: Ancestor) -> str:
    changed = (version.differences.parameters if version.differences else None) or ()
    listed = [str(change) for change in changed[:_SHOWN]] + _rest(len(changed))
    label = _label(counted(len(version.inputs.parameters), "parameter"), *listed)
    return f'  p{place}[/"{label}"/]:::{"changed" if changed else "same"} --> v{place}'


def _label(*lines: str) -> str:
    return "<br/>".join(_escape(line) for line in lines if line)


def _escape(words: str) -> str:
    """Escape a text so that Mermaid shows it unchanged."""
    return "".join(_ENTITIES.get(character, character) for character in one_line(words))
