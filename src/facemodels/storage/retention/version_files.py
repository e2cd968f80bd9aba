"""The objects of one version as files in a folder, checked against the registry."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from facemodels.errors import InputError, IntegrityError
from facemodels.files import sha256
from facemodels.package.verify import CHECKSUMS, verify
from facemodels.registry.state import Entry
from facemodels.storage.stores.object_store import FolderFile, ObjectStore, md5
from facemodels.storage.stores.objects import folder_of

REMEDY = (
    "Do not delete anything: `facemodels storage audit --repair` looks for it in the storage, the "
    "backup and the cache; `facemodels storage restore` takes --from archive or --from backup."
)


@dataclass(frozen=True)
class VersionFiles:
    """The objects of one version as files.

    Attributes:
        folder: the folder of the package.
        list: the file that holds the `.dir` object; its name is the object id.
        children: the files of the folder.
    """

    folder: Path
    list: Path
    children: tuple[FolderFile, ...]

    @property
    def objects(self) -> Mapping[str, Path]:
        """The file of each object, by id, the list last."""
        files = {child.oid: self.folder / child.path for child in self.children}
        return {**files, self.list.name: self.list}

    @property
    def size(self) -> int:
        """The bytes of all files together."""
        return sum(path.stat().st_size for path in self.objects.values())


def gather(entry: Entry, sources: Sequence[ObjectStore], scratch: Path) -> VersionFiles:
    """Copy each object of a version from the first store that has it whole.

    Args:
        entry: the version.
        sources: the stores, in the order in which they are asked.
        scratch: an empty folder, which gets the files.

    Raises:
        IntegrityError: an object is whole nowhere, or the objects are not what was registered.
        InputError: the version was registered without DVC.
    """
    oid = folder_id(entry)
    listed = scratch / oid
    _get(entry, sources, oid, listed)
    files = read_list(entry, listed, scratch)
    for child in files.children:
        target = files.folder / child.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _get(entry, sources, child.oid, target)
    check(entry, files)
    return files


def _get(entry: Entry, sources: Sequence[ObjectStore], oid: str, target: Path) -> None:
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


def check(entry: Entry, files: VersionFiles) -> None:
    """Stop unless the files are the version that was registered, byte for byte.

    Raises:
        IntegrityError: they are not.
    """
    changed = [oid for oid, path in files.objects.items() if md5(path) != oid.split(".")[0]]
    if changed:
        raise IntegrityError(f"{entry.id} is not what was registered", changed=tuple(changed))
    verify(files.folder)
    recorded = entry.evidence.get("package")
    if recorded and recorded != f"sha256:{sha256(files.folder / CHECKSUMS)}":
        raise IntegrityError(f"{entry.id} has another package than was registered.", REMEDY)


def folder_id(entry: Entry) -> str:
    """The id of a version's `.dir` object.

    Raises:
        InputError: the version was registered without DVC.
    """
    oid = folder_of(entry)
    if oid is None:
        raise InputError(
            f"{entry.id} was registered without a folder that DVC tracks.",
            "There is nothing to archive or to restore.",
        )
    return oid


def read_list(entry: Entry, listed: Path, scratch: Path) -> VersionFiles:
    """Read the list of a folder; the files need not be there yet.

    Raises:
        IntegrityError: a name in the list would lead out of the folder.
    """
    children = tuple(
        FolderFile(one["md5"], one["relpath"]) for one in json.loads(listed.read_bytes())
    )
    wrong = tuple(child.path for child in children if not is_plain(child.path))
    if wrong:
        raise IntegrityError(f"the list of {entry.id} leads elsewhere", extra=wrong)
    return VersionFiles(scratch / folder_name(entry), listed, children)


def is_plain(path: str) -> bool:
    """Whether a path from a list or an archive stays below the folder that it is put in."""
    parts = PurePosixPath(path).parts
    return bool(parts) and ".." not in parts and not path.startswith("/") and "\\" not in path


def folder_name(entry: Entry) -> str:
    """The name of the folder of a version's package, for example `facenet-v1.0.0`."""
    return PurePosixPath(str(entry.facts.get("path") or entry.id)).name
