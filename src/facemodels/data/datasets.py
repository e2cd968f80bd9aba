"""Finds the kind of a dataset, by the name in params.yaml or by the layout of a path."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from facemodels.data import kinds
from facemodels.data.dataset_kind import (
    FOR_TESTING,
    FOR_TRAINING,
    DatasetKind,
    DatasetSettings,
    DatasetSplits,
    FaceFinder,
    RecognitionKind,
)
from facemodels.data.executors import Workers
from facemodels.data.image_places import IN_MEMORY, ImagePlace
from facemodels.errors import DataError, ParamsError
from facemodels.params import Data, parse


@dataclass(frozen=True)
class Dataset:
    """One dataset: its kind, and the settings with which the kind reads it."""

    kind: DatasetKind[Any, Any]
    settings: DatasetSettings

    def read(
        self,
        *,
        workers: Workers,
        place: ImagePlace = IN_MEMORY,
        finder: FaceFinder | None = None,
    ) -> DatasetSplits[Any]:
        """Read the dataset into splits; see `DatasetKind.read` and `RecognitionKind.read`."""
        if isinstance(self.kind, RecognitionKind):
            return self.kind.read(self.settings, workers=workers, place=place, finder=finder)
        return self.kind.read(self.settings, workers=workers, place=place)


def kinds_of(task: str) -> list[DatasetKind[Any, Any]]:
    """All kinds of a task, in the order in which they recognise a path.

    They are the `KINDS` of the modules in `facemodels.data.kinds`.
    """
    modules = (
        import_module(f"{kinds.__name__}.{module.name}")
        for module in pkgutil.iter_modules(kinds.__path__)
    )
    found = [kind for module in modules for kind in module.KINDS if kind.task == task]
    return sorted(found, key=lambda kind: (kind.precedence, kind.reader))


def dataset_of(data: Data, task: str) -> Dataset:
    """The dataset that params.yaml names for a task.

    Raises:
        ParamsError: its reader is unknown, or its keys do not fit the kind's schema.
    """
    values = data.of(task)
    known = {kind.reader: kind for kind in kinds_of(task)}
    if values.reader not in known:
        raise ParamsError(
            f"data.{task}.reader is {values.reader!r}, which is none of {', '.join(known)}.",
            "docs/datasets.md lists the readers.",
        )
    kind = known[values.reader]
    return Dataset(kind, parse(kind.settings, values.model_dump(exclude={"needs"}), f"data.{task}"))


def recognised(path: Path, task: str, *, testing: bool = False) -> Dataset:
    """The dataset at a path that conf/data/ does not describe, told by its layout.

    Args:
        path: a folder or file.
        task: what the data is for.
        testing: keep little for choosing the threshold and test on the rest.

    Raises:
        DataError: no kind of the task has this layout.
    """
    for kind in kinds_of(task):
        settings = kind.recognise(path, FOR_TESTING if testing else FOR_TRAINING)
        if settings is not None:
            return Dataset(kind, settings)
    raise DataError(
        f"{path} has no layout known for {task}.",
        "See docs/datasets.md for the layouts that are read.",
    )
