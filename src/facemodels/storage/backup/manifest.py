"""The documents of a backup, which say what belongs together.

    registry/bundles/<sha256>.bundle             Git, with every ref
    registry/manifests/<sha256>.json             what belongs together; no date, so that the
                                                 same content has the same name
    registry/latest.json                         names the newest manifest; written last

Manifests and bundles are never changed. `latest.json` is replaced as a whole once everything that
it names is there and was read again. A backup that is stopped early leaves the one before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from facemodels.errors import IntegrityError
from facemodels.files import canonical_json
from facemodels.registry.events import to_text
from facemodels.storage.stores.named_files import NamedFiles

T = TypeVar("T")
FORMAT = 1
DOCUMENTS = "registry/"  # all of them lie below it
LATEST = f"{DOCUMENTS}latest.json"
MANIFESTS = f"{DOCUMENTS}manifests"


@dataclass(frozen=True)
class BackedUpVersion:
    """A version in a backup.

    Attributes:
        folder: the id of its `.dir` object.
        package: `sha256:…` of its checksums, as the registry has it; "" where it has none.
        objects: the number of its objects, the folder's own included.
        size: the bytes of its objects.
    """

    folder: str
    package: str
    objects: int
    size: int


@dataclass(frozen=True)
class BackupManifest:
    """What belongs together in a backup.

    Attributes:
        head: the object id of the registry's last event; "" for a registry without events.
        bundle: the name of the Git bundle, which holds its digest.
        bundle_size: the bytes of the bundle.
        refs: the SHA-256 of the names and ids of all refs in the bundle.
        versions: the versions whose objects are in the backup, by id.
        without_objects: the ids of registered versions that DVC never tracked.
        damaged: the ids of versions and the names of archives that were whole nowhere.
        archives: the SHA-256 of the archives of archived versions, by name.
        format: the version of this format.
    """

    head: str
    bundle: str
    bundle_size: int
    refs: str
    versions: Mapping[str, BackedUpVersion]
    without_objects: tuple[str, ...] = ()
    archives: Mapping[str, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def bundle_sha256(self) -> str:
        """The SHA-256 of the bundle, which its name holds."""
        return Path(self.bundle).stem

    @property
    def data(self) -> bytes:
        """The bytes of the document."""
        values = asdict(self)
        if not self.damaged:  # as before there was such a field: the same content, the same name
            del values["damaged"]
        return canonical_json(values).encode()

    @property
    def name(self) -> str:
        """The name of the document below the remote's URL."""
        return f"{MANIFESTS}/{hashlib.sha256(self.data).hexdigest()}.json"


@dataclass(frozen=True)
class LatestBackup:
    """The pointer to the newest manifest.

    Attributes:
        manifest: the name of the manifest, which holds its digest.
        made_at: when the backup was complete, as 2026-01-02T03:04:05Z.
        format: the version of this format.
    """

    manifest: str
    made_at: str
    format: int = FORMAT

    @property
    def data(self) -> bytes:
        """The bytes of the document."""
        return canonical_json(asdict(self)).encode()


def read_latest(files: NamedFiles) -> LatestBackup | None:
    """Read the pointer to the newest manifest; None where no backup was ever complete.

    Raises:
        IntegrityError: the file is no such document.
        ToolError: the remote cannot be reached.
    """
    data = files.read(LATEST)
    return None if data is None else _parse(LatestBackup, data, f"{LATEST} in {files.store.name}")


def read_complete(files: NamedFiles) -> tuple[LatestBackup, BackupManifest]:
    """Read the pointer to the newest backup and its manifest.

    Raises:
        IntegrityError: no backup was ever complete, or its documents are damaged.
        ToolError: the remote cannot be reached.
    """
    latest = read_latest(files)
    if latest is None:
        raise IntegrityError(
            f"there is no complete backup in {files.store.name} ({files.url}).",
            "Run `facemodels storage backup`.",
        )
    return latest, read_manifest(files, latest)


def read_manifest(files: NamedFiles, latest: LatestBackup) -> BackupManifest:
    """Read the manifest that the pointer names, and check its digest.

    Raises:
        IntegrityError: the manifest is not there, or not what its name says.
        ToolError: the remote cannot be reached.
    """
    where = f"{latest.manifest} in {files.store.name}"
    data = files.read(latest.manifest)
    if data is None:
        raise IntegrityError(f"{where} is missing")
    digest = hashlib.sha256(data).hexdigest()
    if latest.manifest != f"{MANIFESTS}/{digest}.json":
        raise IntegrityError(f"{where} is not what its name says")
    return _parse(BackupManifest, data, where)


def whole_manifests(files: NamedFiles) -> Iterator[tuple[LatestBackup, BackupManifest]]:
    """Read all manifests that are whole, for where the pointer or what it names is not.

    A manifest is written once all that it names is there, so each is a complete backup.

    Yields:
        What the pointer to it would be, with the store's date of the manifest, and the manifest;
        the newest by these dates first.

    Raises:
        ToolError: the remote cannot be reached.
    """
    dates = files.dates(MANIFESTS)
    for name in sorted(dates, key=lambda name: (-dates[name], name)):
        latest = LatestBackup(name, to_text(int(dates[name])))
        try:
            yield latest, read_manifest(files, latest)
        except IntegrityError:
            continue


def _parse(kind: type[T], data: bytes, where: str) -> T:
    try:
        value: Any = json.loads(data)
        return TypeAdapter(kind).validate_python(value)
    except (ValueError, ValidationError) as error:
        raise IntegrityError(
            f"{where} is no document of a backup.",
            "Run `facemodels storage backup` in a clone, which writes it anew; without one, "
            "`facemodels storage recover` takes the newest manifest that is whole.",
        ) from error
