"""Lets DVC track a gallery, so that every change of it can be undone by a checkout."""

from __future__ import annotations

from pathlib import Path

from facemodels.dvc_files import dvc_repository
from facemodels.errors import ToolError


def repository_of(folder: Path) -> Path | None:
    """The root of the repository of DVC that a folder lies in; None if it lies in none."""
    place = folder.resolve()
    return next((above for above in place.parents if (above / ".dvc").is_dir()), None)


def track(folder: Path) -> None:
    """`dvc add` a gallery; nothing where it lies in no repository of DVC, or is not there.

    DVC may give the files other permissions while it adds them; they are taken back from others.

    Raises:
        ToolError: DVC cannot add it.
    """
    root = repository_of(folder)
    if root is None or not folder.is_dir():
        return
    from dvc.exceptions import DvcException

    try:
        with dvc_repository(root) as repository:
            repository.add(str(folder.resolve()))
    except (DvcException, OSError) as error:
        raise ToolError(
            f"`dvc add {folder}` fails: {error}.",
            "The gallery itself was changed. Settle that, and run `dvc add` on it.",
        ) from error
    _close(folder)


def _close(folder: Path) -> None:
    """Take the rights of others; a file that is linked from the cache has those of the cache."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
        elif not path.is_symlink() and path.stat().st_nlink == 1:
            path.chmod(0o600)
