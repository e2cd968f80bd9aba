"""The CPUs of a server: affinity, and the quota of any control group above it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from facemodels.serving.cpus import usable_cpus


@pytest.fixture(autouse=True)
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("files", "own", "cpus"),
    [
        ({}, "0::/\n", 8),
        ({"cpu.max": "max 100000"}, "0::/\n", 8),
        ({"cpu.max": "150000 100000"}, "0::/\n", 2),
        ({"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000"}, "0::/a/b\n", 1),
        ({"cpu/x/cpu.cfs_quota_us": "300000", "cpu/x/cpu.cfs_period_us": "100000"},
         "4:cpu,cpuacct:/x\n", 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/\n", 8),
        ({"cpu.max": "1600000 100000"}, "0::/\n", 8),
        ({"cpu.max": "nonsense"}, "", 8),
    ],
)  # fmt: skip
def test_threads_are_as_many_as_may_run_at_once(
    files: dict[str, str], own: str, cpus: int, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert usable_cpus(tmp_path, tmp_path / "own") == cpus
