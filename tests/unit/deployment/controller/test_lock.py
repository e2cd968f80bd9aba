"""One controller an environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from facemodels.deployment.controller import lock
from facemodels.errors import ConflictError

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
