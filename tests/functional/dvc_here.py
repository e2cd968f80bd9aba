"""`dvc` in the process of the tests, which takes half a second less than one of its own."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path


def dvc(folder: Path, *words: str) -> str:
    """Run a command of DVC that starts no stage; what it printed."""
    from dvc.cli import main

    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        code = main(list(words))
    assert code == 0, f"dvc {' '.join(words)} gave {code}:\n{printed.getvalue()}"
    return printed.getvalue()
