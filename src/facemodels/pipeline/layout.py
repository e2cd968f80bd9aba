"""Prepared data for one-off commands, from a path whose layout nobody described.

The stages never guess a layout: their datasets are described in conf/data/.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from facemodels.data.datasets import recognised
from facemodels.pipeline.prepare import prepare


@contextmanager
def dataset(path: Path, task: str, *, testing: bool = False) -> Iterator[Path]:
    """Give the prepared form of `path`: itself, or arrays in a temporary folder.

    Args:
        path: a prepared folder, or a dataset in one of the layouts of docs/datasets.md.
        task: detection, recognition or landmarks.
        testing: keep little for choosing the threshold and test on the rest.

    Raises:
        DataError: the layout is none of these.
    """
    if (path / "groups.json").is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        found = recognised(path, task, testing=testing)
        prepare(found, Path(scratch), report=None, picture=None)
        yield Path(scratch)
