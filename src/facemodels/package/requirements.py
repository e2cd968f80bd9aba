"""What a package needs at run time, pinned to what it was built and checked with."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(distributions: Iterable[str]) -> dict[str, str]:
    """Return the version of each distribution and of all that it requires, by canonical name."""
    pinned: dict[str, str] = {}
    waiting = [canonicalize_name(name) for name in distributions]
    while waiting:
        name = waiting.pop()
        if name in pinned:
            continue
        pinned[name] = version(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(canonicalize_name(requirement.name))
    return dict(sorted(pinned.items()))


def text(served: Iterable[str], training: Iterable[str]) -> str:
    """Return requirements.txt: the closure of the served form, and the weights' as a comment."""
    lines = [f"{name}=={pin}" for name, pin in closure(served).items()]
    also = [f"{name}=={_version(name)}" for name in sorted(training)]
    if also:
        lines.append(f"# To train on from the weights: {' '.join(also)}")
    return "\n".join(lines) + "\n"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # a build that calls itself by another name
        return "*"
