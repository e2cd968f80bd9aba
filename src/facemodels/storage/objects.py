"""Which objects a registered version is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from facemodels.errors import IntegrityError
from facemodels.registry.state import Entry
from facemodels.storage.places import Child, Place


@dataclass(frozen=True)
class Objects:
    """The objects of one version.

    Attributes:
        id: for example `rec-facenet-v2.1.3`.
        folder: id of the `.dir` object.
        children: its files.
    """

    id: str
    folder: str
    children: tuple[Child, ...]

    @property
    def oids(self) -> tuple[str, ...]:
        """All, the folder's own last: who finds it there finds the rest there too."""
        return (*dict.fromkeys(child.oid for child in self.children), self.folder)


def folder_of(entry: Entry) -> str | None:
    """Id of the `.dir` object of a version; None for one that was registered without DVC."""
    recorded = str(entry.evidence.get("dvc", ""))
    return recorded.removeprefix("md5:") or None


def objects_of(entry: Entry, places: Sequence[Place]) -> Objects:
    """The objects of a version, from the first place that has its list.

    Raises:
        IntegrityError: no place has it, or it is not what its name says anywhere.
    """
    folder = folder_of(entry)
    if folder is None:
        raise IntegrityError(f"{entry.id} was registered without a folder that DVC tracks")
    problem: IntegrityError | None = None
    for place in places:
        try:
            return Objects(entry.id, folder, tuple(place.children(folder)))
        except IntegrityError as error:
            problem = error
    raise problem or IntegrityError(f"no place to look for {entry.id}")


def users(objects: Iterable[Objects]) -> dict[str, tuple[str, ...]]:
    """The versions that each object belongs to."""
    found: dict[str, list[str]] = {}
    for one in objects:
        for oid in one.oids:
            found.setdefault(oid, []).append(one.id)
    return {oid: tuple(sorted(ids)) for oid, ids in found.items()}
