"""Enrolled faces to a Parquet file and back: equal rows give equal bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from facemodels.errors import DataError
from facemodels.files import atomic_path
from facemodels.gallery.rows import EnrolledFaces

# Embeddings are noise to a compressor, and statistics would repeat some of them in the footer.
_WORDS = ["person", "source", "system"]


def write_faces(path: Path, rows: EnrolledFaces) -> None:
    """Replace a file at once; only its owner can read it."""
    table = pa.table(_arrays(rows.sorted()), schema=_schema(rows.embedding.shape[1]))
    with atomic_path(path, mode=0o600) as temporary:
        parquet.write_table(
            table, temporary, compression="none", use_dictionary=_WORDS, write_statistics=False
        )


def read_faces(path: Path, dimension: int) -> EnrolledFaces:
    """Read the faces of a file that holds embeddings of length D.

    Raises:
        DataError: the file is missing, broken, or has other columns.
    """
    remedy = "Take the file of a commit before with `dvc checkout`."
    try:
        table = parquet.read_table(path, memory_map=False)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}).", remedy) from error
    if not table.schema.equals(_schema(dimension)):
        raise DataError(
            f"{path} has not the columns of a gallery of dimension {dimension}.", remedy
        )
    rows = _rows(table, dimension)
    if not np.isfinite(rows.embedding).all():
        raise DataError(f"{path} holds embeddings that are not finite.", remedy)
    return rows


def _schema(dimension: int) -> pa.Schema:
    word, number = pa.string(), pa.float32()
    return pa.schema([
        pa.field("person", word),
        pa.field("source", word, nullable=False),
        pa.field("box", pa.list_(number, 4), nullable=False),
        pa.field("score", number, nullable=False),
        pa.field("eyes", number, nullable=False),
        pa.field("sharpness", number, nullable=False),
        pa.field("enrolled", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("system", word, nullable=False),
        pa.field("embedding", pa.list_(number, dimension), nullable=False),
    ])  # fmt: skip


def _arrays(rows: EnrolledFaces) -> dict[str, Any]:
    columns: dict[str, Any] = rows.columns()
    for name in _WORDS:
        columns[name] = pa.array(columns[name].tolist(), pa.string())
    for name in ("box", "embedding"):
        values = columns[name]
        columns[name] = pa.FixedSizeListArray.from_arrays(
            pa.array(np.ascontiguousarray(values).ravel(), pa.float32()), values.shape[1]
        )
    moments = rows.enrolled.astype("datetime64[ms]")
    columns["enrolled"] = pa.array(moments, pa.timestamp("ms")).cast(pa.timestamp("ms", tz="UTC"))
    return columns


def _rows(table: pa.Table, dimension: int) -> EnrolledFaces:
    def words(name: str) -> NDArray[np.object_]:
        values = np.empty(len(table), np.object_)
        values[:] = table.column(name).to_pylist()
        return values

    def numbers(name: str, width: int) -> NDArray[np.float32]:
        column = table.column(name).combine_chunks()
        flat = column.flatten().to_numpy(zero_copy_only=False)
        # A copy: pyarrow's memory is read-only, and lives as long as the table.
        return np.array(flat, np.float32).reshape(len(table), width)

    def number(name: str) -> NDArray[np.float32]:
        return np.array(table.column(name).to_numpy(), np.float32)

    moments = table.column("enrolled").cast(pa.timestamp("ms")).to_numpy()
    return EnrolledFaces(
        person=words("person"),
        source=words("source"),
        box=numbers("box", 4),
        score=number("score"),
        eyes=number("eyes"),
        sharpness=number("sharpness"),
        enrolled=moments.astype("datetime64[s]"),
        system=words("system"),
        embedding=numbers("embedding", dimension),
    )
