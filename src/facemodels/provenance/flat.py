"""Nested values as flat keys, and the changes between two sets of them. Pure.

A key is a tuple of its parts, because a part such as `failure_rate_at_0.08` can hold a dot. A
list counts as one value. The parts are joined by dots only where text is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from facemodels.text import short

Key = tuple[str, ...]
Flat = Mapping[Key, Any]


@dataclass(frozen=True, slots=True)
class ValueChange:
    """A value that was added, removed or changed.

    Attributes:
        key: the flat key of the value.
        kind: added, removed or changed.
        before: the old value; None if it was added.
        after: the new value; None if it was removed.
    """

    key: Key
    kind: Literal["added", "removed", "changed"]
    before: Any
    after: Any

    @property
    def name(self) -> str:
        """The key with its parts joined by dots, for example `train.steps`."""
        return ".".join(self.key)

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them, the key also as a list of its parts."""
        return {
            "key": self.name,
            "parts": list(self.key),
            "kind": self.kind,
            "before": self.before,
            "after": self.after,
        }

    def __str__(self) -> str:
        if self.kind == "added":
            return f"{self.name} {short(self.after)} (new)"
        if self.kind == "removed":
            return f"{self.name} (was {short(self.before)})"
        return f"{self.name} {short(self.before)} → {short(self.after)}"


def flatten(values: Mapping[str, Any]) -> dict[Key, Any]:
    """Flatten nested mappings: each value by its flat key. An empty mapping counts as a value."""
    return dict(_walk(values, ()))


def _walk(values: Mapping[str, Any], above: Key) -> Iterator[tuple[Key, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _walk(value, (*above, name))
        else:
            yield (*above, name), value


def changes(before: Flat, after: Flat) -> tuple[ValueChange, ...]:
    """Find what was added, removed or changed, sorted by key."""
    found = []
    for key in sorted(before.keys() | after.keys()):
        if key not in before:
            found.append(ValueChange(key, "added", None, after[key]))
        elif key not in after:
            found.append(ValueChange(key, "removed", before[key], None))
        elif not same(before[key], after[key]):
            found.append(ValueChange(key, "changed", before[key], after[key]))
    return tuple(found)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same parameter: 1 equals 1.0, but not `true`."""
    return bool(a == b) and isinstance(a, bool) == isinstance(b, bool)


def summary(found: Sequence[ValueChange]) -> str:
    """Count the changes of each kind, for example `2 changed, 1 new, 1 gone`."""
    words = {"changed": "changed", "added": "new", "removed": "gone"}
    counts = {kind: sum(change.kind == kind for change in found) for kind in words}
    return ", ".join(f"{counts[kind]} {word}" for kind, word in words.items() if counts[kind])
