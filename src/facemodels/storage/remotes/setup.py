"""Sets DVC's remotes up: `storage`, the default one, and `backup`.

.dvc/config is in Git, so no credential is ever written there. Credentials come from the
environment, from the cloud's own files, or from .dvc/config.local, which Git ignores.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels import dvc_files
from facemodels.dvc_files import CONFIG
from facemodels.errors import InputError
from facemodels.files import write_text
from facemodels.storage.remotes.remote import (
    ENVIRONMENT,
    FLAGS,
    Remote,
    bucket_of,
    check_endpoint,
    check_url,
    credentials_in,
    is_unencrypted,
    overlap,
    scheme_of,
)
from facemodels.storage.stores.stores import BACKUP, STORAGE


@dataclass(frozen=True)
class RemoteChange:
    """An edit of .dvc/config that is planned and not made yet.

    Attributes:
        path: the path of the file.
        before: its text now.
        after: its text after the edit.
        notes: what the reader should know.
    """

    path: Path
    before: str
    after: str
    notes: tuple[str, ...]

    def diff(self) -> str:
        """The edit as a unified diff; "" where nothing changes."""
        lines = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        name = CONFIG.as_posix()
        return "".join(difflib.unified_diff(*lines, fromfile=name, tofile=name))

    def apply(self) -> None:
        """Write the file, whole or not at all."""
        if self.after != self.before:
            write_text(self.path, self.after)


def plan(
    root: Path, remotes: Sequence[Remote], *, force: bool = False, in_use: bool = True
) -> RemoteChange:
    """Plan the edit of .dvc/config that sets remotes up; comments and other settings stay.

    Args:
        root: the folder of the repository.
        remotes: the remotes; `storage` becomes the default one.
        force: change remotes that exist with other settings.
        in_use: whether versions are registered, whose weights may lie in remotes that exist; if
            not, remotes are changed without `force`.

    Raises:
        InputError: this is no DVC repository; a URL or the file holds a credential; the backup is
            in the storage; a remote exists and differs.
    """
    path = root / CONFIG
    if not path.parent.is_dir():
        raise InputError(f"{root} has no .dvc folder.", "Run `dvc init` first.")
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    for remote in remotes:
        check_url(remote.url)
        if remote.endpoint_url:
            check_endpoint(remote.endpoint_url)
    _refuse_credentials(before)
    config = dvc_files.parse_config(before)
    notes = []
    for remote in remotes:
        old = _section(config, f'remote "{remote.name}"').get("url")
        _write(config, remote, root=root, force=force or not in_use)
        now = config[f'remote "{remote.name}"']["url"]
        if old not in (None, now):
            notes.append(f"{remote.name} was {old}; what lies there stays there.")
    notes += _separate(config)
    if any(remote.name == STORAGE for remote in remotes):
        core = _section(config, "core")
        if core.get("remote", STORAGE) != STORAGE:
            notes.append(f"The default remote was {core['remote']}; it is {STORAGE} now.")
        core["remote"] = STORAGE
    after = "\n".join(config.write()) + "\n"
    dvc_files.check_config(after)
    return RemoteChange(path, before, after, (*notes, *_advice(remotes)))


def _refuse_credentials(text: str) -> None:
    found = credentials_in(text)
    if found:
        raise InputError(
            f"{CONFIG} holds credentials ({'; '.join(found)}), and it is in Git.",
            "Revoke them, since Git keeps what was committed; take them out of the file; set the "
            "new ones in the environment or with `dvc remote modify --local`.",
        )


def _section(config: Any, name: str) -> Any:
    for key in config.sections:
        if key.lower() == name:
            return config[key]
    config[name] = {}
    return config[name]


def _write(config: Any, remote: Remote, *, root: Path, force: bool) -> None:
    wanted = remote.options()
    if not remote.scheme:
        wanted["url"] = _as_dvc_writes(root, remote.url)
    section = _section(config, f'remote "{remote.name}"')
    given = {key: value for key, value in wanted.items() if key != "verify"}
    differs = {k: section[k] for k, v in given.items() if section.get(k, v) != v}
    added = [key for key in given if section and key not in section]
    if (differs or added) and not force:
        told = ", ".join(f"{key} = {value}" for key, value in differs.items())
        raise InputError(
            f"The remote {remote.name} exists already ({told or 'without ' + ', '.join(added)}).",
            "Add --force to change it; what lies at the old place stays there.",
        )
    if "url" in differs:  # what was said of the old place does not hold for the new one
        for key in FLAGS:
            section.pop(key, None)
    section.update(wanted)


def _as_dvc_writes(root: Path, folder: str) -> str:
    """The path of a folder as .dvc/config holds it: relative to .dvc, unless it is absolute."""
    if Path(folder).expanduser().is_absolute():
        return folder
    return Path(
        os.path.relpath(Path(folder).resolve(), (root / CONFIG).parent.resolve())
    ).as_posix()


def _separate(config: Any) -> list[str]:
    """Stop where the backup is in the storage; return notes on how well they are separated.

    Raises:
        InputError: one is inside the other.
    """
    names = {key.lower(): config[key] for key in config.sections}
    storage, backup = (names.get(f'remote "{name}"') for name in (STORAGE, BACKUP))
    if not storage or not backup:
        return [] if backup else ["There is no backup: add --backup-url."]
    if overlap(storage, backup):
        raise InputError(
            "The backup would be in the same place as the storage.",
            "Take another bucket, at best of another account and region.",
        )
    if bucket_of(storage) == bucket_of(backup) and scheme_of(str(storage["url"])):
        return ["Storage and backup share a bucket: whoever loses it loses both."]
    return []


def _advice(remotes: Sequence[Remote]) -> list[str]:
    notes = [
        f"{remote.name}: {remote.endpoint_url} is not encrypted on the way; use https."
        for remote in remotes
        if is_unencrypted(remote.endpoint_url)
    ]
    schemes = dict.fromkeys(remote.scheme for remote in remotes if remote.scheme)
    notes += [
        f"Credentials for {scheme}:// come from {ENVIRONMENT[scheme]}; or from "
        "`dvc remote modify --local`, never from .dvc/config."
        for scheme in schemes
    ]
    return notes


def read_remotes(root: Path) -> dict[str, str]:
    """The URLs of the remotes that .dvc/config names, by name.

    The default remote is there under the name `storage` too.
    """
    default, urls = dvc_files.committed_remotes(root)
    return {**({STORAGE: urls[default]} if default in urls else {}), **urls}
