"""Which objects Git's revisions need besides the packages of archived versions.

An object of an archived package may be needed elsewhere: by a dataset, by what a training wrote,
by a copy that somebody keeps as a baseline. The DVC files of every ref are read (branches here
and of remotes, tags, stashes, experiments; tags of archived versions are left out), and those of
the working tree, committed or not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from facemodels import dvc_files
from facemodels.errors import IntegrityError, ParamsError
from facemodels.git import Git
from facemodels.storage.retention.git_files import files_of_refs
from facemodels.storage.stores.object_store import FolderFile, ObjectStore

_OID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
_READERS = 16  # requests at once


class FolderLists:
    """Reads the lists of folders, each once.

    Args:
        stores: where the lists may be, the nearest store first.
    """

    def __init__(self, stores: Sequence[ObjectStore]) -> None:
        self._stores = stores
        self._known: dict[str, tuple[FolderFile, ...] | None] = {}

    def read(self, oids: Iterable[str]) -> dict[str, tuple[FolderFile, ...]]:
        """The files of folders, by id; folders whose list is whole nowhere are left out."""
        wanted = list(dict.fromkeys(oids))
        new = [oid for oid in wanted if oid not in self._known]
        with ThreadPoolExecutor(_READERS) as pool:
            self._known.update(zip(new, pool.map(self._read, new), strict=True))
        found = {oid: self._known[oid] for oid in wanted}
        return {oid: files for oid, files in found.items() if files is not None}

    def _read(self, oid: str) -> tuple[FolderFile, ...] | None:
        for store in self._stores:
            try:
                return tuple(store.children(oid))
            except IntegrityError:
                continue
        return None


@dataclass
class ReachableObjects:
    """What revisions and the working tree need.

    Attributes:
        oids: the ids of the objects.
        unread: the ids of folders that are needed and whose list is nowhere.
        pointers: the files of the working tree that still name an archived package.
    """

    oids: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    pointers: set[str] = field(default_factory=set)


def find_reachable(
    git: Git,
    lists: FolderLists,
    archived: Mapping[str, str],
    candidates: Collection[str],
    left_out: Collection[str],
) -> ReachableObjects:
    """Find the objects that Git's revisions and the working tree need.

    Args:
        git: Git in the clone.
        lists: reads the lists of folders.
        archived: the path of each archived package in the repository, by the id of its folder.
        candidates: the ids of objects that may be deleted; only files that name one of these are
            parsed.
        left_out: the names of tags that do not count, as they are of archived versions.
    """
    found = ReachableObjects()
    folders: set[str] = set()
    special = archived.keys() | set(candidates)
    for where, text, is_here in _files(git, left_out):
        named = {match.decode() for match in _OID.findall(text)}
        own = named & special
        folders |= {oid for oid in named - own if oid.endswith(".dir")}
        if not own:
            continue
        for path, oid in _outputs(where, text):
            if oid in archived and path == archived[oid]:
                found.pointers |= {where} if is_here else set()
            elif oid in own:
                found.oids.add(oid)
                folders |= {oid} if oid.endswith(".dir") else set()
    known = lists.read(folders)
    found.unread = folders - known.keys()
    found.oids |= folders
    found.oids |= {child.oid for files in known.values() for child in files}
    return found


def _files(git: Git, left_out: Collection[str]) -> Iterator[tuple[str, bytes, bool]]:
    """Yield path and text of every DVC file, and whether it lies in the working tree."""
    for path, text in files_of_refs(git, left_out):
        yield path, text, False
    for path in dvc_files.working_files(git):
        yield path, (git.root / path).read_bytes(), True


def _outputs(where: str, text: bytes) -> list[tuple[str, str]]:
    """The outputs of a DVC file; one that does not parse counts as if all ids were outputs.

    So rather too much is kept than too little.
    """
    try:
        return dvc_files.read_outputs(text.decode(errors="replace"), where)
    except ParamsError:
        return [("", match.decode()) for match in _OID.findall(text)]
