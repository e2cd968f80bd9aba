"""Lets DVC track a gallery, so that every change of it can be undone by a checkout."""

from __future__ import annotations

from pathlib import Path

from facemodels.dvc_files import dvc_repository, recorded_ids
from facemodels.errors import ToolError
from facemodels.files import write_text
from facemodels.gallery.work import work_folder

_VERSIONS = "versions"  # in the work folder


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
    _note(folder)


def dvc_file(folder: Path) -> Path:
    """The file by which DVC tracks a gallery."""
    return folder.with_name(f"{folder.name}.dvc")


def tracked_ids(path: Path) -> set[str]:
    """The ids of the objects that a file of DVC names; none where it is not there."""
    return recorded_ids(path.read_bytes()) if path.is_file() else set()


def noted_versions(folder: Path) -> set[str]:
    """DVC's ids of the versions of a gallery that this clone has tracked, committed or not."""
    path = work_folder(folder) / _VERSIONS
    return set(path.read_text(encoding="utf-8").split()) if path.is_file() else set()


def forget_versions(folder: Path) -> None:
    """Forget the versions that this clone has tracked, after their objects were deleted."""
    (work_folder(folder) / _VERSIONS).unlink(missing_ok=True)


def _note(folder: Path) -> None:
    """Note the version that DVC tracks now: one that is never committed is in no history."""
    known = noted_versions(folder)
    ids = known | tracked_ids(dvc_file(folder))
    if ids != known:
        write_text(work_folder(folder) / _VERSIONS, "".join(f"{oid}\n" for oid in sorted(ids)))


def _close(folder: Path) -> None:
    """Take the rights of others; a file that is linked from the cache has those of the cache."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o700)
        elif not path.is_symlink() and path.stat().st_nlink == 1:
            path.chmod(0o600)
