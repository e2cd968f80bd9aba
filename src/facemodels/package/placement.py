"""What a server asks of the place that a package lies in, beside what the package holds."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from facemodels.errors import IntegrityError
from facemodels.package.load import Package

_VERSIONED = re.compile(r"[a-z][a-z0-9_-]*-v\d+\.\d+\.\d+(-[a-z0-9]+)?")


def require_placement(package: Package) -> None:
    """Refuse a package that others may change, or that goes by the name of another version.

    Raises:
        IntegrityError: everybody may write to the folder or a file in it, or the folder has the
            form of a version's name and is not this version's.
    """
    folder = package.folder.resolve()
    for path in (folder, *sorted(folder.rglob("*"))):
        if path.stat().st_mode & stat.S_IWOTH:
            raise IntegrityError(
                f"everybody may write to {path}, so that what was verified can be exchanged.",
                f"Take the right away: chmod -R o-w {folder}",
            )
    own = Path(package.id.folder).name
    names = (own, str(package.id))  # an environment keeps its packages by their ids
    if folder.name not in names and _VERSIONED.fullmatch(folder.name):
        raise IntegrityError(
            f"{folder} is called {folder.name} and holds {package.id}.",
            f"Call the folder {own}, or get the version that its name says.",
        )
