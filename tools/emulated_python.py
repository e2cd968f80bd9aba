"""Make an environment whose `python`, and every Python that it starts, runs on another processor.

    python tools/emulated_python.py Haswell /tmp/haswell
    PATH=/tmp/haswell/bin:$PATH PYTHONPATH=src dvc repro

The packages are those of the environment in which this runs. It needs `qemu-x86_64` of QEMU 10 or
newer (Debian: qemu-user of backports): 7.2 sorts wrongly in NumPy's code for AVX2.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path


def make(processor: str, folder: Path, qemu: str) -> None:
    """Write the environment.

    Args:
        processor: a name of `qemu-x86_64 -cpu help`, with AVX2.
        folder: the new folder.
        qemu: the program.
    """
    ours = Path(sys.prefix)
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_bytes((ours / "pyvenv.cfg").read_bytes())
    (folder / "lib").symlink_to(ours / "lib")
    python = folder.resolve() / "bin" / "python"
    # Python finds pyvenv.cfg beside what it is called, and starts other Pythons by that name.
    call = [qemu, "-cpu", processor, "-0", str(python), str(Path(sys.executable).resolve())]
    python.write_text(f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("processor", help="such as Haswell, EPYC or Skylake-Client")
    parser.add_argument("folder", type=Path, help="the new environment")
    parser.add_argument("--qemu", default="qemu-x86_64", help="the program")
    given = parser.parse_args()
    make(given.processor, given.folder, given.qemu)


if __name__ == "__main__":
    main()
