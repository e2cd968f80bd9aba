"""One retired version as one file: docs/formats/archive.md.

The same package gives the same bytes, whatever machine and number of threads (zstandard with
workers cuts its input by the level alone). What is read is checked against the registry, so
an archive is believed for what is in it and not for where it lies.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from facemodels.errors import InputError, IntegrityError
from facemodels.files import sha256
from facemodels.package.verify import CHECKSUMS, checksum_lines, verify
from facemodels.registry.state import Entry
from facemodels.storage.retention.settings import ArchiveSettings
from facemodels.storage.stores.object_store import CACHE, Child, Place, md5
from facemodels.storage.stores.objects import folder_of

SUMS = "SHA256SUMS"
_BLOCK = 1 << 20  # bytes copied at once
_LARGEST_LIST = 16 << 20  # bytes
_PROTECTED = 0o444  # DVC hashes what is writable again and again
_SLACK = 1 << 20  # bytes that names and lists may add to the files' own
REMEDY = "Do not delete anything; restore it with --from backup, or from another clone's cache."


@dataclass(frozen=True)
class Content:
    """The objects of one version as files.

    Attributes:
        folder: of the package.
        list: the `.dir` object.
        children: what is in the folder.
    """

    folder: Path
    list: Path
    children: tuple[Child, ...]

    @property
    def objects(self) -> Mapping[str, Path]:
        """Files by object id, the list last."""
        files = {child.oid: self.folder / child.path for child in self.children}
        return {**files, self.list.name: self.list}

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.objects.values())


# --- content -------------------------------------------------------------------------------


def gather(entry: Entry, sources: list[Place], scratch: Path) -> Content:
    """Copy a version's objects from the first place that has each of them whole.

    Raises:
        IntegrityError: an object is whole nowhere, or they are not what was registered.
        InputError: the version was registered without DVC.
    """
    oid = _folder(entry)
    listed = scratch / oid
    _get(entry, sources, oid, listed)
    content = _content(entry, listed, scratch)
    for child in content.children:
        target = content.folder / child.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _get(entry, sources, child.oid, target)
    check(entry, content)
    return content


def _get(entry: Entry, sources: list[Place], oid: str, target: Path) -> None:
    for source in sources:
        try:
            source.get(oid, target)
        except IntegrityError:
            continue
        return
    names = ", ".join(source.name for source in sources)
    raise IntegrityError(
        f"object {oid} of {entry.id} is whole neither in {names}.",
        "See `facemodels storage audit --repair`.",
    )


def check(entry: Entry, content: Content) -> None:
    """Stop unless these files are the version that was registered, byte for byte.

    Raises:
        IntegrityError: they are not.
    """
    changed = [oid for oid, path in content.objects.items() if md5(path) != oid.split(".")[0]]
    if changed:
        raise IntegrityError(f"{entry.id} is not what was registered", changed=tuple(changed))
    verify(content.folder)
    recorded = entry.evidence.get("package")
    if recorded and recorded != f"sha256:{sha256(content.folder / CHECKSUMS)}":
        raise IntegrityError(f"{entry.id} has another package than was registered.", REMEDY)


def _folder(entry: Entry) -> str:
    oid = folder_of(entry)
    if oid is None:
        raise InputError(
            f"{entry.id} was registered without a folder that DVC tracks.",
            "There is nothing to archive or to restore.",
        )
    return oid


def _content(entry: Entry, listed: Path, scratch: Path) -> Content:
    """What a list promises, after a look at its names: they become paths."""
    children = tuple(Child(one["md5"], one["relpath"]) for one in json.loads(listed.read_bytes()))
    wrong = tuple(child.path for child in children if not _is_plain(child.path))
    if wrong:
        raise IntegrityError(f"the list of {entry.id} leads elsewhere", extra=wrong)
    return Content(scratch / _name(entry), listed, children)


def _is_plain(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/") and "\\" not in path


def _name(entry: Entry) -> str:
    """Of the package's folder."""
    return PurePosixPath(str(entry.facts.get("path") or entry.id)).name


def put(place: Place, source: Path, oid: str) -> None:
    """Copy an object into a place; in the cache it is protected as DVC protects its own."""
    place.put(source, oid)
    if place.name == CACHE:
        Path(place.path(oid)).chmod(_PROTECTED)


# --- one file ------------------------------------------------------------------------------


def pack(entry: Entry, content: Content, target: Path, settings: ArchiveSettings) -> None:
    """Write an archive.

    Args:
        entry: the version.
        content: its files, checked.
        target: the file to write.
        settings: level and threads.
    """
    import zstandard

    name = _name(entry)
    members = {f"{name}/{child.path}": content.folder / child.path for child in content.children}
    members[content.list.name] = content.list
    sums = checksum_lines({path: sha256(file) for path, file in members.items()}).encode()
    # Always with workers, or one thread would give other bytes than two.
    compressor = zstandard.ZstdCompressor(
        level=settings.level, threads=settings.threads or -1, write_checksum=True
    )
    with (
        target.open("wb") as file,
        compressor.stream_writer(file) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        tar.addfile(_member(SUMS, len(sums)), io.BytesIO(sums))
        for path in sorted(members):
            with members[path].open("rb") as source:
                tar.addfile(_member(path, members[path].stat().st_size), source)


def _member(name: str, size: int) -> tarfile.TarInfo:
    """A header without date, owner or machine."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def unpack(entry: Entry, source: Path, scratch: Path, *, largest: int | None = None) -> Content:
    """Read an archive and check all of it.

    Args:
        entry: the version that it should hold.
        source: the archive.
        scratch: an empty folder.
        largest: bytes that its files have at most; None: any number.

    Raises:
        IntegrityError: it is damaged, or is not the version that was registered.
    """
    import zstandard

    oid = _folder(entry)
    limit = None if largest is None else largest + _SLACK
    try:
        with (
            source.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            sums = _extract(entry, tar, scratch, limit)
    except (zstandard.ZstdError, tarfile.TarError, EOFError, ValueError) as error:
        raise IntegrityError(f"the archive of {entry.id} is damaged: {error}.", REMEDY) from error
    listed = scratch / oid
    if not listed.is_file() or md5(listed) != oid.removesuffix(".dir"):
        raise IntegrityError(f"the archive of {entry.id} holds another version.", REMEDY)
    content = _content(entry, listed, scratch)
    promised = {f"{_name(entry)}/{child.path}" for child in content.children} | {oid}
    if sums.keys() != promised:
        raise IntegrityError(
            f"the archive of {entry.id} is not what was put away",
            extra=tuple(sorted(sums.keys() - promised)),
            missing=tuple(sorted(promised - sums.keys())),
        )
    check(entry, content)
    return content


def _extract(
    entry: Entry, tar: tarfile.TarFile, scratch: Path, limit: int | None
) -> dict[str, str]:
    """Write the files of an archive, each held against the list at its beginning."""
    sums: dict[str, str] = {}
    found: dict[str, str] = {}
    total = 0
    for member in tar:
        total += member.size
        if not member.isreg() or not _is_plain(member.name) or member.name in found:
            raise IntegrityError(f"the archive of {entry.id} holds a link or worse.", REMEDY)
        if limit is not None and total > limit:
            raise IntegrityError(f"the archive of {entry.id} is larger than it was.", REMEDY)
        data = tar.extractfile(member)
        assert data is not None  # noqa: S101  (a regular file)
        if not found and not sums:
            if member.name != SUMS or member.size > _LARGEST_LIST:
                raise IntegrityError(f"the archive of {entry.id} has no {SUMS}.", REMEDY)
            sums = _read_sums(data.read())
            continue
        if member.name not in sums:
            raise IntegrityError(f"the archive of {entry.id} holds more", extra=(member.name,))
        found[member.name] = _copy(data, scratch / member.name)
    changed = tuple(sorted(name for name, digest in found.items() if sums[name] != digest))
    missing = tuple(sorted(sums.keys() - found.keys()))
    if changed or missing:
        raise IntegrityError(
            f"the archive of {entry.id} is damaged", REMEDY, changed=changed, missing=missing
        )
    return sums


def _read_sums(data: bytes) -> dict[str, str]:
    lines = (line.split("  ", 1) for line in data.decode().splitlines())
    return {name: digest for digest, name in lines}


def _copy(data: IO[bytes], target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while block := data.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
