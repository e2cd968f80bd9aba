"""Checks of a graph by running it: embedding size and length, batches, determinism.

They run the served form, so what is checked is what answers later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemodels.importing.canonical import CHANNELS, ImageInput, recogniser, set_shape
from facemodels.importing.checks import ImportCheck
from facemodels.importing.onnx_file import OnnxFile, Port
from facemodels.runtime import Run, open_graph

BATCH_TOLERANCE = 1e-4  # of a unit vector's numbers; other batch sizes sum in another order
UNIT_TOLERANCE = 1e-4  # of a length
_PROBES = 5


@dataclass(frozen=True)
class Rewritten:
    """A recogniser in the served form.

    Attributes:
        graph: the bytes of the ONNX file.
        embedding_size: D.
        row_by_row: whether the graph runs once a row.
        normalised: whether the import added the division by the length.
        checks: what was looked at.
    """

    graph: bytes
    embedding_size: int
    row_by_row: bool
    normalised: bool
    checks: tuple[ImportCheck, ...]


def rewritten(
    file: OnnxFile,
    images: ImageInput,
    output: Port,
    scaled: Callable[[list[NDArray[np.uint8]]], NDArray[np.float32]],
) -> Rewritten | ImportCheck:
    """Bring a recogniser into the served form and run it on random pictures.

    Args:
        file: the graph.
        images: its input.
        output: its output with the embedding.
        scaled: turns pictures, uint8 (S, S, 3), into the network's input.

    Returns:
        The recogniser, or the check that says why it does not run.
    """
    batch = probes(images.size, scaled)
    form = _running(file, images, output, batch)
    if isinstance(form, ImportCheck):
        return form
    row_by_row, run = form
    raw = run(batch)
    lengths = np.linalg.norm(raw.astype(np.float64), axis=1)
    usable = bool(np.isfinite(lengths).all() and (lengths > 0).all())
    unit = usable and bool(np.abs(lengths - 1).max() <= UNIT_TOLERANCE)
    graph = set_shape(
        recogniser(file, images, output, normalise=not unit, row_by_row=row_by_row), raw.shape[1]
    )
    checks = [_size(raw), _lengths(lengths, usable=usable, unit=unit)]
    if all(check.passed for check in checks):
        checks += behaviour(graph, batch, row_by_row=row_by_row)
    return Rewritten(graph, raw.shape[1], row_by_row, not unit, tuple(checks))


def behaviour(graph: bytes, batch: NDArray[np.float32], *, row_by_row: bool) -> list[ImportCheck]:
    """Run a graph in its served form: alone and together, twice, and on different pictures.

    Args:
        graph: the bytes of the ONNX file, with unit rows.
        batch: float32 (N, 3, S, S), different pictures.
        row_by_row: whether the graph runs once a row; said to the reader.
    """
    run = open_graph(graph, threads=1).run
    together = run(batch)
    alone = np.concatenate([run(batch[row : row + 1]) for row in range(len(batch))])
    again = open_graph(graph, threads=1).run(batch)
    apart = float(np.abs(together - alone).max())
    least = float(np.abs(np.diff(alone, axis=0)).max(axis=1).min())
    return [
        ImportCheck(
            "batches",
            apart <= BATCH_TOLERANCE,
            f"a picture in a batch differs from the picture alone by {apart:.1e} at most"
            + (", run row by row" if row_by_row else ""),
            "Its answer depends on what is beside it: export it in evaluation mode.",
        ),
        ImportCheck(
            "determinism",
            together.tobytes() == again.tobytes() == run(batch).tobytes(),
            "three runs in two sessions, compared bit by bit",
            "It draws random numbers: export it in evaluation mode, without dropout.",
        ),
        ImportCheck(
            "different pictures",
            least > BATCH_TOLERANCE,
            f"differ by {least:.1e} at least",
            "It gives one answer for all pictures: the weights or the scale are wrong.",
        ),
    ]


def probes(
    size: int, scaled: Callable[[list[NDArray[np.uint8]]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Input of random pictures, float32 (N, 3, S, S)."""
    rng = np.random.default_rng(0)
    shape = (_PROBES, size, size, CHANNELS)
    return scaled(list(rng.integers(0, 256, shape, dtype=np.uint8)))


def _running(
    file: OnnxFile, images: ImageInput, output: Port, batch: NDArray[np.float32]
) -> tuple[bool, Run] | ImportCheck:
    """The form that runs, on any number of rows: at once, or else row by row."""
    failure = ""
    for row_by_row in (True,) if images.fixed_batch else (False, True):
        graph = recogniser(file, images, output, normalise=False, row_by_row=row_by_row)
        try:
            run = open_graph(graph, threads=1).run
            if run(batch).shape[:1] == batch.shape[:1] and run(batch[:1]).ndim == 2:
                return row_by_row, run
        except runtime_errors() as error:
            failure = " ".join(str(error).split())[:300]
    return ImportCheck(
        "runs",
        False,
        failure or "its output has not one row for each picture",
        "ONNX Runtime does not run it: export it again, with a free batch axis.",
    )


def runtime_errors() -> tuple[type[Exception], ...]:
    """The errors of ONNX Runtime, which share no base but Exception."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    found = [value for value in vars(state).values() if isinstance(value, type)]
    return (*(kind for kind in found if issubclass(kind, Exception)), RuntimeError, ValueError)


def _size(raw: NDArray[np.float32]) -> ImportCheck:
    return ImportCheck(
        "embedding size",
        2 <= raw.shape[1] <= 8192,
        f"{raw.shape[1]} numbers",
        "That is no embedding: name the right output with --embedding-output.",
    )


def _lengths(lengths: NDArray[np.float64], *, usable: bool, unit: bool) -> ImportCheck:
    found = f"{lengths.min():.4g} to {lengths.max():.4g}"
    return ImportCheck(
        "embedding length",
        usable,
        found if unit else f"{found}, brought to 1",
        "It gives no numbers, or none but 0: the weights or the scale are wrong.",
    )
