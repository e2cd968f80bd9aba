"""One controller an environment."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facemodels.deployment.controller import lock
from facemodels.errors import ConflictError, ToolError

HOLD = (
    "import sys; from pathlib import Path; from facemodels.deployment.controller import lock\n"
    "with lock.held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


def test_another_process_that_holds_it_is_named_and_a_kill_frees_it(tmp_path: Path) -> None:
    assert not lock.is_held(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert lock.is_held(tmp_path)
        assert lock.holder(tmp_path) == other.pid
        with pytest.raises(ConflictError, match=str(other.pid)), lock.held(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert not lock.is_held(tmp_path)
    with lock.held(tmp_path):
        assert lock.holder(tmp_path) == os.getpid()
    assert not lock.is_held(tmp_path)


OLD_HOLD = """
import fcntl, os, sys
with open(sys.argv[1] + "/lock", "a+") as file:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file.seek(0)
    file.truncate()
    file.write(f"{os.getpid()}\\n")
    file.flush()
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_controller_of_an_earlier_release_that_holds_it_is_seen(tmp_path: Path) -> None:
    """It took the same lock of the kernel on the same file, without a library."""
    with subprocess.Popen(
        [sys.executable, "-c", OLD_HOLD, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert lock.is_held(tmp_path)
        with pytest.raises(ConflictError, match=str(other.pid)), lock.held(tmp_path):
            pass
        assert lock.holder(tmp_path) == other.pid  # the attempt left the file as it was
        other.kill()
        other.wait()
    with lock.held(tmp_path), (tmp_path / "lock").open("a+") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert lock.holder(tmp_path) == os.getpid()


def test_an_environment_whose_folder_cannot_be_made_is_an_error_of_the_tool(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ToolError, match="cannot be written"), lock.held(tmp_path / "file/state"):
        pass
