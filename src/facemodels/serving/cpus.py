"""How many CPUs this process may use: its affinity and the quota of its cgroup."""

from __future__ import annotations

import math
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cpus(root: Path = _ROOT, own: Path = _OWN) -> int:
    """The CPUs that threads of this process can run on at once, 1 or more.

    A container with a quota of 1.5 CPUs on a machine of 64 gets 2: more threads would use up the
    quota early and then stand still until the next period.

    Args:
        root: where the control groups are mounted.
        own: the file that names the group of this process.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [quota for folder in _groups(root, own) if (quota := _quota(folder)) is not None]
    return max(1, min([allowed or 1, *(math.ceil(quota) for quota in quotas)]))


def _groups(root: Path, own: Path) -> list[Path]:
    """The folders of the process's control group and of those above it; a quota counts in each."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    found = {root, root / "cpu"}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            base = root if not controllers else root / "cpu"
            group = base / path.lstrip("/")
            found |= {group, *(above for above in group.parents if above.is_relative_to(base))}
    return sorted(found)


def _quota(folder: Path) -> float | None:
    """The CPUs that a control group may use on average; None without a limit.

    In version 2 it is `cpu.max`, in version 1 two files (Linux, Documentation/admin-guide/cgroup-v2
    and scheduler/sched-bwc).
    """
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None
    except (ValueError, ZeroDivisionError):  # `max`
        return None
