"""Git's working tree and branch: what is changed, and the commit and push of a release."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from facemodels.errors import ConflictError, InputError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry.remote import RegistryRemote
from facemodels.release.plan import SUBJECT

_PULL = "Run `git pull --rebase --autostash` and the same command again."
_DROP = (
    'If theirs is a release of the same model, drop yours ("{last}", the last commit here): '
    "`git reset --keep HEAD~1 && git pull --rebase`, and see what is left to "
    "release. If not: `git pull --rebase`, and run the same command again."
)


@dataclass(frozen=True)
class Branch:
    """The branch that is checked out, and the remote that it is pushed to.

    Attributes:
        name: the name of the branch, for example `main`.
        remote: the name of the remote; "" if there is none.
        ref: the full name of the branch on the remote.
        tracked: whether Git has recorded the remote as its upstream.
    """

    name: str
    remote: str
    ref: str
    tracked: bool


def read(git: Git, fallback: RegistryRemote | None) -> Branch:
    """Read which branch of a clone is checked out.

    Args:
        git: Git in the clone.
        fallback: the remote for a branch without an upstream; None if nothing is pushed.

    Raises:
        InputError: no branch is checked out.
    """
    try:
        name = git.text("symbolic-ref", "--quiet", "--short", "HEAD")
    except GitError as error:
        raise InputError(
            "No branch is checked out (detached HEAD, a rebase or a bisect).",
            "Change to the branch that is released from: git switch main",
        ) from error
    upstream = git.config(f"branch.{name}.remote")
    ref = git.config(f"branch.{name}.merge") or f"refs/heads/{name}"
    remote = "" if fallback is None else upstream or fallback.name
    return Branch(name, remote, ref, tracked=bool(upstream))


def require_up_to_date(git: Git, branch: Branch) -> None:
    """Check that the branch on the remote has no commits that are not here. Nothing is fetched.

    Raises:
        ConflictError: it has such commits.
        ToolError: the remote cannot be reached.
    """
    if not branch.remote:
        return
    if _is_behind(git, branch):
        ours = _unpushed_release(git)
        raise ConflictError(
            f"{branch.name} is behind {branch.remote}: it has commits that are not here.",
            f"Nothing was changed. {_DROP.format(last=ours) if ours else _PULL}",
        )


def _is_behind(git: Git, branch: Branch) -> bool:
    """Whether the branch on the remote has commits that are not here."""
    listed = git.text("ls-remote", branch.remote, branch.ref)
    return bool(listed) and not contains(git, listed.split("\t")[0])


def _unpushed_release(git: Git) -> str:
    """The subject of the last commit if it is a release that was never pushed, or else ""."""
    try:
        # Plumbing: `log.showSignature` and the like put other lines into `git log`.
        oids = git.text("rev-list", "--max-count=1", "@{upstream}..HEAD")
        subjects = git.text("show", "--no-show-signature", "--no-patch", "--format=%s", oids)
    except GitError:
        return ""
    return subjects if oids and subjects.startswith(SUBJECT) else ""


def contains(git: Git, oid: str) -> bool:
    """Whether HEAD contains a commit; False for one that was never fetched."""
    try:
        git.text("merge-base", "--is-ancestor", oid, "HEAD")
    except GitError:
        return False
    return True


@dataclass(frozen=True)
class FileChange:
    """A file that differs from HEAD.

    Attributes:
        path: its path from the root of the repository.
        untracked: whether Git does not track it.
    """

    path: str
    untracked: bool


def changes(git: Git) -> list[FileChange]:
    """List the files that differ from HEAD, in the index or the working tree, and new files."""
    fields = git.text("status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    return [FileChange(item[3:], item.startswith("??")) for item in fields.split("\0") if item]


def foreign(found: Iterable[FileChange], own: Collection[str], deps: Collection[str]) -> list[str]:
    """Find changed files that do not belong to the release.

    Args:
        found: the files that differ from HEAD.
        own: the files and folders that the release writes.
        deps: the paths that the stages read. An untracked file below one of them counts, because
            a fresh clone would not have it; other untracked files do not count.
    """
    return [
        change.path
        for change in found
        if not _covering(change.path, own)
        and (not change.untracked or _covering(change.path, deps))
    ]


def _covering(path: str, places: Iterable[str]) -> str:
    """The first file or folder that a path is, or lies in; "" if there is none."""
    return next((one for one in places if path == one or path.startswith(f"{one}/")), "")


def commit(git: Git, files: Collection[str], message: str) -> bool:
    """Commit those of the files that differ from HEAD, and nothing else that is staged.

    Returns:
        Whether there was anything to commit.

    Raises:
        GitError: a hook, or git, refused.
    """
    paths = [change.path for change in changes(git) if _covering(change.path, files)]
    if not paths:
        return False
    git.text("add", "--all", "--", *paths)
    # --only takes the paths named, and leaves alone what the user staged in the meantime.
    git.text("commit", "--quiet", "--only", "--file=-", "--", *paths, stdin=message)
    return True


def push(git: Git, branch: Branch, release: str) -> None:
    """Push the branch.

    Args:
        git: Git in the clone.
        branch: the branch that is checked out.
        release: the subject of the release's commit.

    Raises:
        ConflictError: somebody else pushed first.
        ToolError: the remote refused the branch.
    """
    options = [] if branch.tracked else ["--set-upstream"]
    try:
        git.text("push", "--quiet", *options, branch.remote, f"HEAD:{branch.ref}")
        require_there(git, branch)
    except GitError as error:
        if _is_behind(git, branch):
            raise _overtaken(branch, release) from error
        name = "-".join(release.lower().split()[:3]).replace("release-", "release/", 1)
        raise ToolError(
            f"{branch.remote} did not take {branch.name}: {error.stderr}",
            "No tag was made. Settle it with the remote and run the same command again. Where the "
            "branch is protected, send a pull request: "
            f"git switch --create {name} && "
            f"git branch --force {branch.name} {branch.remote}/{branch.name} && "
            f"git push --set-upstream {branch.remote} HEAD. After the merge (a squash will do) "
            f"`git switch {branch.name} && git pull`, and the same command makes the tag.",
        ) from error


def require_there(git: Git, branch: Branch) -> None:
    """Check that the remote has the branch as it is here.

    Raises:
        ToolError: it has not, though the push said nothing: `push.recurseSubmodules=only` pushes
            submodules alone.
    """
    listed = git.text("ls-remote", branch.remote, branch.ref)
    if listed.split("\t")[0] != git.commit("HEAD"):
        raise ToolError(
            f"git pushed {branch.name} without an error, and {branch.remote} does not have it.",
            "No tag was made. See what `git config --get-regexp push` sets, and run the same "
            "command again.",
        )


def _overtaken(branch: Branch, release: str) -> ConflictError:
    return ConflictError(
        f"Somebody pushed to {branch.remote} first, so {branch.name} was not taken.",
        f"No tag was made. {_DROP.format(last=release)}",
    )


def abandon(
    found: Sequence[FileChange], own: Collection[str], folder: str, stages: Sequence[str]
) -> str:
    """The commands that undo what a release changed, and nothing else; "" if it changed nothing.

    Args:
        found: the files that differ from HEAD.
        own: the files and folders that a release writes.
        folder: the folder of the new package; Git ignores it until .gitignore is restored.
        stages: the stages whose outputs come back from DVC's cache.
    """
    mine = [(_covering(change.path, own), change.untracked) for change in found]
    mine = [(place, untracked) for place, untracked in mine if place]
    edited = dict.fromkeys(place for place, untracked in mine if not untracked)
    added = [*dict.fromkeys(place for place, untracked in mine if untracked), folder]
    if not mine:
        return ""
    commands = [f"git restore --staged --worktree -- {' '.join(edited)}"] if edited else []
    commands += [
        f"git clean -d --force --quiet -- {' '.join(added)}",
        f"dvc checkout {' '.join(stages)}",
    ]
    return " && ".join(commands)
