"""The file format of an archive, which holds one version: docs/formats/archive.md.

The same package gives the same bytes, whatever the machine and the number of threads (zstandard
with workers cuts its input by the level alone). What is read is checked against the registry: an
archive is accepted for its content, not for its place or name.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path
from typing import IO

from facemodels.errors import IntegrityError
from facemodels.files import sha256
from facemodels.package.verify import checksum_lines
from facemodels.registry.state import Entry
from facemodels.storage.retention.settings import ArchiveSettings
from facemodels.storage.retention.version_files import (
    REMEDY,
    VersionFiles,
    check,
    folder_id,
    folder_name,
    is_plain,
    read_list,
)
from facemodels.storage.stores.object_store import md5

SUMS = "SHA256SUMS"
_BLOCK = 1 << 20  # bytes copied at once
_LARGEST_LIST = 16 << 20  # bytes
_SLACK = 1 << 20  # bytes that names and lists may add to the files' own


def pack(entry: Entry, files: VersionFiles, target: Path, settings: ArchiveSettings) -> None:
    """Write an archive.

    Args:
        entry: the version.
        files: the files of the version, checked.
        target: the file to write.
        settings: the level and the number of threads.
    """
    import zstandard

    name = folder_name(entry)
    members = {f"{name}/{child.path}": files.folder / child.path for child in files.children}
    members[files.list.name] = files.list
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
    """Make a header without a date, an owner or a trace of the machine."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member


def unpack(
    entry: Entry, source: Path, scratch: Path, *, largest: int | None = None
) -> VersionFiles:
    """Read an archive and check all of it.

    Args:
        entry: the version that the archive should hold.
        source: the archive.
        scratch: an empty folder, which gets the files.
        largest: the most bytes that the files may have together; None: any number.

    Raises:
        IntegrityError: the archive is damaged, or holds another version than was registered.
    """
    import zstandard

    oid = folder_id(entry)
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
    files = read_list(entry, listed, scratch)
    promised = {f"{folder_name(entry)}/{child.path}" for child in files.children} | {oid}
    if sums.keys() != promised:
        raise IntegrityError(
            f"the archive of {entry.id} is not what was put away",
            extra=tuple(sorted(sums.keys() - promised)),
            missing=tuple(sorted(promised - sums.keys())),
        )
    check(entry, files)
    return files


def _extract(
    entry: Entry, tar: tarfile.TarFile, scratch: Path, limit: int | None
) -> dict[str, str]:
    """Write the files of an archive; check each against the checksums at its beginning."""
    sums: dict[str, str] = {}
    found: dict[str, str] = {}
    total = 0
    for member in tar:
        total += member.size
        if not member.isreg() or not is_plain(member.name) or member.name in found:
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
