"""Tries what the end of a release needs, before anything is built.

Rules that a host applies to a real push alone (a protected branch, hooks) cannot be tried, nor can
a pre-commit hook, which judges files that are not made yet.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from pathlib import Path

from facemodels.errors import FacemodelsError, InputError, ToolError
from facemodels.git import Git, GitError
from facemodels.release.branch import Branch, require_up_to_date

# What Git is in the middle of while this is in its folder; `git commit --only` refuses each.
_UNDER_WAY = {
    "MERGE_HEAD": "a merge", "CHERRY_PICK_HEAD": "a cherry-pick", "REVERT_HEAD": "a revert",
}  # fmt: skip
_NO_HOOK_COMMAND = "is not a git command"  # before Git 2.36
_TRIAL = b"facemodels tries whether this remote can be written\n"
_PATIENCE_S = 10  # a store that is away for longer may be away for hours
_NOT_BUILT = "Nothing was built."


def rehearse_branch(git: Git, branch: Branch, message: str) -> None:
    """Try what the commit and the push of a release need.

    Args:
        git: Git in the clone.
        branch: the branch that is checked out.
        message: of the release's commit, as far as it is known.

    Raises:
        ConflictError: the branch on the remote has commits that are not here.
        InputError: Git is in the middle of something, or knows no author.
        ToolError: git cannot sign a commit, a hook refuses its message, the index is locked, or
            the remote refuses a trial push of the branch.
    """
    _require_idle(git)
    _require_author(git)
    _require_message(git, message)
    _require_signature(git)
    if branch.remote:
        _require_push(git, branch)


def _require_idle(git: Git) -> None:
    folder = git.root / git.text("rev-parse", "--git-dir")
    for name, act in _UNDER_WAY.items():
        if (folder / name).exists():
            raise InputError(
                f"{act} is under way, and Git commits no single files then.",
                f"Finish it with `git commit`, or give it up. {_NOT_BUILT}",
            )
    lock = folder / "index.lock"
    if lock.exists():
        raise ToolError(
            f"{lock} locks the index, so nothing can be committed.",
            f"If no other git runs here, remove it. {_NOT_BUILT}",
        )


def _require_author(git: Git) -> None:
    try:
        git.text("var", "GIT_AUTHOR_IDENT")
    except GitError as error:
        raise InputError(
            f"git does not know who writes the release's commit: {error.stderr}",
            'git config --global user.name "Your Name"; '
            f"git config --global user.email you@example.org. {_NOT_BUILT}",
        ) from error


def _require_message(git: Git, message: str) -> None:
    """Have the commit-msg hook judge the message, as the commit will."""
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        file = Path(scratch, "COMMIT_EDITMSG")
        file.write_text(message, encoding="utf-8")
        try:
            git.text("hook", "run", "--ignore-missing", "commit-msg", "--", str(file))
        except GitError as error:
            if _NO_HOOK_COMMAND in error.stderr:
                return
            raise ToolError(
                f"the hook commit-msg refuses the release's message: {error.stderr}",
                f"Give the words that it asks for in --message, or mend the hook. {_NOT_BUILT}",
            ) from error


def _require_signature(git: Git) -> None:
    try:
        if git.config("commit.gpgsign").lower() in ("true", "yes", "on", "1"):
            # An object that nothing names; Git drops it in time.
            git.text("commit-tree", "-S", "-m", "Trial", "HEAD^{tree}")
    except GitError as error:
        raise ToolError(
            f"git cannot sign a commit, which commit.gpgsign asks for: {error.stderr}",
            "Mend the program and the key (`git config gpg.program`, `user.signingKey`), or "
            f"`git config commit.gpgsign false`. {_NOT_BUILT}",
        ) from error


def _require_push(git: Git, branch: Branch) -> None:
    try:
        git.text("push", "--dry-run", "--quiet", "--no-verify", branch.remote, f"HEAD:{branch.ref}")
    except GitError as error:
        require_up_to_date(git, branch)  # else its words would be those of a remote that refuses
        raise ToolError(
            f"{branch.remote} would not take {branch.name}: {error.stderr}",
            f"Check your access to it. {_NOT_BUILT}",
        ) from error


def rehearse_weights(root: Path, remote: str) -> None:
    """Write a small object to the DVC remote, and take it away again.

    It is stored as DVC stores any object, so one that may not be deleted does no harm.

    Args:
        root: the folder of the repository.
        remote: the name of the DVC remote.

    Raises:
        ToolError: the remote cannot be written.
    """
    from facemodels.storage.stores.retries import Patience
    from facemodels.storage.stores.stores import Stores

    digest = hashlib.md5(_TRIAL, usedforsecurity=False).hexdigest()
    try:
        store = Stores(root, Patience(seconds=_PATIENCE_S)).remote(remote)
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            file = Path(scratch, "trial")
            file.write_bytes(_TRIAL)
            store.put(file, digest)
        with suppress(FacemodelsError, OSError):
            store.delete(digest)
    except (FacemodelsError, OSError) as error:
        raise ToolError(
            f"{remote} takes no weights: {error}",
            f"`facemodels storage doctor` says more. {_NOT_BUILT}",
        ) from error
