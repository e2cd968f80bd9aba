"""Same bytes on every x86-64 machine with AVX2: what is set before a library that computes loads.

NumPy, torch (with MKL and oneDNN), OpenCV (with IPP) and OpenBLAS choose their code by the
machine's processor, and each choice rounds otherwise. They read these environment variables when
they load or first compute, so `settle` comes before their import; worker processes inherit them.
Sums over threads depend on the number of threads: each process computes with one.

ONNX Runtime reads none; `facemodels.runtime` asks here for the mode. What was seen to agree, on
which processors: docs/determinism.md.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Literal

from facemodels.errors import InputError

# portable: same bytes on every machine with AVX2; machine: fastest, same bytes on one machine.
Determinism = Literal["portable", "machine"]

PORTABLE: Mapping[str, str] = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "MKL_CBWR": "COMPATIBLE",  # AVX2 is not enough: MKL then still chooses by vendor
    "MKL_DYNAMIC": "FALSE",
    "MKL_NUM_THREADS": "1",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # all that NumPy has above AVX2
    "OMP_DYNAMIC": "FALSE",
    "OMP_NUM_THREADS": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's matrix products
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",  # its name in this OpenCV; another one is not known
    "OPENCV_FOR_THREADS_NUM": "1",
    "OPENCV_IPP": "avx2",  # Intel's library inside OpenCV, which it uses on any vendor's CPU
}
# Libraries that have read their settings once they are imported.
READERS = ("numpy", "torch", "cv2", "onnxruntime", "dlib")


def settle(mode: Determinism) -> None:
    """Make this process and those that it starts compute as `mode` says.

    Raises:
        InputError: a library that computes was imported before, with other settings.
    """
    if mode == "machine" or settled() == "portable":
        return
    early = [name for name in READERS if name in sys.modules]
    if early:
        raise InputError(
            f"{', '.join(early)} was imported before determinism: portable was set.",
            "Import it in a function that runs after `facemodels.determinism.settle`.",
        )
    os.environ.update(PORTABLE)


def settled() -> Determinism:
    """The mode that this process computes in."""
    return "portable" if all(os.environ.get(k) == v for k, v in PORTABLE.items()) else "machine"


def record() -> dict[str, object]:
    """The mode and what was set for it, for training.json; the same on every machine."""
    mode = settled()
    return {"mode": mode, "settings": dict(PORTABLE) if mode == "portable" else {}}


def as_served(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the settings, for a process that measures what a server does."""
    return {k: v for k, v in environment.items() if PORTABLE.get(k) != v}
