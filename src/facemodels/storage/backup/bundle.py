"""The registry and the code as one file: a Git bundle with every ref."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from facemodels.errors import InputError
from facemodels.git import Git
from facemodels.registry.reading import HEAD

# What somebody has put aside in this clone is no part of the repository.
_PRIVATE = ("refs/stash", "refs/exps/", "refs/bisect/")


def read_refs(git: Git) -> dict[str, str]:
    """Object ids of the refs of a clone that others should have, and of HEAD, by full name.

    Raises:
        InputError: the clone is shallow, or has no commit.
        GitError: git failed.
    """
    if git.text("rev-parse", "--is-shallow-repository") == "true":
        raise InputError(
            "This clone is shallow; a bundle of it would be no repository.",
            "Run `git fetch --unshallow --tags`; in CI, check out with full history.",
        )
    listed = git.text("for-each-ref", "--format=%(refname) %(objectname)")
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    refs = {name: oid for name, oid in pairs if not name.startswith(_PRIVATE)}
    return {"HEAD": git.commit("HEAD"), **refs}


def digest_of(refs: Mapping[str, str]) -> str:
    """Hex SHA-256 of refs: the same refs need no new bundle."""
    lines = "".join(f"{oid} {ref}\n" for ref, oid in sorted(refs.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def name_of(sha256: str) -> str:
    """Where a bundle lies in a backup: nothing else ever has its name."""
    return f"registry/bundles/{sha256}.bundle"


def write_bundle(git: Git, refs: Mapping[str, str], path: Path) -> None:
    """Write a bundle with these refs and all that they reach.

    Raises:
        GitError: git failed, or a ref has moved in the meantime.
    """
    names = "".join(f"{name}\n" for name in refs)
    git.text("bundle", "create", "--quiet", str(path), "--stdin", stdin=names)


def heads(path: Path, git: Git) -> dict[str, str]:
    """Object ids of the refs in a bundle, by full name.

    Raises:
        GitError: it is no bundle.
    """
    listed = git.text("bundle", "list-heads", str(path))
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return {name: oid for oid, name in pairs}


def unpack(path: Path, folder: Path) -> Git:
    """A clone from nothing but a bundle: tags and the registry's head too, and no remote.

    Raises:
        GitError: the bundle is damaged.
    """
    outside = Git(path.parent)
    outside.text("clone", "--quiet", "--no-local", str(path), str(folder))
    clone = Git(folder)
    clone.text(
        "fetch", "--quiet", "--force", str(path), "refs/tags/*:refs/tags/*",
        "refs/facemodels/*:refs/facemodels/*",
    )  # fmt: skip
    clone.text("remote", "remove", "origin")
    clone.text("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
    return clone


def registry_head(refs: Mapping[str, str]) -> str:
    """Object id of the registry's last event; "" for none."""
    return refs.get(HEAD, "")
