"""A rollback is decided on a full disk."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from facemodels.deployment.reserve import Reserve
from facemodels.errors import ToolError


class Disk:
    """Has room as soon as the reserve is gone."""

    def __init__(self, folder: Path) -> None:
        self.reserve = folder / "reserve"

    def write(self) -> str:
        if self.reserve.exists():
            full = OSError(errno.ENOSPC, "No space left on device")
            raise ToolError("the routes cannot be written.") from full
        return "written"


def test_what_must_be_written_takes_the_place_of_the_reserve(tmp_path: Path) -> None:
    reserve, disk = Reserve(tmp_path), Disk(tmp_path)
    reserve.fill()
    assert disk.reserve.stat().st_size == 4 * 2**20
    assert reserve.use(disk.write) == "written"
    disk.reserve.mkdir()  # nothing is left of it
    with pytest.raises(ToolError):
        reserve.use(disk.write)


def test_another_failure_does_not_spend_it(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path)
    reserve.fill()

    def fail() -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        reserve.use(fail)
    assert (tmp_path / "reserve").exists()


_FULL = """
import sys
from pathlib import Path
from facemodels.deployment.controller.pending_rollbacks import PendingRollback, PendingRollbacks
from facemodels.deployment.reserve import Reserve
folder = Path(sys.argv[1])
Reserve(folder).fill()
with open(folder / "ballast", "wb", buffering=0) as file:
    try:
        while file.write(bytes(4096)):
            pass
    except OSError:
        pass
one = PendingRollback("recognition-facenet", "rec-facenet-v1.0.0", None, "rec-facenet-v1.1.0",
                      "it fails", 1, "0" * 40)
pending = PendingRollbacks(folder / "decisions")
pending.add(one)
assert pending.all() == [one]
"""


def test_a_rollback_is_decided_on_a_disk_that_is_really_full(tmp_path: Path) -> None:
    mount = [shutil.which("unshare") or "false", "-rm", "sh", "-c"]
    small = f'mount -t tmpfs -o size=8m none {tmp_path} && exec "$@"'
    if subprocess.run([*mount, small, "sh", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no namespace of one's own to mount a small disk in")
    command = [*mount, small, "sh", sys.executable, "-c", _FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
