"""Memory of large pictures goes back to the system when they are done with."""

from __future__ import annotations

import ctypes
import sys

_THRESHOLD = 8 << 20  # bytes; Pillow's own blocks are of 16 MiB
_M_MMAP_THRESHOLD = -3  # of glibc's malloc.h


def return_large_blocks() -> None:
    """Keep glibc from keeping large blocks, for the whole process; nothing where it is not glibc.

    Left alone, glibc raises the size from which it maps a block by itself to 32 MiB once such a
    block was freed. From then on pictures leave holes in the heap of every thread: 10,000 broken
    pictures, a few of them large, grew a server from 92 to 799 MiB. A size that is set stays.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _THRESHOLD)
