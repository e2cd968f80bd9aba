"""Runs git with argument lists and without a shell; a failure is an error with a remedy."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from facemodels.errors import InputError, ToolError

# Variables that point git at another repository than the one it is started in: a hook, `git rebase
# --exec` or an alias passes them on. `git rev-parse --local-env-vars`, without those that carry
# configuration (`git -c`), and those that git(1) lists beside them.
_ELSEWHERE = frozenset((
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX", "GIT_INTERNAL_SUPER_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR",
    "GIT_NAMESPACE", "GIT_QUARANTINE_PATH", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_CONFIG", "GIT_DEFAULT_HASH",
))  # fmt: skip
_LIMIT_S = 300.0  # time limit of a git command; a fetch over a slow line takes long
_SHA256 = re.compile(
    r'^\s*(\[extensions\]\s*)?objectformat\s*=\s*"?sha256"?\s*([#;].*)?$',
    re.IGNORECASE | re.MULTILINE,
)
# What makes a folder the project: DVC's settings may also stand at the root of a bigger repository.
_PROJECT = (Path(".dvc", "config"), Path("conf", "registry.yaml"))
_KILL_S = 1.0  # for processes to stop, and to end after SIGKILL
_CANNOT_FORK = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


class GitError(ToolError):
    """A git command gave an exit code other than 0.

    Attributes:
        stderr: what git wrote to standard error.
    """

    def __init__(self, arguments: Sequence[str], stderr: str) -> None:
        self.stderr = stderr.strip()
        super().__init__(
            f"git {command_of(arguments)} failed: {self.stderr or 'no message'}",
            _remedy(self.stderr),
        )


def command_of(arguments: Sequence[str]) -> str:
    """The name of the command in git's arguments, without the options before it."""
    words = iter(arguments)
    for word in words:
        if word in ("-c", "-C", "--git-dir", "--work-tree", "--namespace"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return ""


def _remedy(stderr: str) -> str:
    if ".lock" in stderr:
        return "If no other git runs here, remove the lock file that it names."
    if "does not appear to be a git repository" in stderr or "Could not resolve host" in stderr:
        return "Check the remote's URL (`git remote -v`) and the network."
    if "Permission denied" in stderr or "uthentication" in stderr:
        return "Check your access to the remote."
    if "aborted by hook" in stderr:
        return "A reference-transaction hook of this clone (core.hooksPath) refuses; mend it."
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
        settings: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a git command and return its standard output.

        Args:
            arguments: the command and its arguments.
            stdin: what it reads.
            environment: variables beside those of this process.
            settings: values that go before git's configuration.

        Raises:
            GitError: the exit code was not 0.
            ToolError: git is not installed, or did not answer in time.
        """
        return self._run(arguments, stdin, environment, settings).stdout

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
        settings: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        if self._before is not None:
            self._before(arguments)
        command = command_of(arguments)
        limit_s = self._limits_s.get(command, _LIMIT_S)
        try:
            process = subprocess.Popen(
                ["git", *_set(settings or {}), *arguments],
                cwd=self.root,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={
                    **clean_environment(),
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
                    f"git {command} gave no answer in {limit_s:g} s.",
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
        settings: Mapping[str, str] | None = None,
    ) -> str:
        """Run a git command and return its standard output as text, without the final newline."""
        data = None if stdin is None else stdin.encode()
        output = self.raw(*arguments, stdin=data, environment=environment, settings=settings)
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


def _set(settings: Mapping[str, str]) -> list[str]:
    return [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]


def clean_environment() -> dict[str, str]:
    """The environment of this process, without what points git at another repository."""
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


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
        InputError: `start` is in no Git repository, or in one of a form that the registry has
            no names for: a project below the root of a bigger repository, or objects by SHA-256.
    """
    project: Path | None = None
    for folder in (start.resolve(), *start.resolve().parents):
        project = project or (folder if _is_project(folder) else None)
        if (folder / ".git").exists():
            _require_supported(folder, project or _project_below(folder) or folder)
            return folder
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir():
            raise InputError(
                f"{folder} is a bare repository, without files.",
                f"Run it in a clone: git clone {folder} models",
            )
    raise InputError(
        f"{start} lies in no Git repository.", "Change into your clone of the models' repository."
    )


def _is_project(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _PROJECT)


def _project_below(root: Path) -> Path | None:
    """A project one or two folders below a root that is none itself, and in no clone of its own."""
    below = (
        path for depth in ("*", "*/*") for mark in _PROJECT for path in root.glob(f"{depth}/{mark}")
    )
    for mark in below:
        folder = mark.parents[1]
        if not any((above / ".git").exists() for above in (folder, folder.parent) if above != root):
            return folder
    return None


def _require_supported(root: Path, project: Path) -> None:
    if project != root:
        raise InputError(
            f"{project} is a project below the root of a Git repository, {root}. Registry, "
            "release and storage need a repository of their own: tags, conf/ and dvc.lock are "
            "looked for at its root.",
            f"Make one of the folder: git subtree split --prefix={project.relative_to(root)} "
            "--branch models, and push that branch to a new repository.",
        )
    if _is_sha256(root):
        raise InputError(
            f"{root} is a Git repository with SHA-256 object ids. GTO, DVC and most hosts read "
            "SHA-1 alone, and so does the registry.",
            "Make a repository with `git init --object-format=sha1` and commit the files there.",
        )


def _is_sha256(root: Path) -> bool:
    """Whether the configuration of a repository says that its object ids are SHA-256."""
    with suppress(OSError, UnicodeDecodeError):
        config = common_folder(root) / "config"
        return bool(_SHA256.search(config.read_text(encoding="utf-8")))
    return False


def common_folder(root: Path) -> Path:
    """The folder of a repository's configuration, refs and objects, by gitrepository-layout(5).

    A linked working tree has it in common with others. `git rev-parse --git-common-dir` says the
    same and takes a process.

    Args:
        root: the root of a working tree, or a bare repository.

    Raises:
        OSError: a file that names it cannot be read.
        UnicodeDecodeError: such a file is no text.
    """
    folder = root / ".git"
    if folder.is_file():  # of a linked working tree or a submodule
        folder = root / folder.read_text(encoding="utf-8").partition(": ")[2].strip()
    elif not folder.exists():
        folder = root
    common = folder / "commondir"
    if common.is_file():
        folder /= common.read_text(encoding="utf-8").strip()
    return folder.resolve()
