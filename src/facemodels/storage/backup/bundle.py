"""The registry and the code as one file: a Git bundle with every ref."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from facemodels.errors import InputError
from facemodels.git import Git
from facemodels.registry.reading import HEAD

# Refs that belong to one clone alone.
_PRIVATE = ("refs/stash", "refs/exps/", "refs/bisect/")


def read_refs(git: Git) -> dict[str, str]:
    """The object ids of HEAD and of all refs that others should have, by full name.

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
    """The hexadecimal SHA-256 of refs; a backup with the same digest needs no new bundle."""
    lines = "".join(f"{oid} {ref}\n" for ref, oid in sorted(refs.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def name_of(sha256: str) -> str:
    """The name of a bundle in a backup, which holds the digest of the bundle."""
    return f"registry/bundles/{sha256}.bundle"


def write_bundle(git: Git, refs: Mapping[str, str], path: Path) -> None:
    """Write a bundle with these refs and all commits that they lead to.

    Raises:
        GitError: git failed, or a ref has moved in the meantime.
    """
    names = "".join(f"{name}\n" for name in refs)
    git.text("bundle", "create", "--quiet", str(path), "--stdin", stdin=names)


def heads(path: Path, git: Git) -> dict[str, str]:
    """The object ids of the refs in a bundle, by full name.

    Raises:
        GitError: the file is no bundle.
    """
    listed = git.text("bundle", "list-heads", str(path))
    pairs = (line.split(" ", 1) for line in listed.splitlines())
    return {name: oid for oid, name in pairs}


def unpack(path: Path, folder: Path) -> Git:
    """Make a clone from nothing but a bundle, with all tags, the registry's head and no remote.

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
    """The object id of the registry's last event; "" where there is none."""
    return refs.get(HEAD, "")
