"""What a training frees is kept by its process and not asked of the kernel again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# Twice the same blocks, which are too large for what glibc keeps by itself.
SCRIPT = """
import resource
import numpy as np
from facemodels.training.heap import keep_freed_memory

def step():
    for _ in range(20):
        np.ones(12 << 20)

if {kept}:
    assert keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, kept: bool) -> int:
    script = SCRIPT.format(kept=kept)
    return int(subprocess.check_output([sys.executable, "-c", script]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_a_second_step_asks_for_no_page_again() -> None:
    plain, kept = faults(kept=False), faults(kept=True)
    assert kept < plain / 20
