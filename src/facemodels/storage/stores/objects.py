"""The objects that a registered version is made of, and the ids that Git's files name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from facemodels import dvc_files
from facemodels.errors import IntegrityError, ToolError
from facemodels.git import Git
from facemodels.registry.state import Entry, State
from facemodels.storage.stores.object_store import FolderFile, ObjectStore


@dataclass(frozen=True)
class VersionObjects:
    """The objects of one version.

    Attributes:
        id: the version, for example `rec-facenet-v2.1.3`.
        folder: the id of its `.dir` object.
        children: the files of its folder.
    """

    id: str
    folder: str
    children: tuple[FolderFile, ...]

    @property
    def oids(self) -> tuple[str, ...]:
        """The ids of all objects, the folder's own last.

        Objects are sent in this order, so that a store which has the list has the files too.
        """
        return (*dict.fromkeys(child.oid for child in self.children), self.folder)


def folder_of(entry: Entry) -> str | None:
    """The id of a version's `.dir` object; None for a version that was registered without DVC."""
    recorded = str(entry.evidence.get("dvc", ""))
    return recorded.removeprefix("md5:") or None


def objects_of(entry: Entry, stores: Iterable[ObjectStore]) -> VersionObjects:
    """Read the objects of a version from the first store that has its list.

    Raises:
        IntegrityError: no store has the list, or it is damaged in all that have it.
        ToolError: no store that answers has the list, and another store does not answer.
    """
    folder = folder_of(entry)
    if folder is None:
        raise IntegrityError(f"{entry.id} was registered without a folder that DVC tracks")
    away: ToolError | None = None
    asked = []
    for store in stores:
        asked.append(store.name)
        try:
            return VersionObjects(entry.id, folder, tuple(store.children(folder)))
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


def read_lists(
    entries: Iterable[Entry], stores: Callable[[], Iterable[ObjectStore]]
) -> tuple[list[VersionObjects], IntegrityError | None]:
    """Read the objects of versions, and the first error of those whose list is whole nowhere.

    Args:
        entries: the versions.
        stores: gives the stores to look in; it is called once for each version.

    Raises:
        ToolError: see `objects_of`.
    """
    found, unknown = [], None
    for entry in entries:
        try:
            found.append(objects_of(entry, stores()))
        except IntegrityError as error:
            unknown = unknown or error
    return found, unknown


def stored_versions(state: State) -> list[Entry]:
    """The versions whose objects must be in the remotes: tracked by DVC and not archived."""
    return [
        entry
        for entry in state.entries.values()
        if folder_of(entry) is not None and entry.id not in state.archived
    ]


def versions_by_object(objects: Iterable[VersionObjects]) -> dict[str, tuple[str, ...]]:
    """The ids of the versions that each object belongs to, by object id."""
    found: dict[str, list[str]] = {}
    for one in objects:
        for oid in one.oids:
            found.setdefault(oid, []).append(one.id)
    return {oid: tuple(sorted(ids)) for oid, ids in found.items()}


def ids_in_git(git: Git) -> set[str]:
    """Every object id that a dvc.lock or a `.dvc` file ever named.

    All commits of all refs, the reflog, the index and the working tree are read. The files of a
    folder whose id is found are not looked up.

    DVC's own `used_objs` finds less: here dependencies and deleted stages count too, and commits
    whose dvc.yaml no longer parses. What decides on deletion must rather name too much.
    """
    found: set[str] = set()
    # A pathspec with a wildcard finds nothing here (git 2.39): the names are looked at below.
    lines = git.raw("rev-list", "--all", "--reflog", "--indexed-objects", "--objects").splitlines()
    blobs = [line.split(b" ", 1)[0] for line in lines if line.endswith((b".dvc", b"dvc.lock"))]
    if blobs:
        listed = b"".join(blob + b"\n" for blob in dict.fromkeys(blobs))
        found |= dvc_files.recorded_ids(git.raw("cat-file", "--batch", "--buffer", stdin=listed))
    for path in dvc_files.working_files(git):
        found |= dvc_files.recorded_ids((git.root / path).read_bytes())
    return found


def with_children(oids: Iterable[str], stores: Sequence[ObjectStore]) -> set[str]:
    """Add to object ids those of the files of each folder whose list a store has."""
    found = set(oids)
    for oid in [oid for oid in found if oid.endswith(".dir")]:
        for store in stores:
            try:
                found.update(child.oid for child in store.children(oid))
            except IntegrityError:
                continue
            break
    return found


def is_linked(cache: ObjectStore, oid: str) -> bool:
    """Whether files beside an object of the cache are the same file, by hard links.

    Such a file of a working tree keeps its bytes when the object is replaced.
    """
    path = Path(cache.path(oid))
    return path.exists() and path.stat().st_nlink > 1


def name_versions(found: Mapping[str, tuple[str, ...]], oid: str) -> str:
    """The versions that an object belongs to, as a text for messages."""
    return ", ".join(found.get(oid, ())) or "no registered version"
