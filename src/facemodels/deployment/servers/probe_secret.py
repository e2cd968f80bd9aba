"""The secret by which the servers of an environment know its probes."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

_NAME = "probe-secret"
_BYTES = 16


def probe_secret(folder: Path) -> str:
    """The secret of an environment, which its running servers know over a restart; made if needed.

    Where it cannot be kept, it holds for the servers of this controller.

    Args:
        folder: the folder of the servers' files.
    """
    path = folder / _NAME
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        made = secrets.token_hex(_BYTES)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "w", encoding="ascii") as opened:
            opened.write(made)
    except OSError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    return made
