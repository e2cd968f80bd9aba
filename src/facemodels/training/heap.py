"""Keeps the memory that a training frees, for its next step.

glibc gives blocks of many megabytes back to the kernel as they are freed. Each step then asks for
the same pages anew, and the kernel clears them: an eighth of a step of FaceNet. Addresses alone
change, no result. See mallopt(3).
"""

from __future__ import annotations

import ctypes

# Numbers of /usr/include/malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEPT = 2**31 - 1  # bytes at the end of the heap that stay: the most that an int holds
_AHEAD = 64 * 2**20  # bytes that the heap grows by beyond what is asked for


def keep_freed_memory() -> bool:
    """Let this process, and those that it forks, keep what they free until they end.

    Returns:
        Whether the C library is one that takes the setting; another one is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, _AHEAD))
    return all(mallopt(name, value) for name, value in wanted)
