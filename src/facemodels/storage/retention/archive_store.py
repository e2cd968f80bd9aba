"""The archives in one remote: they are sent, read back and fetched by version."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import InputError, IntegrityError
from facemodels.files import sha256
from facemodels.registry.state import Entry, State
from facemodels.storage.retention.archive import pack, unpack
from facemodels.storage.retention.archive_copies import ensure_copy, send_archive
from facemodels.storage.retention.settings import ArchiveSettings
from facemodels.storage.retention.version_files import REMEDY, VersionFiles
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import ObjectStore

_SUFFIX = ".tar.zst"


@dataclass(frozen=True)
class ArchiveFacts:
    """What the registry records of an archive.

    Attributes:
        path: its path below the remote's URL.
        sha256: the hexadecimal SHA-256 of the file.
        bytes: the size of the file.
        size: the bytes of the version's files before they were compressed.
    """

    path: str
    sha256: str
    bytes: int
    size: int

    def as_json(self) -> dict[str, Any]:
        """The facts as values of JSON, for the record of the `archive` event."""
        return asdict(self)


class ArchiveStore:
    """Sends and fetches the archives below the URL of one remote.

    Args:
        remote: the remote.
        settings: prefix and storage class of the archives, level and threads of the compression.
    """

    def __init__(self, remote: ObjectStore, settings: ArchiveSettings) -> None:
        self._remote = remote
        self._files = NamedFiles(remote)
        self._settings = settings

    def name(self, entry: Entry) -> str:
        """The path of a version's archive below the remote's URL."""
        return f"{self._settings.prefix}/{entry.id}{_SUFFIX}"

    def send(
        self,
        entry: Entry,
        files: VersionFiles,
        *,
        before: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Pack a version and send the archive; what had its name is replaced as a whole.

        Args:
            entry: the version.
            files: the files of the version, checked.
            before: called with the name of every step before it is made.

        Raises:
            InputError: the settings name a storage class, and the remote is not S3.
            ToolError: the remote cannot be reached, or does not know the storage class.
        """
        self._require_storage_class()
        name = self.name(entry)
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            file = Path(scratch, f"{entry.id}{_SUFFIX}")
            pack(entry, files, file, self._settings)
            before(f"send {entry.id}")
            storage_class = self._settings.storage_class
            send_archive(self._files, file, name, sha256(file), storage_class=storage_class)

    def _require_storage_class(self) -> None:
        if not self._settings.storage_class:
            return
        system = self._remote.odb.fs
        if "s3" not in (system.protocol, *getattr(system.fs, "protocol", ())):
            raise InputError(
                f"{self._remote.url} has no storage classes: it is not S3.",
                "Empty archive.storage_class in conf/retention.yaml.",
            )

    def ensure_copy(self, facts: ArchiveFacts, target: ObjectStore) -> None:
        """Have an archive of this remote in another one too, read back there.

        Raises:
            IntegrityError: it is not whole here, or does not arrive whole.
            ToolError: one of the remotes cannot be reached, or has no room.
        """
        ensure_copy(self._files, NamedFiles(target), facts.path, facts.sha256)

    @contextmanager
    def open(
        self, entry: Entry, recorded: Mapping[str, Any] | None = None
    ) -> Iterator[tuple[ArchiveFacts, VersionFiles]]:
        """Fetch an archive into a temporary folder; see `fetch`."""
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            yield self.fetch(entry, Path(scratch), recorded)

    def fetch(
        self, entry: Entry, scratch: Path, recorded: Mapping[str, Any] | None = None
    ) -> tuple[ArchiveFacts, VersionFiles]:
        """Read an archive and check all of it.

        Args:
            entry: the version.
            scratch: an empty folder, which gets the files.
            recorded: what the registry records of the archive; None if it records none yet.

        Raises:
            IntegrityError: the archive is not there, is damaged, or holds another version.
            ToolError: the remote cannot be reached.
        """
        name = str((recorded or {}).get("path") or self.name(entry))
        file = scratch / "archive"
        digest = self._download(name, file, recorded)
        largest = (recorded or {}).get("size")
        folder = scratch / "content"
        folder.mkdir()
        files = unpack(entry, file, folder, largest=largest if type(largest) is int else None)
        facts = ArchiveFacts(name, digest, file.stat().st_size, files.size)
        file.unlink()
        return facts, files

    def _download(self, name: str, target: Path, recorded: Mapping[str, Any] | None) -> str:
        """Fetch an archive that has the digest of the registry, or of the checksum file beside it.

        Two runs with different zstandard libraries pack the same files into different bytes, and
        the registry knows the digest of the first; `unpack` checks the files themselves.
        """
        beside = (self._files.read(f"{name}.sha256") or b"").decode(errors="replace").split()
        known = dict.fromkeys([str((recorded or {}).get("sha256", "")), *beside[:1]])
        for digest in filter(None, known):
            try:
                self._files.fetch(name, target, digest)
            except IntegrityError:
                continue
            return digest
        raise IntegrityError(
            f"{name} in {self._remote.name} is missing, or not the archive that was put there.",
            REMEDY,
        )


def recorded_archive(state: State, identity: str) -> Mapping[str, Any] | None:
    """What the registry records of a version's archive; None if the version is not archived.

    The keys are those of `ArchiveFacts`, and `objects`: the ids of the version's objects.
    """
    event = state.archived.get(identity)
    facts = (event.record or {}).get("archive") if event else None
    return facts if isinstance(facts, dict) else None
