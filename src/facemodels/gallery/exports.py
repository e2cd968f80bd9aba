"""Writes people out of a gallery, and remembers where to, so that a removal reaches it.

What is encrypted is encrypted with age (https://age-encryption.org/v1) to somebody's public key.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError, FacemodelsError, InputError
from facemodels.files import atomic_path, canonical_json
from facemodels.gallery.rows import EnrolledFaces, FacePlaces
from facemodels.gallery.spaces import spaces_of
from facemodels.gallery.store import Gallery, changing, kept_photos, open_gallery
from facemodels.gallery.table_files import form_of, of_bytes, to_bytes
from facemodels.gallery.work import work_folder

_KNOWN = "exports.json"  # in the work folder
_DIGITS = 16  # of a digest, in the name of an exported photo
_ENDINGS = ((b"\xff\xd8", ".jpg"), (b"\x89PNG", ".png"), (b"RIFF", ".webp"), (b"BM", ".bmp"))


def export_table(
    gallery: Gallery, target: Path, *, people: Sequence[str] = (), recipients: Sequence[str] = ()
) -> int:
    """Write faces with their embeddings to a CSV or NumPy file that only its owner can read.

    Args:
        gallery: what is exported.
        target: the file; its ending says which form. With recipients it ends in `.age`.
        people: only these; everybody if empty.
        recipients: public keys of age, to which it is encrypted.

    Returns:
        The number of faces.

    Raises:
        InputError: the ending is wrong, or a recipient is no public key.
    """
    if target.name.endswith(".age") != bool(recipients):
        raise InputError(
            f"{target}: a file that ends in .age is encrypted, and no other is.",
            "Give --encrypt RECIPIENT and a name that ends in .csv.age or .npz.age, or neither.",
        )
    rows = _of_people(gallery.rows, people)
    data = to_bytes(rows, gallery.facts.embedding_space, form_of(target))
    with changing(gallery.folder, tracked=False):
        _remember(gallery.folder, target)
        _write(target, _encrypted(data, recipients) if recipients else data)
    return len(rows)


def export_photos(gallery: Gallery, target: Path, *, people: Sequence[str] = ()) -> int:
    """Write kept photos to a folder for each person; see `export_table`.

    Returns:
        The number of photos.

    Raises:
        InputError: the folder holds something already.
        DataError: a photo is not kept.
    """
    if target.is_dir() and any(target.iterdir()):
        raise InputError(f"{target} is not empty.", "Give a new folder.")
    rows = _of_people(gallery.rows.take(gallery.rows.named), people)
    kept = kept_photos(gallery.folder)
    missing = sorted(set(rows.source) - kept.keys())
    if missing:
        raise DataError(
            f"{len(missing)} photos are not kept, such as {missing[0][:_DIGITS]}.",
            "Enrol with --keep-photos, or export to CSV or NumPy.",
        )
    with changing(gallery.folder, tracked=False):
        _remember(gallery.folder, target)
        for person, source in zip(rows.person, rows.source, strict=True):
            data = kept[source].read_bytes()
            place = target / person_folder(person) / f"{source[:_DIGITS]}{_ending(data)}"
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(place, data)
    return len(rows)


def read_table(path: Path, identity: Path | None = None) -> tuple[EnrolledFaces, str]:
    """Read an exported file: the faces, and their embedding space.

    Args:
        path: the file; one that ends in `.age` is decrypted.
        identity: the file of the secret key of age.

    Raises:
        InputError: the ending is wrong, or the secret key is missing or another.
        DataError: it is no export of a gallery.
    """
    form = form_of(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    data = path.read_bytes()
    if path.name.endswith(".age"):
        data = _decrypted(data, path, identity)
    return of_bytes(data, form, str(path))


def take_out(folder: Path, person: str, source: str = "") -> list[str]:
    """Take a person out of the exports of a gallery that are known and still exist.

    Faces that were exported under an earlier name of the person are taken out too. Call it before
    the person is removed from the gallery: after a kill, both can be done again.

    Args:
        folder: of the gallery.
        person: the name.
        source: the first digits of a photo's digest, if only that photo is meant.

    Returns:
        What could not be reached, with what to do about it.
    """
    left = []
    with changing(folder, tracked=False):
        leaving = _Leaving(folder, person, source)
        for path in _known(folder):
            try:
                if path.is_dir():
                    leaving.leave_folder(path)
                elif path.name.endswith(".age"):
                    left.append(f"{path} is encrypted: delete it, and export it anew.")
                else:
                    leaving.leave_table(path)
            except (FacemodelsError, OSError):
                left.append(f"{path} cannot be rewritten: delete it, and export it anew.")
    return left


class _Leaving:
    """The faces of a person who is about to be removed.

    Args:
        folder: of the gallery.
        person: the name.
        source: the first digits of a photo's digest, if only that photo is meant.
    """

    def __init__(self, folder: Path, person: str, source: str) -> None:
        self._person, self._source = person, source
        parts = [open_gallery(folder, space).rows for space in spaces_of(folder)]
        own = [part.take(self._is_own(part)) for part in parts]
        self._faces = [FacePlaces(part) for part in own]
        self._photos = {digest[:_DIGITS] for part in own for digest in part.source}
        self._staying = {
            (name, digest[:_DIGITS])
            for part in parts
            for name, digest in zip(part.person, part.source, strict=True)
            if name != person
        }

    def _is_own(self, rows: EnrolledFaces) -> NDArray[np.bool_]:
        own: NDArray[np.bool_] = rows.person == self._person
        return own & np.array([d.startswith(self._source) for d in rows.source], np.bool_)

    def leave_folder(self, path: Path) -> None:
        """Delete the photos of the person from an export of photos."""
        for photo in sorted(path.glob("*/*")):
            name, digits = person_of(photo.parent.name), photo.stem
            is_own = name == self._person and digits.startswith(self._source[:_DIGITS])
            if is_own or (digits in self._photos and (name, digits) not in self._staying):
                photo.unlink()
                if not any(photo.parent.iterdir()):
                    photo.parent.rmdir()

    def leave_table(self, path: Path) -> None:
        """Delete the rows of the person from a CSV or NumPy file, and an empty file."""
        rows, space = read_table(path)
        leaves = self._is_own(rows)
        for row, (name, source) in enumerate(zip(rows.person, rows.source, strict=True)):
            if (name, source[:_DIGITS]) not in self._staying:
                leaves[row] |= any(len(f.of(source, rows.box[row])) for f in self._faces)
        if leaves.all():
            path.unlink()
        elif leaves.any():
            _write(path, to_bytes(rows.take(~leaves), space, form_of(path)))


def person_folder(person: str) -> str:
    """The name of a person as that of a folder: no part of a path, and never hidden."""
    name = quote(person, safe=" ,'()@+")
    return name.replace(".", "%2E", 1) if name.startswith(".") else name


def person_of(folder: str) -> str:
    """The name of a person, of what `person_folder` gave."""
    return unquote(folder)


def _of_people(rows: EnrolledFaces, people: Sequence[str]) -> EnrolledFaces:
    if not people:
        return rows
    unknown = sorted(set(people) - set(rows.person))
    if unknown:
        raise InputError(f"the gallery has no {unknown[0]}.")
    return rows.take(np.array([person in people for person in rows.person], np.bool_))


def _ending(data: bytes) -> str:
    return next((ending for start, ending in _ENDINGS if data.startswith(start)), "")


def _write(path: Path, data: bytes) -> None:
    with atomic_path(path, mode=0o600) as temporary:
        temporary.write_bytes(data)


def _remember(folder: Path, target: Path) -> None:
    known = sorted({*map(str, _known(folder)), str(target.resolve())})
    _write(work_folder(folder) / _KNOWN, canonical_json(known).encode())


def _known(folder: Path) -> list[Path]:
    """The exports that were made and still exist."""
    path = work_folder(folder) / _KNOWN
    if not path.is_file():
        return []
    return [Path(p) for p in json.loads(path.read_text(encoding="utf-8")) if Path(p).exists()]


def _encrypted(data: bytes, recipients: Sequence[str]) -> bytes:
    import pyrage

    try:
        keys = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    except pyrage.RecipientError as error:
        raise InputError(
            "a recipient is no public key of age.", "It begins with age1; `age-keygen` makes one."
        ) from error
    encrypted: bytes = pyrage.encrypt(data, keys)
    return encrypted


def _decrypted(data: bytes, path: Path, identity: Path | None) -> bytes:
    import pyrage

    if identity is None:
        raise InputError(f"{path} is encrypted.", "Give the secret key's file with --identity.")
    try:
        lines = identity.read_text(encoding="utf-8").splitlines()
        keys = [pyrage.x25519.Identity.from_str(k) for k in lines if k.startswith("AGE-SECRET-KEY")]
        decrypted: bytes = pyrage.decrypt(data, keys)
    except (pyrage.DecryptError, pyrage.IdentityError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not encrypted to a key of {identity} ({type(error).__name__}).",
            "Give the secret key that belongs to one of its recipients.",
        ) from error
    return decrypted
