"""Runs git with argument lists and without a shell; a failure is an error with a remedy."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from facemodels.errors import InputError, ToolError

_LIMIT_S = 300.0  # time limit of a git command; a fetch over a slow line takes long
_KILL_S = 1.0  # for processes to stop, and to end after SIGKILL
_CANNOT_FORK = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


class GitError(ToolError):
    """A git command gave an exit code other than 0.

    Attributes:
        stderr: what git wrote to standard error.
    """

    def __init__(self, arguments: Sequence[str], stderr: str) -> None:
        self.stderr = stderr.strip()
        words = " ".join(arguments[:2])
        super().__init__(f"git {words} failed: {self.stderr or 'no message'}", _remedy(self.stderr))


def _remedy(stderr: str) -> str:
    if ".lock" in stderr:
        return "If no other git runs here, remove the lock file that it names."
    if "Permission denied" in stderr or "uthentication" in stderr:
        return "Check your access to the remote."
    return ""


class Git:
    """Git in one repository.

    Args:
        root: a folder of the working tree, or a bare repository.
        before: called with the arguments of every command before it runs (tests stop there).
        limits_s: time limits in seconds by git command, such as `{"ls-remote": 5.0}`; every other
            command may take 300 s. A command that takes longer is killed with its children: a
            remote, a proxy, a credential helper or a hook can hang.
    """

    def __init__(
        self,
        root: Path,
        *,
        before: Callable[[Sequence[str]], None] | None = None,
        limits_s: Mapping[str, float] | None = None,
    ) -> None:
        self.root = root
        self._before = before
        self._limits_s = dict(limits_s or {})

    def raw(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a git command and return its standard output.

        Raises:
            GitError: the exit code was not 0.
            ToolError: git is not installed, or did not answer in time.
        """
        return self._run(arguments, stdin, environment).stdout

    def messages(self, *arguments: str) -> str:
        """Run a git command and return what it wrote to standard error.

        Raises:
            GitError: the exit code was not 0.
        """
        return self._run(arguments, None, None).stderr.decode(errors="replace")

    def _run(
        self,
        arguments: Sequence[str],
        stdin: bytes | None,
        environment: Mapping[str, str] | None,
    ) -> subprocess.CompletedProcess[bytes]:
        if self._before is not None:
            self._before(arguments)
        limit_s = self._limits_s.get(arguments[0], _LIMIT_S)
        try:
            process = subprocess.Popen(
                ["git", *arguments],
                cwd=self.root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={
                    **os.environ,
                    "LC_ALL": "C.UTF-8",
                    "GIT_TERMINAL_PROMPT": "0",
                    # `git replace` would show other content under an object's own id.
                    "GIT_NO_REPLACE_OBJECTS": "1",
                    **(environment or {}),
                },
            )
        except FileNotFoundError as error:
            raise ToolError("git was not found.", "Install git.") from error
        with process:
            try:
                out, err = process.communicate(stdin or b"", limit_s)
            except subprocess.TimeoutExpired as error:
                kill_tree(process.pid)
                raise ToolError(
                    f"git {arguments[0]} gave no answer in {limit_s:g} s.",
                    "Check the connection to the remote and run the command again.",
                ) from error
            except BaseException:
                process.kill()
                raise
        done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
        if done.returncode != 0:
            raise GitError(arguments, done.stderr.decode(errors="replace"))
        return done

    def text(
        self,
        *arguments: str,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a git command and return its standard output as text, without the final newline."""
        data = None if stdin is None else stdin.encode()
        output = self.raw(*arguments, stdin=data, environment=environment)
        return output.decode(errors="surrogateescape").removesuffix("\n")

    def config(self, key: str) -> str:
        """Read a value of git's configuration; "" if it is not set."""
        try:
            return self.text("config", "--get", key)
        except GitError:
            return ""

    def commit(self, revision: str) -> str:
        """Find the id of the commit that a revision names.

        Raises:
            InputError: the revision names no commit.
        """
        try:
            return self.text(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"
            )
        except GitError as error:
            raise InputError(
                f"{revision!r} is no commit of this repository.", "Commit first, or fetch it."
            ) from error

    def file(self, commit: str, path: str) -> str | None:
        """Read the text of a file at a commit; None if it is not there."""
        try:
            return self.raw("cat-file", "blob", f"{commit}:{path}").decode()
        except GitError:
            return None


def kill_tree(pid: int) -> None:
    """Kill a process and all its children: git's helpers and hooks outlive git otherwise.

    The tree is stopped first, level by level, since a child that is forked after the children
    were listed would be missed. The process itself is a child of ours, and whoever started it
    waits for it; this function waits for the others.
    """
    with suppress(psutil.Error):
        root = psutil.Process(pid)
        stopped: dict[int, psutil.Process] = {}
        while new := [one for one in _tree(root) if one.pid not in stopped]:
            for one in new:
                with suppress(psutil.Error):
                    one.suspend()
                stopped[one.pid] = one
            _wait_until_stopped(new)
        for one in stopped.values():
            with suppress(psutil.Error):
                one.kill()
        psutil.wait_procs([one for one in stopped.values() if one.pid != pid], timeout=_KILL_S)


def _tree(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def _wait_until_stopped(processes: Sequence[psutil.Process]) -> None:
    """Wait until no process of them can fork any more."""
    end = time.monotonic() + _KILL_S
    for one in processes:
        with suppress(psutil.Error):
            while one.status() not in _CANNOT_FORK and time.monotonic() < end:
                time.sleep(0.001)


def root_or(start: Path) -> Path:
    """The root of the working tree that contains `start`, or `start` itself where none does.

    For what stands below the root of a repository by default: it is found from every folder of it.
    """
    try:
        return find_root(start)
    except InputError:
        return start


def repository_file(relative: Path, place: Path) -> Path | None:
    """A file of the repository that contains a place, wherever the command was started.

    Where no Git repository contains it, as in the image of a container, it is the nearest folder
    above the place that has the file.

    Args:
        relative: the file below the repository's root, such as `conf/signing.yaml`.
        place: a file or folder; links in it are followed.

    Returns:
        The file, which may be a broken link; None if the repository has none.

    Raises:
        InputError: it cannot be told whether the file exists.
    """
    place = place.resolve()
    above = (place, *place.parents)
    root = next((folder for folder in above if (folder / ".git").exists()), None)
    for folder in above if root is None else (root,):
        try:
            (folder / relative).lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise InputError(f"{folder / relative} cannot be read: {error.strerror}.") from error
        return folder / relative
    return None


def find_root(start: Path) -> Path:
    """Find the root of the working tree that contains `start`.

    Raises:
        InputError: `start` is in no Git repository.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / ".git").exists():
            return folder
    raise InputError(
        f"{start} lies in no Git repository.", "Change into your clone of the models' repository."
    )
