"""The dvc.lock and `.dvc` files at the tips of all Git refs, many objects with each git command.

Objects are read by `git cat-file --batch`: neither dulwich nor pygit2 fetches the blobs that a
partial clone (`git clone --filter=blob:none`) lacks.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from facemodels import dvc_files
from facemodels.errors import IntegrityError
from facemodels.git import Git
from facemodels.registry.reading import HEAD

_FOLDER, _SUBMODULE = 0o40000, 0o160000  # modes in trees


def files_of_refs(git: Git, left_out: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """Yield path and text of every dvc.lock and `.dvc` file that a ref or HEAD leads to.

    A file that is the same in several refs is yielded once.

    Args:
        git: Git in the clone.
        left_out: the names of tags that do not count.

    Raises:
        IntegrityError: the clone is broken.
    """
    found = set(_walk(git, _trees(git, left_out)))
    texts = _read(git, "blob", {oid for _, oid in found})
    for path, oid in sorted(found):
        yield path, texts[oid]


def _trees(git: Git, left_out: Collection[str]) -> set[str]:
    """The ids of the trees of all refs and of HEAD."""
    skipped = {HEAD, *(f"refs/tags/{tag}" for tag in left_out)}
    fields = "%(refname) %(tree) %(*tree)"
    lines = git.text("for-each-ref", f"--format={fields}").splitlines()
    refs = (line.split() for line in lines)
    trees = {words[-1] for words in refs if words[0] not in skipped and len(words) > 1}
    head = git.text("rev-parse", "--verify", "--quiet", "HEAD^{tree}")
    return trees | {head}


def _walk(git: Git, trees: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield path and blob id of every DVC file below trees, level by level, each tree once."""
    from dulwich.objects import parse_tree

    level = {("", oid) for oid in trees}
    seen: set[tuple[str, str]] = set()
    while level:
        seen |= level
        texts = _read(git, "tree", {oid for _, oid in level})
        below = set()
        for prefix, tree in level:
            for name, mode, oid in parse_tree(texts[tree], len(tree) // 2):
                path = prefix + os.fsdecode(name)
                if mode == _FOLDER:
                    below.add((f"{path}/", oid.decode()))
                elif mode != _SUBMODULE and dvc_files.is_dvc_file(path):
                    yield path, oid.decode()
        level = below - seen


def _read(git: Git, kind: str, oids: Collection[str]) -> dict[str, bytes]:
    """Read Git objects of one kind, by id."""
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
