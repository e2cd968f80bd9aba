"""Runs a stage's script: our errors become one line and an exit code, others a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from facemodels.errors import FacemodelsError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def guarded(action: Callable[..., None], *arguments: str) -> NoReturn:
    """Run `action` and end the process with the exit code that belongs to its outcome."""
    try:
        action(*arguments)
    except FacemodelsError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    sys.exit(0)
