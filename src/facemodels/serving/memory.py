"""Returns freed memory to the system: of large images, and of what loading a model took."""

from __future__ import annotations

import ctypes
import sys

_THRESHOLD_BYTES = 8 << 20  # Pillow's own blocks have 16 MiB
_M_MMAP_THRESHOLD = -3  # a constant of glibc's malloc.h


def return_large_blocks() -> None:
    """Make glibc return large blocks to the system, in the whole process.

    By default glibc raises the size from which it maps a block on its own, up to 32 MiB, as soon as
    such a block was freed. From then on images leave holes in the heap of every thread: 10,000
    broken images, a few of them large, grew a server from 92 to 799 MiB. A size that was set stays.
    Does nothing with another C library.
    """
    _call("mallopt", _M_MMAP_THRESHOLD, _THRESHOLD_BYTES)


def return_freed_memory() -> None:
    """Return what the heap has freed and kept.

    To open a graph of 94 MB, ONNX Runtime takes 230 MB, of which 130 are free afterwards. Does
    nothing with another C library than glibc.
    """
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    if sys.platform != "linux":
        return
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)
