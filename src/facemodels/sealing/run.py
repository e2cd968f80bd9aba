"""One sealed run of a stage."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from facemodels.sealing import recording
from facemodels.sealing.code import code_of
from facemodels.sealing.declaration import StageDeclaration, find_stage, values_of
from facemodels.sealing.digests import Digests, Ignored, Stamps, look_at
from facemodels.sealing.judgement import Breach, SealError, compare, judge
from facemodels.sealing.record import write_record

REFUSED = Path(".cache", "sealed", "refused")  # below the root
_IMPORTED_NS = time.time_ns()
_TICK_NS = 10_000_000  # a process knows its start to 1/100 s


@contextmanager
def sealed(argv: Sequence[str]) -> Iterator[None]:
    """Run a stage in the working directory, which is the root of the pipeline, sealed.

    Args:
        argv: the script and its arguments; if no stage of dvc.yaml runs it so, nothing is sealed.

    Raises:
        SealError: the stage did what dvc.yaml does not declare, or a dependency changed while it
            ran. Its outputs are no longer where DVC would find them.
        ParamsError: dvc.yaml or params.yaml cannot be read.
    """
    root = Path.cwd()
    stage = find_stage(root, argv)
    if stage is None:
        yield
        return
    run = _Run(stage, root)
    recording.begin(run.log)
    try:
        yield
    finally:
        recording.end()
    run.close()


class _Run:
    """The first look at what a stage depends on, and the last.

    Args:
        stage: the stage.
        root: the folder of dvc.yaml.
    """

    def __init__(self, stage: StageDeclaration, root: Path) -> None:
        self._stage, self._root = stage, root
        self._ignored = Ignored(root)
        self._digests = Digests(root)
        if stage.record is not None:
            (root / stage.record).unlink(missing_ok=True)
        self._params = values_of(stage, root)
        self._code = code_of(stage, root)
        self._before = self._look()
        # Hashed before the run: what is read later may be something else.
        self._deps = self._digests.of_files(self._before) if stage.record or self._code else {}
        outdated = [path for path, seen in self._code.items() if self._deps.get(path) != seen]
        if outdated:
            raise SealError(stage, [Breach("outdated", path) for path in sorted(outdated)], "")
        self.log = root / recording.RUNS / f"{stage.name}.log"

    def close(self) -> None:
        """Judge what was seen; write the record, or take the outputs away.

        Raises:
            SealError: something was against the declaration.
        """
        after = self._look()
        breaches = compare(self._before, after, _started_ns())
        now = values_of(self._stage, self._root)
        for file, values in self._params.items():
            differ = [key for key, value in values.items() if now[file].get(key) != value]
            breaches += [Breach("changed", f"{file}: {key}") for key in differ]
        package = Path(sys.modules["facemodels"].__file__ or "").parent
        sights = recording.read_log(self.log)
        breaches += judge(self._stage, sights, self._root, package, self._ignored, self._code)
        if breaches:
            raise SealError(self._stage, breaches, self._take_away())
        write_record(
            self._stage,
            self._root,
            deps=self._deps,
            params=self._params,
            digests=self._digests,
            ignored=self._ignored,
        )

    def _look(self) -> Stamps:
        """What tells of each file that the stage depends on whether it was written."""
        return look_at(self._root, (*self._stage.deps, *self._code), self._ignored)

    def _take_away(self) -> str:
        """Move the outputs where DVC does not look; the folder, or "" if there were none."""
        folder = REFUSED / self._stage.name
        shutil.rmtree(self._root / folder, ignore_errors=True)
        moved = ""
        for out in self._stage.outs:
            source, target = self._root / out, self._root / folder / out
            if os.path.lexists(source):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(source, target)
                moved = str(folder)
        return moved


def _started_ns() -> int:
    """When this process was started, in ns since the epoch; on Linux to a hundredth of a second."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        since_boot = int(fields[19]) * (1_000_000_000 // os.sysconf("SC_CLK_TCK"))
        age = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - since_boot
        return min(time.time_ns() - age + _TICK_NS, _IMPORTED_NS)
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED_NS
