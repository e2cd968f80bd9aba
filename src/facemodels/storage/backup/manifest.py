"""What a backup says of itself.

    registry/bundles/<sha256>.bundle             Git, with every ref
    registry/manifests/<sha256>.json             what belongs together; no date, so that the
                                                 same content has the same name
    registry/latest.json                         names the newest manifest; written last

Manifests and bundles are never changed, and `latest.json` is replaced as a whole once all it
speaks of is there and was read again. Whatever ends a backup early leaves the one before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from facemodels.errors import IntegrityError
from facemodels.files import canonical_json
from facemodels.storage.stores.named_files import Shelf

T = TypeVar("T")
FORMAT = 1
LATEST = "registry/latest.json"


@dataclass(frozen=True)
class Held:
    """A version in a backup.

    Attributes:
        folder: id of its `.dir` object.
        package: `sha256:…` of its checksums, as the registry has it; "" where it has none.
        objects: how many it has, the folder's own included.
        size: of them, bytes.
    """

    folder: str
    package: str
    objects: int
    size: int


@dataclass(frozen=True)
class Manifest:
    """What belongs together in a backup.

    Attributes:
        head: object id of the registry's last event; "" for a registry without events.
        bundle: name of the Git bundle, which holds its digest.
        bundle_size: bytes.
        refs: SHA-256 of the names and ids of all refs in the bundle.
        versions: whose objects are there, by id.
        without_objects: registered versions that DVC never tracked.
        archives: SHA-256 of the archives of versions whose objects were retired, by name.
        format: of this document.
    """

    head: str
    bundle: str
    bundle_size: int
    refs: str
    versions: Mapping[str, Held]
    without_objects: tuple[str, ...] = ()
    archives: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def bundle_sha256(self) -> str:
        """Of the bundle's bytes."""
        return Path(self.bundle).stem

    @property
    def data(self) -> bytes:
        """The document."""
        return canonical_json(asdict(self)).encode()

    @property
    def name(self) -> str:
        """Where it lies."""
        return f"registry/manifests/{hashlib.sha256(self.data).hexdigest()}.json"


@dataclass(frozen=True)
class Latest:
    """Which manifest is the newest.

    Attributes:
        manifest: its name, which holds its digest.
        made_at: when the backup was complete, as 2026-01-02T03:04:05Z.
        format: of this document.
    """

    manifest: str
    made_at: str
    format: int = FORMAT

    @property
    def data(self) -> bytes:
        """The document."""
        return canonical_json(asdict(self)).encode()


def read_latest(shelf: Shelf) -> Latest | None:
    """Which manifest is the newest; None where no backup was ever complete.

    Raises:
        IntegrityError: the file is no such document.
        ToolError: the place cannot be reached.
    """
    data = shelf.read(LATEST)
    return None if data is None else _parse(Latest, data, f"{LATEST} in {shelf.place.name}")


def read_manifest(shelf: Shelf, latest: Latest) -> Manifest:
    """The manifest that is named, checked.

    Raises:
        IntegrityError: it is not there, or not what its name says.
        ToolError: the place cannot be reached.
    """
    where = f"{latest.manifest} in {shelf.place.name}"
    data = shelf.read(latest.manifest)
    if data is None:
        raise IntegrityError(f"{where} is missing")
    digest = hashlib.sha256(data).hexdigest()
    if latest.manifest != f"registry/manifests/{digest}.json":
        raise IntegrityError(f"{where} is not what its name says")
    return _parse(Manifest, data, where)


def _parse(kind: type[T], data: bytes, where: str) -> T:
    try:
        value: Any = json.loads(data)
        return TypeAdapter(kind).validate_python(value)
    except (ValueError, ValidationError) as error:
        raise IntegrityError(
            f"{where} is no document of a backup.",
            "Run `facemodels storage backup`; older manifests lie in registry/manifests.",
        ) from error
