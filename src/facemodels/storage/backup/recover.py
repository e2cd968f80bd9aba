"""Starts anew from a backup: a clone with every branch, tag and event, from nothing but its URL."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.dvc_files import CONFIG
from facemodels.errors import InputError, IntegrityError
from facemodels.files import write_text
from facemodels.git import Git, GitError
from facemodels.storage.backup import bundle
from facemodels.storage.backup.manifest import (
    BackupManifest,
    LatestBackup,
    read_complete,
    whole_manifests,
)
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.retries import Patience
from facemodels.storage.stores.stores import BACKUP, open_store


@dataclass(frozen=True)
class RecoveredClone:
    """What was made from a backup.

    Attributes:
        folder: of the clone.
        made_at: when the backup was complete, as 2026-01-02T03:04:05Z.
        refs: the number of branches, tags and other refs.
        versions: the ids of the versions whose objects are in the backup.
        damaged: the ids of versions and names of archives that were whole nowhere then.
        manifest: the name of the manifest that says what belongs together.
        instead: why the newest backup could not be used, if this is an older one; else "".
    """

    folder: str
    made_at: str
    refs: int
    versions: tuple[str, ...]
    damaged: tuple[str, ...]
    manifest: str
    instead: str = ""

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        return asdict(self)


@dataclass(frozen=True)
class _Rebuilt:
    """A clone in a temporary folder, and what it was made from."""

    git: Git
    refs: int
    latest: LatestBackup
    manifest: BackupManifest
    instead: str = ""


def recover(
    settings: Mapping[str, str], folder: Path, *, patience: Patience | None = None
) -> RecoveredClone:
    """Make a clone from a backup, whose default remote on this machine is that backup.

    Where the pointer to the newest backup, its manifest or its bundle is damaged or gone, the
    newest one that is whole takes its place.

    Args:
        settings: of the remote of the backup, as DVC has them: `url` and what belongs to it.
        folder: where the clone is to be; a folder that is not there yet, or is empty.
        patience: how long the remote may be away; None: the defaults of `Patience`.

    Raises:
        InputError: there is something in the folder.
        IntegrityError: there is no complete backup, or none that is whole.
        ToolError: the remote cannot be reached.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already.", "Name a folder that is not there yet.")
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".facemodels-", dir=target.parent) as scratch:
        files = _open(settings, Path(scratch, "bare"), patience)
        done = _newest(files, Path(scratch))
        _use_backup(done.git.root, settings)
        if target.exists():
            target.rmdir()
        done.git.root.rename(target)
    return RecoveredClone(
        str(folder), done.latest.made_at, done.refs, tuple(done.manifest.versions),
        done.manifest.damaged, done.latest.manifest, done.instead,
    )  # fmt: skip


def _newest(files: NamedFiles, scratch: Path) -> _Rebuilt:
    """Make a clone of the newest backup, or of the newest that is whole."""
    try:
        return _rebuild(files, *read_complete(files), scratch / "newest")
    except IntegrityError as error:
        older = _newest_whole(files, scratch)
        if older is None:
            raise
        return replace(older, instead=str(error.what))


def _newest_whole(files: NamedFiles, scratch: Path) -> _Rebuilt | None:
    """Make a clone of the newest backup that is whole, pointer or not; None if none is.

    The dates of a store may be those of a copy. What counts is the registry, which only grows: a
    backup is the newer one if it knows the last event of the other.
    """
    best: _Rebuilt | None = None
    for number, (latest, manifest) in enumerate(whole_manifests(files)):
        if best is not None and _has(best.git, manifest.head):
            continue
        try:
            found = _rebuild(files, latest, manifest, scratch / str(number))
        except (IntegrityError, GitError):
            continue
        if best is None or _has(found.git, best.manifest.head):
            best = found
    return best


def _rebuild(
    files: NamedFiles, latest: LatestBackup, manifest: BackupManifest, scratch: Path
) -> _Rebuilt:
    """Make a clone of what a manifest names.

    Raises:
        IntegrityError: the bundle is missing, damaged, or not the manifest's.
    """
    scratch.mkdir()
    path = scratch / "refs.bundle"
    files.fetch(manifest.bundle, path, manifest.bundle_sha256)
    git = bundle.unpack(path, scratch / "clone")
    refs = bundle.heads(path, git)
    if bundle.digest_of(refs) != manifest.refs:
        raise IntegrityError("the bundle's refs are not those that the manifest has.")
    return _Rebuilt(git, len(refs), latest, manifest)


def _has(git: Git, oid: str) -> bool:
    """Whether a clone has an object; "" is the head of a registry without events."""
    try:
        return not oid or bool(git.text("cat-file", "-t", oid))
    except GitError:
        return False


def _open(settings: Mapping[str, str], bare: Path, patience: Patience | None) -> NamedFiles:
    """The files of the backup, by way of a repository of DVC that has nothing in it."""
    write_text(bare / CONFIG, "[core]\n    no_scm = true\n    analytics = false\n")
    config = {"remote": {BACKUP: dict(settings)}}
    return NamedFiles(open_store(bare, BACKUP, config=config, patience=patience), patience)


def _use_backup(root: Path, settings: Mapping[str, str]) -> None:
    """Have DVC ask the backup: the remote of .dvc/config may be what was lost.

    .dvc/config.local is this machine's own: Git ignores it.
    """
    lines = ["[core]", f"    remote = {BACKUP}", f"['remote \"{BACKUP}\"']"]
    lines += [f"    {key} = {value}" for key, value in settings.items()]
    write_text((root / CONFIG).with_name("config.local"), "\n".join(lines) + "\n")
