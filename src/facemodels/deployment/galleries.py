"""The galleries that an environment answers from: whether a version finds people in them.

A gallery keeps the faces of several embedding spaces side by side. While a version with a new
space comes to production, each version answers from its own, and the way back needs no faces anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from facemodels.errors import RuleError
from facemodels.gallery.spaces import gallery_folder, spaces_of
from facemodels.names import ModelId
from facemodels.registry.state import Entry

_WITH_SPACE = ("recognition", "system")  # tasks whose embeddings galleries hold


def spaces_for(root: Path, galleries: Sequence[str], entry: Entry) -> tuple[str, ...]:
    """The embedding spaces that all galleries of an environment have, for one of its versions.

    A gallery without any face hinders nothing: nobody is lost with it.

    Args:
        root: of the repository.
        galleries: their names.
        entry: a version that is to be deployed.

    Raises:
        RuleError: a gallery has faces of other spaces only, or is not in this clone.
    """
    space = _space_of(entry)
    if ModelId.parse(entry.id).name.task not in _WITH_SPACE:
        return ()
    found = []
    for name in galleries:
        folder = gallery_folder(name, root)
        present = spaces_of(folder)
        if not present and folder.with_name(f"{folder.name}.dvc").is_file():
            raise RuleError(
                f"the gallery {name} is not in this clone, so nobody knows whether {entry.id} "
                f"finds people in it.",
                f"Fetch it: dvc pull {folder.relative_to(root)}.dvc",
            )
        if present and space not in present:
            raise RuleError(
                f"the gallery {name} has faces of {' and '.join(present)}, and {entry.id} answers "
                f"in {space or 'no embedding space'}: it would know nobody.",
                f"First: facemodels gallery migrate {name} --to {entry.id}",
            )
        found.append(set(present))
    known = [spaces for spaces in found if spaces]
    return tuple(sorted(set.intersection(*known))) if known else ()


def plan_for(galleries: Sequence[str], spaces: Sequence[str], entry: Entry, now: Entry) -> str:
    """What galleries show of how people are found by a version of another space; "" if nothing.

    Args:
        galleries: their names.
        spaces: those of `spaces_for`.
        entry: the version that is to be deployed.
        now: the version in production.
    """
    if _space_of(entry) == _space_of(now) or not spaces:
        return ""
    return f"the galleries {', '.join(galleries)} have faces of {' and '.join(spaces)}"


def _space_of(entry: Entry) -> str:
    return str(entry.facts.get("interface", {}).get("embedding_space") or "")
