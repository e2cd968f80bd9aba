"""Examines the remotes: what is wrong with them, why it matters, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from facemodels import dvc_files
from facemodels.dvc_files import CONFIG
from facemodels.errors import FacemodelsError, InputError, IntegrityError
from facemodels.git import Git, GitError
from facemodels.storage.backup.manifest import read_latest, read_manifest
from facemodels.storage.remotes.finding import RemoteFinding
from facemodels.storage.remotes.remote import (
    credentials_in,
    has_plugin,
    is_unencrypted,
    overlap,
    scheme_of,
)
from facemodels.storage.remotes.s3_bucket import examine_bucket
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.probe import TIMEOUTS, AccessCheck, check_access
from facemodels.storage.stores.retries import Patience
from facemodels.storage.stores.stores import BACKUP, open_store

SKEW_S = 300  # S3 refuses requests whose clock is 15 minutes off
BACKUP_DAYS = 7
_PATIENCE = Patience(seconds=10)
_NAMED = 3  # names of foreign files that a finding lists


@dataclass(frozen=True)
class Checkup:
    """What is to be examined.

    Attributes:
        remote: the one remote to examine; "": the default one and the backup.
        backup: the name of the second remote.
        backup_days: the age in days from which a backup is too old.
        now: gives the time in seconds since 1970.
    """

    remote: str = ""
    backup: str = BACKUP
    backup_days: float = BACKUP_DAYS
    now: Callable[[], float] = time.time


def examine(root: Path, checkup: Checkup | None = None) -> list[RemoteFinding]:
    """Find everything that is wrong, in the order in which to mend it.

    Args:
        root: the folder of the repository.
        checkup: what is to be examined; None: the defaults of `Checkup`.

    Raises:
        InputError: DVC cannot read its configuration, or there is no such remote.
    """
    asked = checkup or Checkup()
    known = dvc_files.read_remotes(root)
    default, remotes = known.default, known.settings
    if asked.remote and asked.remote not in remotes:
        raise InputError(f"There is no remote {asked.remote}.", "See `dvc remote list`.")
    findings = list(_files(root))
    names = [asked.remote] if asked.remote else [default, asked.backup]
    if not asked.remote:
        findings += _arrangement(default, remotes, asked.backup)
    for name in dict.fromkeys(names):
        if name in remotes:
            findings += _remote(root, name, remotes[name], asked)
    return findings


# --- the files ---------------------------------------------------------------------------


def _files(root: Path) -> Iterator[RemoteFinding]:
    path = root / CONFIG
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for option in credentials_in(text):
        yield RemoteFinding(
            "credentials-in-git", str(CONFIG), "problem",
            f"{option} is in a file that Git keeps, for everybody and for ever.",
            "Revoke it at the cloud, take it out of the file, and set a new one in the "
            "environment or with `dvc remote modify --local`.",
        )  # fmt: skip
    try:
        tracked = Git(root).text("ls-files", ".dvc/config.local")
    except GitError:
        return  # no repository of Git's
    if tracked:
        yield RemoteFinding(
            "credentials-in-git", ".dvc/config.local", "problem",
            "The file for credentials is tracked by Git.",
            "`git rm --cached .dvc/config.local`, list it in .dvc/.gitignore, revoke what it held.",
        )  # fmt: skip


def _arrangement(
    default: str, remotes: Mapping[str, Mapping[str, Any]], backup: str
) -> Iterator[RemoteFinding]:
    if not default or default not in remotes:
        yield RemoteFinding(
            "no-remote", str(CONFIG), "problem",
            f"The default remote {default} is not defined." if default else
            "There is no default remote: weights stay on this machine.",
            "Run `facemodels storage init --url s3://bucket/prefix --backup-url …`.",
        )  # fmt: skip
    if backup not in remotes:
        yield RemoteFinding(
            "no-backup", str(CONFIG), "problem",
            f"There is no remote {backup}: what the storage loses is lost.",
            "Run `facemodels storage init --backup-url s3://another-bucket/prefix`.",
        )  # fmt: skip
    elif default == backup:
        yield RemoteFinding(
            "backup-is-storage", backup, "problem",
            f"{backup} is the default remote here, as `facemodels storage recover` leaves it: "
            "there is one copy of everything.",
            "`facemodels storage init --force --url` with a new place, `dvc config --local --unset "
            "core.remote`, then `facemodels storage push` and, for archives, `facemodels storage "
            "audit --repair`.",
        )  # fmt: skip
    elif default in remotes and overlap(remotes[default], remotes[backup]):
        yield RemoteFinding(
            "backup-in-storage", backup, "problem",
            f"The backup is in the same place as {default}: whoever loses one loses both.",
            "`facemodels storage init --force --backup-url` with another bucket, at best of "
            "another account.",
        )  # fmt: skip
    elif default in remotes and _on_one_disk(remotes[default], remotes[backup]):
        yield RemoteFinding(
            "backup-on-same-disk", backup, "problem",
            f"The backup is on the same disk as {default}: when it dies, both are gone.",
            "`facemodels storage init --force --backup-url` with a folder on another disk or "
            "machine, or a bucket.",
        )  # fmt: skip


def _on_one_disk(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two remotes are folders of one file system."""
    urls = [str(remote["url"]) for remote in (one, other)]
    if any("://" in url for url in urls):
        return False
    return len({_device(Path(url)) for url in urls}) == 1


def _device(folder: Path) -> int:
    """The number of the file system that holds a folder, or would hold it."""
    whole = folder.expanduser().absolute()
    return next(place for place in (whole, *whole.parents) if place.exists()).stat().st_dev


# --- one remote --------------------------------------------------------------------------


def _remote(
    root: Path, name: str, settings: Mapping[str, Any], asked: Checkup
) -> Iterator[RemoteFinding]:
    url = str(settings["url"])
    if not settings.get("verify"):
        yield RemoteFinding(
            "verify-off", name, "problem",
            "`verify` is off: DVC delivers damaged files without a word.",
            f"`dvc remote modify {name} verify true`",
        )  # fmt: skip
    if is_unencrypted(str(settings.get("endpointurl") or "")):
        yield RemoteFinding(
            "open-line", name, "problem",
            "The endpoint is spoken to without encryption.",
            f"`dvc remote modify {name} endpointurl https://…`",
        )  # fmt: skip
    try:
        scheme = scheme_of(url)
    except InputError as error:
        yield RemoteFinding("not-examined", name, "unknown", error.what, error.remedy)
        return
    if not has_plugin(scheme):
        yield RemoteFinding(
            "plugin-missing", name, "problem",
            f"DVC's plugin for {scheme}:// is not installed here.",
            f"pip install 'facemodels[{scheme}]'",
        )  # fmt: skip
        return
    store = _open(root, name, scheme)
    access = check_access(store)
    yield from _unreached(name, url, access, asked)
    if access.kind != "ok":
        return
    if scheme == "s3":
        yield from examine_bucket(store, own=bool(settings.get("endpointurl")))
    elif scheme:
        yield RemoteFinding(
            "not-examined", name, "unknown",
            f"Encryption, versioning and public access of {scheme}:// are not looked at; both "
            "clouds encrypt always.",
            "docs/storage.md says what to set: versioning (soft delete), no public access.",
        )  # fmt: skip
    yield from _foreign_files(store)
    if name == asked.backup:
        yield from _age(store, asked)


def _open(root: Path, name: str, scheme: str) -> ObjectStore:
    timeouts = {"remote": {name: dict(TIMEOUTS)}} if scheme == "s3" else None
    return open_store(root, name, config=timeouts, patience=_PATIENCE)


def _unreached(name: str, url: str, access: AccessCheck, asked: Checkup) -> Iterator[RemoteFinding]:
    off = abs(access.clock.timestamp() - asked.now()) if access.clock else 0.0
    if access.kind == "skewed" or off > SKEW_S:
        told = f" by {off:.0f} s" if access.clock else ""
        yield RemoteFinding(
            "clock-skew", name, "problem",
            f"This machine's clock and the store's differ{told}; S3 refuses requests 15 minutes "
            "off, and the registry's events get wrong dates.",
            "Set the clock: `timedatectl set-ntp true`.",
        )  # fmt: skip
    remedies = {
        "absent": ("bucket-absent", f"Make it, or correct the URL {url}."),
        "denied": (
            "access-denied",
            "Check the credentials in the environment or .dvc/config.local; `facemodels storage "
            "init --print-policy reader` prints the rights that are needed.",
        ),
        "unreachable": ("unreachable", "Check the network, the URL and the endpoint."),
    }
    if access.kind in remedies:
        kind, remedy = remedies[access.kind]
        yield RemoteFinding(kind, name, "problem", f"{url} cannot be read: {access.text}", remedy)


def _foreign_files(store: ObjectStore) -> Iterator[RemoteFinding]:
    """Find files among the objects that are no objects; nothing reads or checks them."""
    try:
        odd = store.listing().foreign
    except FacemodelsError as error:
        yield RemoteFinding("unreachable", store.name, "problem", error.what, error.remedy)
        return
    if odd:
        more = f" and {len(odd) - _NAMED} more" if len(odd) > _NAMED else ""
        yield RemoteFinding(
            "no-objects", store.name, "problem",
            f"{len(odd)} files below {store.url} are no objects of DVC's: "
            f"{', '.join(odd[:_NAMED])}{more}.",
            "Nothing needs them, unless somebody put them there by hand; look, then delete them.",
        )  # fmt: skip


def _age(store: ObjectStore, asked: Checkup) -> Iterator[RemoteFinding]:
    run = "Run `facemodels storage backup`, and let cron or CI run it (docs/storage.md)."
    files = NamedFiles(store, _PATIENCE)
    try:
        latest = read_latest(files)
        if latest is not None:
            read_manifest(files, latest)
    except IntegrityError as error:
        yield RemoteFinding("backup-damaged", store.name, "problem", error.what, run)
        return
    if latest is None:
        yield RemoteFinding(
            "backup-empty", store.name, "problem", "No backup was ever complete.", run
        )
        return
    days = (asked.now() - _seconds(latest.made_at)) / 86400
    if days > asked.backup_days:
        yield RemoteFinding(
            "backup-old", store.name, "problem",
            f"The newest backup is {days:.1f} days old, of {latest.made_at}; "
            f"{asked.backup_days:g} are allowed.", run,
        )  # fmt: skip


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()
