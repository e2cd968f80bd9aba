"""Formats the difference of two versions as text for the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from facemodels.provenance.difference.values import (
    BumpCheck,
    CodeDifference,
    Commits,
    MetricDifference,
    VersionDifference,
)
from facemodels.provenance.flat import ValueChange, summary
from facemodels.provenance.lineage.ancestry import Ancestor
from facemodels.text import counted, one_line, short, size_text

_LABEL = 13  # characters
_SHOWN = 30  # changes of a kind
_NOT_RECORDED = "not recorded for both"


def text(difference: VersionDifference) -> str:
    """Format a difference as plain text."""
    before, after = difference.before, difference.after
    lines = [f"{before.id} → {after.id}", *_heading(difference)]
    lines += _metrics(difference.metrics)
    lines += _stamps(difference)
    lines += _section("interface", difference.interface)
    if difference.members is not None:
        lines += _section("members", difference.members)
        lines += _section("decides by", difference.decides_by)
    lines += _bump(difference.bump)
    lines += _section("parameters", difference.parameters)
    lines += _section("data", difference.data)
    lines += _code(difference.code)
    origin = difference.requirements_from
    lines += _section("requirements", difference.requirements, f"of {origin}" if origin else "")
    for version in (before, after):
        notes = (*version.notes, *version.inputs.notes)
        lines += [_row("note", f"{version.id}: {one_line(note)}") for note in notes]
    return "\n".join(lines) + "\n"


def _row(label: str, value: str) -> str:
    return f"{label:<{_LABEL}} {value}".rstrip()


def _heading(difference: VersionDifference) -> list[str]:
    before, after = difference.before, difference.after
    package = {True: "the same to the byte", False: "another", None: "not recorded for both"}
    lines = [
        _row("status", _arrow(before.status, after.status)),
        _row("created", _arrow(one_line(before.created_at), one_line(after.created_at))),
        _row("package", package[difference.same_package]),
        _row("size", _sizes(before, after)),
    ]
    if difference.labels:
        marks = {"added": "+", "removed": "-"}
        labels = (f"{marks[c.kind]}{one_line(c.name)}" for c in difference.labels)
        lines.append(_row("labels", "  ".join(labels)))
    return lines


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _sizes(before: Ancestor, after: Ancestor) -> str:
    sizes = [side.inputs.package.size if side.inputs.package else None for side in (before, after)]
    if sizes[0] is None or sizes[1] is None:
        known = [size_text(size) or "not recorded" for size in sizes]
        return _arrow(*known)
    grown = sizes[1] - sizes[0]
    if not grown:
        return size_text(sizes[0])
    change = f"{'+' if grown > 0 else ''}{size_text(grown)}"
    return f"{size_text(sizes[0])} → {size_text(sizes[1])} ({change})"


def _metrics(metrics: Sequence[MetricDifference]) -> list[str]:
    if not metrics:
        return [_row("metrics", "not recorded")]
    rows = [("", "before", "after", "difference")]
    for metric in metrics:
        grown = metric.difference
        shown = "" if grown is None else f"{grown:+.4g}" if grown else "0"
        rows.append((one_line(metric.name), _value(metric.before), _value(metric.after), shown))
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    lines = [_row("metrics", "")]
    for name, *values in rows:
        cells = (f"{value:>{width}}" for value, width in zip(values, widths[1:], strict=True))
        lines.append(f"  {name:<{widths[0]}}  {'  '.join(cells)}".rstrip())
    return lines


def _stamps(difference: VersionDifference) -> list[str]:
    """Why the metrics are not subtracted, if they are not."""
    if not difference.metrics or not difference.stamps:
        return []
    lines = [_row("stamp", "not subtracted: the metrics were not measured in the same way")]
    return lines + _indented(difference.stamps)


def _value(value: object) -> str:
    return "-" if value is None else f"{value:.4g}" if isinstance(value, float) else short(value)


def _section(label: str, found: Sequence[ValueChange] | None, origin: str = "") -> list[str]:
    if found is None:
        return [_row(label, _NOT_RECORDED)]
    words = summary(found) or "no difference"
    return [_row(label, f"{words} {origin}".rstrip()), *_indented(str(c) for c in found)]


def _indented(lines: Iterable[str]) -> list[str]:
    shown = [f"  {one_line(line)}" for line in lines]
    rest = len(shown) - _SHOWN
    return [*shown[:_SHOWN], f"  … and {rest} more"] if rest > 0 else shown


def _bump(bump: BumpCheck | None) -> list[str]:
    if bump is None:
        return []
    if not bump.reasons:
        words = "the interface asks for no more than a patch; accuracy may ask for more"
    else:
        words = f"the interface asks for {bump.at_least} at least: {'; '.join(bump.reasons)}"
    verdict = "" if bump.enough else ", which is too little"
    return [_row("semver", f"{one_line(words)}"),
            _row("", f"{bump.older} → {bump.newer} is {bump.actual}{verdict}")]  # fmt: skip


def _code(code: CodeDifference) -> list[str]:
    words = {
        "same": "the same commit",
        "after": "the second commit follows the first",
        "before": "the second commit comes before the first",
        "diverged": "the commits have diverged",
        "not known": "a commit is not in this clone",
    }[code.relation]
    lines = [_row("code", words)]
    lines += _commits(code.gained, "gained", code.paths)
    lines += _commits(code.lost, "lost", code.paths)
    if code.files is None:
        lines.append("  files that the stages read: not recorded for both")
    elif code.files:
        lines.append(f"  {counted(len(code.files), 'file')} that the stages read:")
        lines += [f"  {line}" for line in _indented(code.files)]
    elif code.relation != "same":
        lines.append("  the stages read the same files")
    return lines


def _commits(commits: Commits, verb: str, paths: Sequence[str]) -> list[str]:
    if not commits.count:
        return []
    number = counted(commits.count, "commit")
    lines = [f"  {verb} {number} in {', '.join(paths)}:"]
    lines += [f"    {one_line(line)}" for line in commits.listed]
    rest = commits.count - len(commits.listed)
    return [*lines, f"    … and {rest} more"] if rest > 0 else lines
