"""How many processor cores a process may use: fewer than the machine has, in a container."""

from __future__ import annotations

import math
import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(*, groups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Cores of the affinity mask, or what the quota of the control group pays for, if less.

    Args:
        groups: where the control groups are mounted (cgroups(7)), version 2 or 1.
        own: the file that names those of this process.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(groups, own))))


def _quota(groups: Path, own: Path) -> float:
    """The least quota of the group and of those above it, in cores; infinite for none."""
    least = math.inf
    for folder in _folders(groups, own):
        for read in (_version_2, _version_1):
            try:
                least = min(least, read(folder))
            except (OSError, ValueError, ZeroDivisionError):
                continue  # no such file: another version, or no limit at this level
    return least


def _folders(groups: Path, own: Path) -> list[Path]:
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    found = [groups, groups / "cpu"]
    for line in lines:
        _, controllers, name = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = groups / "cpu" if controllers else groups
        path = top / name.lstrip("/")
        found += [p for p in (path, *path.parents) if p.is_relative_to(top)]
    return found


def _version_2(folder: Path) -> float:
    quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _version_1(folder: Path) -> float:
    quota = int((folder / "cpu.cfs_quota_us").read_text(encoding="utf-8"))
    period = int((folder / "cpu.cfs_period_us").read_text(encoding="utf-8"))
    return math.inf if quota <= 0 else quota / period
