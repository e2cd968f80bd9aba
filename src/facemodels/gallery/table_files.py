"""Enrolled faces with their embeddings as files for other programs: CSV and NumPy."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from facemodels.errors import DataError, InputError
from facemodels.gallery.rows import EnrolledFaces

TableForm = Literal["csv", "npz"]

_BOX = ("x0", "y0", "x1", "y1")
_WORDS = ("person", "source", "system")
_NUMBERS = ("score", "eyes", "sharpness")
_UNIT = 1e-3  # how far the length of an embedding may be from one


def form_of(path: Path) -> TableForm:
    """Which of the two a file is, by the ending of its name; `.age` behind it does not count.

    Raises:
        InputError: neither.
    """
    name = path.name.removesuffix(".age")
    for form in ("csv", "npz"):
        if name.endswith(f".{form}"):
            return form
    raise InputError(f"{path} is neither .csv nor .npz.", "Name it so, or give a folder of photos.")


def to_bytes(rows: EnrolledFaces, space: str, form: TableForm) -> bytes:
    """The faces as the bytes of a file; equal faces give equal bytes."""
    return (_to_csv if form == "csv" else _to_npz)(rows.sorted(), space)


def of_bytes(data: bytes, form: TableForm, name: str) -> tuple[EnrolledFaces, str]:
    """Read what `to_bytes` gave: the faces, and their embedding space.

    Args:
        data: the bytes of the file.
        form: which file it is.
        name: of the file, for messages.

    Raises:
        DataError: a column is missing, or a value cannot be read or is no unit vector.
    """
    read: Callable[[bytes], tuple[EnrolledFaces, str]] = _of_csv if form == "csv" else _of_npz
    try:
        rows, space = read(data)
        lengths = {len(column) for column in rows.columns().values()}
        shapes = rows.box.shape[1:], rows.embedding.ndim
    except (ValueError, LookupError, OSError, TypeError, EOFError, BadZipFile) as error:
        # The values themselves are people's: only the kind of the error is told.
        raise DataError(f"{name} is no export of a gallery ({type(error).__name__}).") from error
    if len(lengths) != 1 or shapes != ((4,), 2):
        raise DataError(f"{name} has columns that do not belong together.")
    norms = np.linalg.norm(rows.embedding.astype(np.float64), axis=1)
    if not (np.abs(norms - 1) <= _UNIT).all():
        raise DataError(f"{name} has embeddings that are not of length one.")
    return rows, space


def _to_csv(rows: EnrolledFaces, space: str) -> bytes:
    import pandas as pd  # half a second that a search does not need

    columns = {name: _texts(getattr(rows, name)) for name in (*_WORDS, "enrolled")}
    columns |= {name: _texts(rows.box[:, place]) for place, name in enumerate(_BOX)}
    columns |= {name: _texts(getattr(rows, name)) for name in _NUMBERS}
    columns["embedding_space"] = [space] * len(rows)
    columns |= {
        f"e{place}": _texts(rows.embedding[:, place]) for place in range(rows.embedding.shape[1])
    }
    return pd.DataFrame(columns).to_csv(index=False, lineterminator="\n").encode()


def _texts(values: NDArray[Any]) -> list[str]:
    """One text a value; that of a float32 is the shortest that gives its bits back."""
    return ["" if value is None else str(value) for value in values]


def _of_csv(data: bytes) -> tuple[EnrolledFaces, str]:
    import pandas as pd

    table = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False)
    (space,) = set(table["embedding_space"])
    places = [name for name in table.columns if name[:1] == "e" and name[1:].isdigit()]

    def numbers(names: tuple[str, ...] | list[str]) -> NDArray[np.float32]:
        # By NumPy: pandas' own parser of floats may miss the last bit.
        return np.array(table[list(names)].to_numpy().tolist(), np.str_).astype(np.float32)

    words = {name: _words([word or None for word in table[name]]) for name in _WORDS}
    return EnrolledFaces(
        **words,
        box=numbers(_BOX),
        score=numbers(("score",))[:, 0],
        eyes=numbers(("eyes",))[:, 0],
        sharpness=numbers(("sharpness",))[:, 0],
        enrolled=np.array(table["enrolled"].tolist(), "datetime64[s]"),
        embedding=numbers(sorted(places, key=lambda name: int(name[1:]))),
    ), space


def _to_npz(rows: EnrolledFaces, space: str) -> bytes:
    stream = io.BytesIO()
    columns: dict[str, Any] = rows.columns()
    for name in _WORDS:  # no pickles: nobody is an empty name
        columns[name] = np.array(["" if w is None else w for w in columns[name]], np.str_)
    np.savez(stream, embedding_space=np.array(space), **columns)
    return stream.getvalue()


def _of_npz(data: bytes) -> tuple[EnrolledFaces, str]:
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        columns: dict[str, Any] = {name: file[name] for name in file.files}
    space = str(columns.pop("embedding_space"))
    for name in _WORDS:
        columns[name] = _words([word or None for word in columns[name].tolist()])
    for name in ("box", "embedding", *_NUMBERS):
        columns[name] = columns[name].astype(np.float32)
    columns["enrolled"] = columns["enrolled"].astype("datetime64[s]")
    return EnrolledFaces(**columns), space


def _words(values: list[str | None]) -> NDArray[np.object_]:
    words = np.empty(len(values), np.object_)
    words[:] = values
    return words
