"""Audit the archives of versions: they are read again in each remote that should have them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facemodels.errors import FacemodelsError, IntegrityError
from facemodels.files import sha256
from facemodels.progress import progress
from facemodels.registry.state import Entry, State
from facemodels.storage.retention.archive import pack
from facemodels.storage.retention.archive_copies import ensure_copy, send_archive
from facemodels.storage.retention.archive_store import ArchiveStore, recorded_archive
from facemodels.storage.retention.settings import ArchiveSettings, load
from facemodels.storage.retention.version_files import gather
from facemodels.storage.stores.named_files import NamedFiles
from facemodels.storage.stores.object_store import CACHE, ObjectStore
from facemodels.storage.sync.findings import Kind, ObjectFinding


@dataclass(frozen=True)
class RecordedArchive:
    """An archive as the registry records it.

    Attributes:
        entry: the version.
        path: of the archive, below the URL of a remote.
        sha256: its hexadecimal SHA-256.
        bytes: its size; None where the record has none.
        objects: the ids of the objects that nobody needed any more when it was made.
    """

    entry: Entry
    path: str
    sha256: str
    bytes: int | None
    objects: frozenset[str] = frozenset()


def recorded_archives(state: State) -> list[RecordedArchive]:
    """The archives of all archived versions."""
    found = []
    for identity in sorted(state.archived):
        facts = recorded_archive(state, identity) or {}
        if "path" in facts and "sha256" in facts:
            digest = str(facts["sha256"]).removeprefix("sha256:")
            size = facts.get("bytes")
            entry = state.entries[identity]
            found.append(
                RecordedArchive(
                    entry,
                    str(facts["path"]),
                    digest,
                    size if type(size) is int else None,
                    frozenset(map(str, facts.get("objects") or ())),
                )
            )
    return found


def audit_archives(
    store: ObjectStore, archives: Sequence[RecordedArchive], read: Iterable[str]
) -> list[ObjectFinding]:
    """Find the archives that a remote has not, or not whole.

    Args:
        store: the remote.
        archives: what it should have.
        read: the paths of those that are read again; of the others, the size is looked at.

    Raises:
        ToolError: the remote cannot be reached.
    """
    taken = set(read)
    found = []
    with progress(f"audit archives of {store.name}", len(archives)) as advance:
        for one in archives:
            kind = _condition(store, one, read=one.path in taken)
            if kind is not None:
                found.append(ObjectFinding(store.name, kind, one.path, (one.entry.id,)))
            advance(1)
    return found


def _condition(store: ObjectStore, archive: RecordedArchive, *, read: bool) -> Kind | None:
    files = NamedFiles(store)
    info = files.info(archive.path)
    if info is None:
        return "missing"
    if not read:
        return None if archive.bytes in (None, info.size) else "corrupt"
    if files.digest(archive.path) == archive.sha256:
        return None
    # Another zstandard may have packed the same files into other bytes.
    facts = {"path": archive.path, "sha256": archive.sha256}
    try:
        with ArchiveStore(store, ArchiveSettings()).open(archive.entry, facts):
            return None
    except IntegrityError:
        return "corrupt"


def repair_archive(
    archive: RecordedArchive,
    target: ObjectStore,
    others: Sequence[ObjectStore],
    root: Path,
    *,
    dry_run: bool,
) -> str:
    """Bring an archive back where it is missing or damaged.

    It is copied from a remote that has it whole, or packed anew from the objects of the version.

    Args:
        archive: as the registry records it.
        target: the remote that lacks it.
        others: the cache and other remotes; one that does not answer is passed over.
        root: of the repository, whose settings say how archives are packed.
        dry_run: say where it would come from, and send nothing.

    Returns:
        The name of the store that it came from; empty if it is whole nowhere.

    Raises:
        ToolError: the target cannot be reached, or has no room.
    """
    files = NamedFiles(target)
    for other in others:
        if other.name != CACHE and _is_whole(other, archive):
            if not dry_run:
                ensure_copy(NamedFiles(other), files, archive.path, archive.sha256)
            return other.name
    return _packed_anew(archive, files, [*others, target], root, dry_run=dry_run)


def _is_whole(store: ObjectStore, archive: RecordedArchive) -> bool:
    try:
        return NamedFiles(store).digest(archive.path) == archive.sha256
    except FacemodelsError:
        return False


def _packed_anew(
    archive: RecordedArchive,
    target: NamedFiles,
    sources: Sequence[ObjectStore],
    root: Path,
    *,
    dry_run: bool,
) -> str:
    for source in sources:
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            file = Path(scratch, "archive")
            content = Path(scratch, "content")
            content.mkdir()
            try:
                gathered = gather(archive.entry, [source], content)
            except FacemodelsError:
                continue
            pack(archive.entry, gathered, file, load(root).archive)
            if sha256(file) != archive.sha256:
                return ""  # other settings or another zstandard than those of the record
            if not dry_run:
                send_archive(target, file, archive.path, archive.sha256)
            return source.name
    return ""
