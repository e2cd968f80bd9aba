"""Which objects a registered version is made of, and which Git needs at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from facemodels.errors import IntegrityError, ToolError
from facemodels.git import Git
from facemodels.registry.state import Entry, State
from facemodels.storage.stores.object_store import Child, Place

# In dvc.lock and `.dvc` files: `md5: <id>`; YAML or a person may have quoted the id.
_RECORDED = re.compile(rb"""md5['"]?:\s*['"]?([0-9a-f]{32}(?:\.dir)?)""")


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


def objects_of(entry: Entry, places: Iterable[Place]) -> Objects:
    """The objects of a version, from the first place that has its list.

    Raises:
        IntegrityError: no place has it, or it is not what its name says anywhere.
        ToolError: no place that answers has it, and another does not answer.
    """
    folder = folder_of(entry)
    if folder is None:
        raise IntegrityError(f"{entry.id} was registered without a folder that DVC tracks")
    away: ToolError | None = None
    asked = []
    for place in places:
        asked.append(place.name)
        try:
            return Objects(entry.id, folder, tuple(place.children(folder)))
        except IntegrityError:
            continue
        except ToolError as error:
            away = error
    if away is not None:
        raise away
    raise IntegrityError(
        f"the list of files of {entry.id} ({folder}) is whole neither in the cache nor elsewhere "
        f"(looked in {', '.join(asked) or 'no place at all'}).",
        "Push it from a clone that has it (`facemodels storage push` there), restore it with "
        f"`facemodels storage restore {entry.id}`, or rebuild it with `dvc repro`.",
    )


def lists_of(
    entries: Iterable[Entry], places: Callable[[], Iterable[Place]]
) -> tuple[list[Objects], IntegrityError | None]:
    """The objects of versions, and the first error of those whose list is nowhere whole.

    Args:
        entries: the versions.
        places: to look in, asked anew for each version.

    Raises:
        ToolError: see `objects_of`.
    """
    found, unknown = [], None
    for entry in entries:
        try:
            found.append(objects_of(entry, places()))
        except IntegrityError as error:
            unknown = unknown or error
    return found, unknown


def kept(state: State) -> list[Entry]:
    """The versions whose objects must be in the remotes: registered by DVC, not archived."""
    return [
        entry
        for entry in state.entries.values()
        if folder_of(entry) is not None and entry.id not in state.archived
    ]


def users(objects: Iterable[Objects]) -> dict[str, tuple[str, ...]]:
    """The versions that each object belongs to."""
    found: dict[str, list[str]] = {}
    for one in objects:
        for oid in one.oids:
            found.setdefault(oid, []).append(one.id)
    return {oid: tuple(sorted(ids)) for oid, ids in found.items()}


def recorded_in_git(git: Git) -> set[str]:
    """Every object id that a dvc.lock or a `.dvc` file ever named, in any commit of any ref or
    in the working tree; folders are not looked into.

    More than DVC's own `used_objs` finds: dependencies and stages that are gone count too. Who
    asks what may be thrown away should hear too much rather than too little, also of commits
    whose dvc.yaml no longer parses.
    """
    found: set[str] = set()
    # A pathspec with a wildcard finds nothing here (git 2.39): the names are looked at below.
    lines = git.raw("rev-list", "--all", "--reflog", "--indexed-objects", "--objects").splitlines()
    blobs = [line.split(b" ", 1)[0] for line in lines if line.endswith((b".dvc", b"dvc.lock"))]
    if blobs:
        listed = b"".join(blob + b"\n" for blob in dict.fromkeys(blobs))
        found.update(_ids(git.raw("cat-file", "--batch", "--buffer", stdin=listed)))
    names = git.raw(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*.dvc", "*dvc.lock"
    )
    for name in filter(None, names.split(b"\0")):
        path = git.root / name.decode()
        if path.is_file():
            found.update(_ids(path.read_bytes()))
    return found


def _ids(text: bytes) -> set[str]:
    return {match.decode() for match in _RECORDED.findall(text)}


def with_children(oids: Iterable[str], places: Sequence[Place]) -> set[str]:
    """Object ids and, for each folder that a place has the list of, those of its files."""
    found = set(oids)
    for oid in [oid for oid in found if oid.endswith(".dir")]:
        for place in places:
            try:
                found.update(child.oid for child in place.children(oid))
            except IntegrityError:
                continue
            break
    return found


def versions_of(found: Mapping[str, tuple[str, ...]], oid: str) -> str:
    """The versions of an object in words."""
    return ", ".join(found.get(oid, ())) or "no registered version"
