"""Errors to exit codes: one clear line for what we foresaw, a traceback for what we did not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from facemodels.errors import FacemodelsError

INTERRUPTED = 130  # 128 + SIGINT, as shells count


def guarded(action: Callable[..., None], *arguments: str) -> NoReturn:
    """Run `action` and leave the process with its exit code."""
    try:
        action(*arguments)
    except FacemodelsError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    sys.exit(0)
