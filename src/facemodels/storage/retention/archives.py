"""The archives of one remote: sent, read back, fetched. docs/formats/archive.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facemodels.errors import InputError, IntegrityError
from facemodels.files import sha256
from facemodels.package.verify import checksum_lines
from facemodels.registry.state import Entry
from facemodels.storage.retention.archive import REMEDY, Content, pack, unpack
from facemodels.storage.retention.settings import ArchiveSettings
from facemodels.storage.stores.errors import explain
from facemodels.storage.stores.named_files import Shelf
from facemodels.storage.stores.object_store import Place

_SUFFIX = ".tar.zst"


@dataclass(frozen=True)
class Facts:
    """An archive as it lies in a remote.

    Attributes:
        path: below the remote's URL.
        sha256: of its bytes.
        bytes: of them.
        size: bytes of the files in it.
    """

    path: str
    sha256: str
    bytes: int
    size: int

    def as_json(self) -> dict[str, Any]:
        """For the registry's record."""
        return asdict(self)


class Archives:
    """The archives below the URL of one remote.

    Args:
        place: the remote.
        settings: prefix and storage class, level and threads.
    """

    def __init__(self, place: Place, settings: ArchiveSettings) -> None:
        self._place = place
        self._shelf = Shelf(place)
        self._settings = settings

    def name(self, entry: Entry) -> str:
        """Path of a version's archive below the remote's URL."""
        return f"{self._settings.prefix}/{entry.id}{_SUFFIX}"

    def send(
        self,
        entry: Entry,
        content: Content,
        scratch: Path,
        *,
        before: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Put an archive away; what lay there is replaced, whole or not at all.

        Args:
            entry: the version.
            content: its files, checked.
            scratch: a folder to pack in.
            before: called with a word for every step before it is made.

        Raises:
            ToolError: the remote cannot be reached, or has no such storage class.
        """
        file = scratch / f"{entry.id}{_SUFFIX}"
        pack(entry, content, file, self._settings)
        name = self.name(entry)
        before(f"send {entry.id}")
        self._send(file, name)
        before(f"send checksum of {entry.id}")
        self._shelf.write(f"{name}.sha256", checksum_lines({file.name: sha256(file)}).encode())

    def _send(self, file: Path, name: str) -> None:
        if not self._settings.storage_class:
            self._shelf.send(file, name)
            return
        system = self._place.odb.fs
        if "s3" not in (system.protocol, *getattr(system.fs, "protocol", ())):
            raise InputError(
                f"{self._place.url} has no storage classes: it is not S3.",
                "Empty archive.storage_class in conf/retention.yaml.",
            )
        try:
            system.put_file(
                str(file), self._shelf.path(name), StorageClass=self._settings.storage_class
            )
        # The clouds' libraries have errors of their own, without a common base.
        except Exception as error:
            raise explain(self._place.name, self._place.url, error) from error

    def fetch(
        self, entry: Entry, scratch: Path, recorded: Mapping[str, Any] | None = None
    ) -> tuple[Facts, Content]:
        """Read an archive back and check all of it.

        Args:
            entry: the version.
            scratch: an empty folder.
            recorded: what the registry says of the archive; None if it knows none yet.

        Raises:
            IntegrityError: it is not there, damaged, or another version.
            ToolError: the remote cannot be reached.
        """
        name = str((recorded or {}).get("path") or self.name(entry))
        file = scratch / "archive"
        digest = self._download(name, file, recorded)
        largest = (recorded or {}).get("size")
        folder = scratch / "content"
        folder.mkdir()
        content = unpack(entry, file, folder, largest=largest if type(largest) is int else None)
        facts = Facts(name, digest, file.stat().st_size, content.size)
        file.unlink()
        return facts, content

    def _download(self, name: str, target: Path, recorded: Mapping[str, Any] | None) -> str:
        """Fetch an archive that is what the registry says, or the file beside it.

        Two runs with different zstandard libraries put the same files away in other bytes, and
        the registry knows those of the first; what counts is checked in `unpack`.
        """
        beside = (self._shelf.read(f"{name}.sha256") or b"").decode(errors="replace").split()
        known = dict.fromkeys([str((recorded or {}).get("sha256", "")), *beside[:1]])
        for digest in filter(None, known):
            try:
                self._shelf.fetch(name, target, digest)
            except IntegrityError:
                continue
            return digest
        raise IntegrityError(
            f"{name} in {self._place.name} is missing, or not the archive that was put there.",
            REMEDY,
        )
