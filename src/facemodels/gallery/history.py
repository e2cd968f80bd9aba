"""What Git and DVC keep of earlier versions of a gallery.

A removed person is in the objects of earlier versions until those are deleted too.
"""

from __future__ import annotations

from pathlib import Path

from facemodels.dvc_files import read_remotes, recorded_ids, working_files
from facemodels.errors import InputError
from facemodels.gallery.tracking import dvc_file, noted_versions, repository_of, tracked_ids
from facemodels.git import Git


def earlier_versions(folder: Path) -> list[str]:
    """DVC's ids of the versions of a gallery before the one that is tracked now, sorted.

    Those that any branch or tag of Git names, and those that this clone has tracked.

    Raises:
        InputError: the gallery lies in no repository of DVC.
    """
    root = repository_of(folder)
    if root is None:
        raise InputError(f"{folder} lies in no repository of DVC: there are no earlier versions.")
    return sorted(
        (_committed(root, folder) | noted_versions(folder)) - tracked_ids(dvc_file(folder))
    )


def versions_in_use(folder: Path) -> list[str]:
    """DVC's ids of everything that the working tree around a gallery tracks now, sorted."""
    root = repository_of(folder)
    if root is None:
        return []
    files = [root / name for name in working_files(Git(root))]
    return sorted({oid for path in files for oid in tracked_ids(path)})


def unreached(folder: Path) -> list[str]:
    """What may still hold a person after a removal, each with the command that deletes it."""
    root = repository_of(folder)
    if root is None:
        return ["copies and backups of the folder: delete the person there too."]
    name = folder.name
    count = len(earlier_versions(folder))
    told = []
    if count:
        told.append(
            f"the DVC cache has up to {count} earlier versions: "
            f"`facemodels gallery purge --gallery {name}`, after "
            f"`git add {folder}.dvc && git commit`."
        )
        told += [
            f"the remote {remote} may have them: "
            f"`facemodels gallery purge --gallery {name} --remote {remote}`, and `dvc push`."
            for remote in read_remotes(root).names
        ]
    told.append(
        "other clones: run `git pull`, `dvc checkout` and `facemodels gallery purge --gallery "
        f"{name}` there. Backups (`facemodels storage backup`): delete those from before, or let "
        "them expire."
    )
    return told


def _committed(root: Path, folder: Path) -> set[str]:
    git = Git(root)
    path = dvc_file(folder).resolve().relative_to(root.resolve()).as_posix()
    commits = git.text("log", "--all", "--format=%H", "--", path).split()
    texts = (git.file(commit, path) for commit in commits)
    return {oid for text in texts if text is not None for oid in recorded_ids(text.encode())}
