"""Starts anew from a backup: a clone with every branch, tag and event, from nothing but its URL."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels.dvc_files import CONFIG
from facemodels.errors import InputError, IntegrityError
from facemodels.files import write_text
from facemodels.storage.backup import bundle
from facemodels.storage.backup.manifest import read_complete
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
    """

    folder: str
    made_at: str
    refs: int
    versions: tuple[str, ...]
    damaged: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The values for programs."""
        return asdict(self)


def recover(
    settings: Mapping[str, str], folder: Path, *, patience: Patience | None = None
) -> RecoveredClone:
    """Make a clone from a backup, whose default remote on this machine is that backup.

    Args:
        settings: of the remote of the backup, as DVC has them: `url` and what belongs to it.
        folder: where the clone is to be; a folder that is not there yet, or is empty.
        patience: how long the remote may be away; None: the defaults of `Patience`.

    Raises:
        InputError: there is something in the folder.
        IntegrityError: there is no complete backup, or it is damaged.
        ToolError: the remote cannot be reached.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there already.", "Name a folder that is not there yet.")
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".facemodels-", dir=target.parent) as scratch:
        files = _open(settings, Path(scratch, "bare"), patience)
        latest, manifest = read_complete(files)
        path = Path(scratch, "refs.bundle")
        files.fetch(manifest.bundle, path, manifest.bundle_sha256)
        git = bundle.unpack(path, Path(scratch, "clone"))
        refs = bundle.heads(path, git)
        if bundle.digest_of(refs) != manifest.refs:
            raise IntegrityError("the bundle's refs are not those that the manifest has.")
        _use_backup(git.root, settings)
        if target.exists():
            target.rmdir()
        git.root.rename(target)
    return RecoveredClone(
        str(folder), latest.made_at, len(refs), tuple(manifest.versions), manifest.damaged
    )


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
