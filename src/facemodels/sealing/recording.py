"""The hook that sees which files of the repository a process opens; child processes join it.

Python raises an event for each file that it opens, renames or removes (PEP 578). The first process
of a sealed run sets an environment variable; every process that imports `facemodels` with that
variable joins the run, and appends what it sees to one file. It imports nothing of ours, since
it runs in every worker. What it cannot see: docs/sealed-stages.md.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "FACEMODELS_SEALED"  # the log of the run; its root is four folders above
RUNS = Path(".cache", "sealed", "runs")  # below the root; Git and DVC ignore .cache
# Folders at the root that no stage depends on: tools, caches, what DVC and Git keep.
_OUTSIDE = (".venv", ".cache", ".git", ".dvc")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Sight(NamedTuple):
    """What a process did to a file.

    Attributes:
        act: `read`, `import`, `write` (what was there), `create` or `remove`.
        path: its absolute path, not resolved.
    """

    act: str
    path: str


class _Recorder:
    """What one process, and those that it forks, append to the log."""

    def __init__(self, log: Path) -> None:
        root = str(log.parents[len(RUNS.parts)])
        source = str(Path(__file__).resolve().parents[1])
        self.inside = (f"{root}/", f"{source}/")
        self.outside = tuple(f"{root}/{name}/" for name in _OUTSIDE)
        self.git_file = f"{root}/.git"  # what a worktree has instead of the folder
        self.file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self.seen: set[Sight] = set()

    def note(self, act: str, path: Any) -> None:
        """Append a path to the log, unless it is there already or lies outside."""
        if isinstance(path, int) or path is None:
            return  # a file that is open already
        name = os.fsdecode(path)
        if not name.startswith("/"):
            name = os.path.join(os.getcwd(), name)  # noqa: PTH109, PTH118  (in every open)
        if not name.startswith(self.inside):
            return
        name = os.path.normpath(name)
        if name.startswith(self.outside) and not name.startswith(self.inside[1]):
            return
        if name == self.git_file:
            return
        sight = Sight(act, name)
        if sight not in self.seen:
            self.seen.add(sight)
            os.write(self.file, os.fsencode(f"{act} {name}\0"))


_recorder: _Recorder | None = None
_hooked = False


def begin(log: Path) -> None:
    """Record what this process does, and what the processes do that it starts from now on.

    Args:
        log: the file of the run, in the folder `RUNS` of the repository, as an absolute path.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    _join(log)
    os.environ[VARIABLE] = str(log)


def end() -> None:
    """Stop recording in this process."""
    global _recorder  # noqa: PLW0603  (one hook a process, which cannot be removed)
    if _recorder is not None:
        os.close(_recorder.file)
    _recorder = None
    os.environ.pop(VARIABLE, None)


def join_run() -> None:
    """Record what this process does, if it was started by a sealed run. Costs nothing otherwise.

    `import facemodels` calls it. A worker that opens files before that import calls it first.
    """
    log = os.environ.get(VARIABLE)
    if log and _recorder is None:
        _join(Path(log))


@contextmanager
def unrecorded() -> Iterator[None]:
    """Record nothing of this process in the block.

    It is for a library that looks at the repository itself, such as DVCLive, and gives the stage
    nothing of what it read.
    """
    global _recorder  # noqa: PLW0603
    kept, _recorder = _recorder, None
    try:
        yield
    finally:
        _recorder = kept


def read_log(log: Path) -> list[Sight]:
    """Read what the processes of a run did, each act once, sorted by path."""
    entries = {entry for entry in log.read_bytes().split(b"\0") if entry}
    sights = [Sight(*os.fsdecode(entry).split(" ", 1)) for entry in entries]
    return sorted(sights, key=lambda sight: (sight.path, sight.act))


def _join(log: Path) -> None:
    global _recorder, _hooked  # noqa: PLW0603
    _recorder = _Recorder(log)
    for module in list(sys.modules.values()):
        if isinstance(path := getattr(module, "__file__", None), str):
            _recorder.note("import", path)
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    handle = _HANDLERS.get(event)
    if handle is not None and _recorder is not None:
        handle(_recorder, *arguments)


def _opened(recorder: _Recorder, path: Any, mode: Any, flags: Any) -> None:
    name = path if isinstance(path, str) else ""
    if name.endswith(".pyc"):
        recorder.note("import", _source_of(name))
    elif isinstance(flags, int) and flags & _WRITING:
        _written(recorder, path)
    else:
        recorder.note("read", path)


def _written(recorder: _Recorder, path: Any, *rest: Any) -> None:
    there = isinstance(path, int) or os.path.lexists(path)
    recorder.note("write" if there else "create", path)


def _source_of(compiled: str) -> str:
    """The module of a compiled file; pytest's have more in their names than Python's."""
    try:
        return importlib.util.source_from_cache(compiled)
    except ValueError:
        folder, name = os.path.split(compiled)
        return f"{os.path.dirname(folder)}/{name.partition('.')[0]}.py"  # noqa: PTH120


def _removed(recorder: _Recorder, path: Any, folder: Any = None) -> None:
    # Relative to an open folder it is part of what `shutil.rmtree` removes, which says so itself.
    if folder in {None, -1} and os.path.lexists(path):
        recorder.note("remove", path)


def _made(recorder: _Recorder, path: Any, *rest: Any) -> None:
    if not os.path.lexists(path):  # `exist_ok` asks for folders that are there
        recorder.note("create", path)


def _moved(recorder: _Recorder, source: Any, target: Any, *folders: Any) -> None:
    recorder.note("remove", source)
    _written(recorder, target)


def _linked(recorder: _Recorder, source: Any, target: Any, *folders: Any) -> None:
    _written(recorder, target)


_HANDLERS: dict[str, Callable[..., None]] = {
    "open": _opened,
    "os.link": _linked,
    "os.mkdir": _made,
    "os.remove": _removed,
    "os.rename": _moved,
    "os.rmdir": _removed,
    "os.symlink": _linked,
    "os.truncate": _written,
    "shutil.rmtree": _removed,
    "sqlite3.connect": _written,
}
