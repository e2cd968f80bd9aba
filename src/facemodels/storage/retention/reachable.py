"""What Git's revisions refer to besides the packages of retired versions.

A file of a retired package may be a file of something else: of a dataset, of what a training
wrote, of a copy that somebody keeps as a baseline. Looked at are the files that every ref
leads to (branches here and of remotes, tags, stashes, experiments), tags of retired versions
excepted, and the working tree with what is not committed yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from facemodels import dvc_files
from facemodels.errors import IntegrityError, ParamsError
from facemodels.git import Git
from facemodels.registry.reading import HEAD
from facemodels.storage.stores.object_store import Child, Place

_OID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?:\.dir)?(?![0-9a-f])")
_READERS = 16  # requests at once
_FOLDER, _LINK = b"40000", b"160000"  # modes in trees; the second is a submodule's


class Lists:
    """The lists of folders, each read once.

    Args:
        places: where they may be, the nearest first.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._known: dict[str, tuple[Child, ...] | None] = {}

    def read(self, oids: Iterable[str]) -> dict[str, tuple[Child, ...]]:
        """The files of folders, by id; those whose list is whole nowhere are left out."""
        wanted = list(dict.fromkeys(oids))
        new = [oid for oid in wanted if oid not in self._known]
        with ThreadPoolExecutor(_READERS) as pool:
            self._known.update(zip(new, pool.map(self._read, new), strict=True))
        found = {oid: self._known[oid] for oid in wanted}
        return {oid: files for oid, files in found.items() if files is not None}

    def _read(self, oid: str) -> tuple[Child, ...] | None:
        for place in self._places:
            try:
                return tuple(place.children(oid))
            except IntegrityError:
                continue
        return None


@dataclass
class References:
    """What is referred to.

    Attributes:
        oids: of the objects.
        unread: folders that somebody refers to and whose list is nowhere.
        pointers: files of the working tree that still name a retired package.
    """

    oids: set[str] = field(default_factory=set)
    unread: set[str] = field(default_factory=set)
    pointers: set[str] = field(default_factory=set)


def references(
    git: Git,
    lists: Lists,
    retired: Mapping[str, str],
    candidates: Collection[str],
    gone: Collection[str],
) -> References:
    """The objects that Git's revisions and the working tree need.

    Args:
        git: of the clone.
        lists: of folders.
        retired: path of each retired package in the repository, by the id of its folder.
        candidates: objects that may be deleted; only these are looked for with care.
        gone: tags that do not count, as they are of retired versions.
    """
    found = References()
    folders: set[str] = set()
    special = retired.keys() | set(candidates)
    for where, text, here in _files(git, gone):
        named = {match.decode() for match in _OID.findall(text)}
        own = named & special
        folders |= {oid for oid in named - own if oid.endswith(".dir")}
        if not own:
            continue
        for path, oid in _outs(where, text.decode(errors="replace")):
            if oid in retired and path == retired[oid]:
                found.pointers |= {where} if here else set()
            elif oid in own:
                found.oids.add(oid)
                folders |= {oid} if oid.endswith(".dir") else set()
    known = lists.read(folders)
    found.unread = folders - known.keys()
    found.oids |= folders
    found.oids |= {child.oid for files in known.values() for child in files}
    return found


def _files(git: Git, gone: Collection[str]) -> Iterator[tuple[str, bytes, bool]]:
    """Every dvc.lock and `.dvc` file: path, text, and whether it lies in the working tree."""
    held = set(_blobs(git, _trees(git, gone)))
    texts = _read(git, "blob", {oid for _, oid in held})
    for path, oid in sorted(held):
        yield path, texts[oid], False
    listed = git.raw("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in sorted(set(listed.split(b"\0"))):
        path = os.fsdecode(name)
        if _is_pointer(path) and (git.root / path).is_file():
            yield path, (git.root / path).read_bytes(), True


def _is_pointer(path: str) -> bool:
    name = PurePosixPath(path).name
    return name == "dvc.lock" or name.endswith(".dvc")


def _outs(where: str, text: str) -> Iterator[tuple[str, str]]:
    """Path in the repository and id of every output of a dvc.lock or a `.dvc` file.

    A file that cannot be parsed counts as if everything in it were an output: rather too much
    is kept.
    """
    folder = PurePosixPath(where).parent
    try:
        values = dvc_files.parse_yaml(text, where)
        stages = values.get("stages") or {"": values}
        outs = [out for stage in stages.values() for out in stage.get("outs") or ()]
        if "wdir" in values:
            folder /= str(values["wdir"])
        found = [
            (os.path.normpath(folder / str(out["path"])), str(out["md5"]))
            for out in outs
            if "md5" in out
        ]
    except (ParamsError, AttributeError, TypeError, KeyError):
        found = [("", match.decode()) for match in _OID.findall(text.encode())]
    yield from found


# --- Git, many objects a call ------------------------------------------------------------


def _trees(git: Git, gone: Collection[str]) -> set[str]:
    """The trees of all refs and of HEAD."""
    skipped = {HEAD, *(f"refs/tags/{tag}" for tag in gone)}
    fields = "%(refname) %(tree) %(*tree)"
    lines = git.text("for-each-ref", f"--format={fields}").splitlines()
    refs = (line.split() for line in lines)
    trees = {words[-1] for words in refs if words[0] not in skipped and len(words) > 1}
    head = git.text("rev-parse", "--verify", "--quiet", "HEAD^{tree}")
    return trees | {head}


def _blobs(git: Git, trees: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Path and id of every pointer below some trees, level by level, each tree read once."""
    level = {("", oid) for oid in trees}
    seen: set[tuple[str, str]] = set()
    while level:
        seen |= level
        texts = _read(git, "tree", {oid for _, oid in level})
        below = set()
        for prefix, tree in level:
            for mode, name, oid in _entries(texts[tree], len(tree) // 2):
                path = prefix + os.fsdecode(name)
                if mode == _FOLDER:
                    below.add((f"{path}/", oid))
                elif mode != _LINK and _is_pointer(path):
                    yield path, oid
        level = below - seen


def _entries(tree: bytes, size: int) -> Iterator[tuple[bytes, bytes, str]]:
    """Mode, name and id of a tree's entries, from Git's own form: `<mode> <name>\\0<id>`."""
    start = 0
    while start < len(tree):
        end = tree.index(b"\0", start)
        mode, name = tree[start:end].split(b" ", 1)
        start = end + 1 + size
        yield mode, name, tree[end + 1 : start].hex()


def _read(git: Git, kind: str, oids: Collection[str]) -> dict[str, bytes]:
    """Git objects by id."""
    if not oids:
        return {}
    output = git.raw("cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode())
    found: dict[str, bytes] = {}
    start = 0
    while start < len(output):
        end = output.index(b"\n", start)
        words = output[start:end].decode().split(" ")
        if len(words) != 3 or words[1] != kind:
            raise IntegrityError(
                f"Git's object {words[0]} is {' '.join(words[1:])}, not a {kind}.",
                "This clone is broken or partial: `git fsck`, `git fetch --refetch`.",
            )
        found[words[0]] = output[end + 1 : end + 1 + int(words[2])]
        start = end + 2 + int(words[2])
    return found
