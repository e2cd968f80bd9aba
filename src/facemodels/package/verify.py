"""Checks that a package holds the files that its checksums list, and no others."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from facemodels.errors import InputError, IntegrityError
from facemodels.files import list_files, sha256
from facemodels.names import LEARNED_TASKS

CHECKSUMS = "checksums.sha256"
ONNX = "model.onnx"
HDF5 = "model.h5"  # weights of Keras; only their own architecture reads them
REQUIRED = ("README.md", "config.yaml", "metadata.json", "requirements.txt")
# Formats that run no code when they are read; a pickle or a script is none of them.
ALLOWED = {*REQUIRED, CHECKSUMS, "model.pt", "model.dat", HDF5, ONNX}
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HDF5_HEAD = (512 << 11) + 8  # bytes in which the signature must be
GRAPH = re.compile(r"[a-z][a-z0-9]*\.onnx")  # the file of one graph of several
MEMBERS = "members"  # the folder with the packages that a system is made of, one a task
_MEMBER = re.compile(rf"{MEMBERS}/(?:{'|'.join(LEARNED_TASKS)})/(?P<file>[^/]+)")
_LINE = re.compile(r"([0-9a-f]{64})  ([A-Za-z0-9._/-]+)")
_CACHED = re.compile(r"/[0-9a-f]{2}/[0-9a-f]{30}$")  # DVC names a file by its MD5
_REMEDY = "Restore it with `dvc checkout` or `dvc pull`, or rebuild it; do not load it."


def write_checksums(folder: Path) -> None:
    """List every file of `folder` in the form that `sha256sum -c` reads."""
    names = [name for name in list_files(folder) if name != CHECKSUMS]
    text = checksum_lines({name: sha256(folder / name) for name in names})
    (folder / CHECKSUMS).write_text(text, encoding="ascii")


def checksum_lines(digests: Mapping[str, str]) -> str:
    """Format digests by name as `sha256sum -c` reads them, sorted by name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def has_hdf5_signature(data: bytes) -> bool:
    """Whether bytes are the beginning of an HDF5 file.

    The signature is at byte 0, 512, 1024 or a further doubling (HDF5 File Format Specification
    3.0, section II.A).
    """
    places = [0, *(512 << doubling for doubling in range(12))]
    return any(data[place : place + 8] == _HDF5_SIGNATURE for place in places)


def is_package(folder: Path) -> bool:
    """Return whether `folder` claims to be a package: whether it has a file of checksums."""
    return (folder / CHECKSUMS).is_file()


def verify(folder: Path) -> dict[str, str]:
    """Check names, formats and digests before a byte is parsed.

    Returns:
        Digest of each file, by name.

    Raises:
        InputError: the folder is no package.
        IntegrityError: extra, missing or changed files, links, or formats not allowed.
    """
    if not is_package(folder):
        raise InputError(
            f"{folder} is not a package: it has no {CHECKSUMS}.",
            "Point to a folder such as models/recognition/facenet-v1.0.0.",
        )
    _refuse_odd_entries(folder)
    listed = _read_checksums(folder)
    present = set(list_files(folder)) - {CHECKSUMS}
    changed = [
        name for name in sorted(present & listed.keys()) if sha256(folder / name) != listed[name]
    ]
    extra = (present - listed.keys()) | {name for name in listed if not _is_allowed(name)}
    missing = (listed.keys() | set(REQUIRED)) - present
    if extra or missing or changed:
        raise IntegrityError(
            f"{folder} is not the package that was signed off",
            _REMEDY,
            extra=tuple(sorted(extra)),
            missing=tuple(sorted(missing)),
            changed=tuple(changed),
        )
    if HDF5 in present & listed.keys() and not _is_hdf5(folder / HDF5):
        raise IntegrityError(f"{folder / HDF5} is no HDF5 file.", _REMEDY)
    return listed


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as stream:
        return has_hdf5_signature(stream.read(_HDF5_HEAD))


def _is_allowed(name: str) -> bool:
    member = _MEMBER.fullmatch(name)
    file = member["file"] if member else name
    return file in ALLOWED or GRAPH.fullmatch(file) is not None


def _refuse_odd_entries(folder: Path) -> None:
    """Refuse what is neither a file nor a folder with files, before anything is opened.

    A pipe would be read without an end, and a link can lead elsewhere after it was verified.

    Raises:
        IntegrityError: links, other than those of whole files into DVC's cache; pipes, sockets
            and devices; folders without a file.
    """
    kinds: dict[str, list[str]] = {"links": [], "pipes or devices": [], "empty folders": []}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            if not _is_of_the_cache(path, folder):
                kinds["links"].append(name)
        elif path.is_dir():
            if not any(path.iterdir()):
                kinds["empty folders"].append(name)
        elif not path.is_file():
            kinds["pipes or devices"].append(name)
    for kind, names in kinds.items():
        if names:
            raise IntegrityError(f"{folder} holds {kind}", _REMEDY, extra=tuple(sorted(names)))


def _is_of_the_cache(path: Path, folder: Path) -> bool:
    """Whether a link is one that DVC makes: of a whole file, into a cache by content."""
    inside = path.parent == folder or _MEMBER.fullmatch(path.relative_to(folder).as_posix())
    target = path.resolve()
    return bool(inside) and target.is_file() and _CACHED.search(target.as_posix()) is not None


def _read_checksums(folder: Path) -> dict[str, str]:
    """Digests by name; the file must be exactly what `write_checksums` would write of them."""
    path = folder / CHECKSUMS
    try:
        text = path.read_bytes().decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise IntegrityError(f"{path} cannot be read: {error}", _REMEDY) from error
    listed: dict[str, str] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if match is None or match[2] in listed:
            raise IntegrityError(f"{path} line {number} is malformed", _REMEDY)
        listed[match[2]] = match[1]
    if text != checksum_lines(listed):
        raise IntegrityError(f"{path} is malformed at its end or in its order", _REMEDY)
    return listed
