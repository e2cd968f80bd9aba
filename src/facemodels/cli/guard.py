"""Runs a stage's script: our errors become one line and an exit code, others a traceback.

What a stage computes with must be settled before NumPy, torch or OpenCV load, so the scripts import
what needs these inside the function that is run here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

from facemodels import params
from facemodels.determinism import settle
from facemodels.errors import FacemodelsError
from facemodels.sealing.run import sealed

INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def guarded(action: Callable[..., None], *arguments: str) -> NoReturn:
    """Run `action` and end the process with the exit code that belongs to its outcome.

    Args:
        action: a stage; it computes in the mode `determinism` of params.yaml.
        arguments: what it is called with.
    """
    try:
        settle(params.load().determinism)
        with sealed(sys.argv):
            action(*arguments)
    except FacemodelsError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    sys.exit(0)
