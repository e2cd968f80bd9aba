"""Prepared data for one-off commands, from a path whose layout nobody described.

The stages never guess a layout: their datasets are described in conf/data/.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from facemodels.data.dataset_kind import DatasetSettings
from facemodels.data.datasets import Dataset, recognised
from facemodels.data.kinds.folders import FoldersSettings
from facemodels.data.real.recognition import FaceSettings
from facemodels.errors import InputError
from facemodels.params import parse
from facemodels.pipeline.few_people import dealt
from facemodels.pipeline.prepare import prepare


@contextmanager
def dataset(
    path: Path,
    task: str,
    *,
    testing: bool = False,
    crops: Iterable[str] = (),
    detector: Path | None = None,
    reading: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """Give the prepared form of `path`: itself, or arrays in a temporary folder.

    Args:
        path: a prepared folder, or a dataset in one of the layouts of docs/datasets.md.
        task: detection, recognition or landmarks.
        testing: keep little for choosing the threshold and test on the rest.
        crops: names of the crops that the recognition models take; "" counts as none.
        detector: folder of the detector's package that finds the faces of recognition; None
            takes the middle of each image.
        reading: how the dataset is read, by key of its kind in conf/data/; other keys are the
            defaults, and those of a folder with few people are chosen by their number.

    Raises:
        DataError: the layout is none of these.
        ParamsError: a value of `reading` is none that its key may have.
        InputError: prepared data is to be read anew, the detector is missing, or `reading` has a
            key that the layout lacks.
    """
    if (path / "groups.json").is_file():
        if detector is not None or reading:
            raise InputError(
                f"{path} is prepared: its pictures are read and its faces are cut already.",
                "Give the dataset that it was made of, or leave the options out that say how.",
            )
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        found = recognised(path, task, testing=testing)
        if isinstance(found.settings, FaceSettings):
            found = replace(found, settings=_cut_as(found.settings, crops, detector))
        found = replace(found, settings=_read_as(found, reading or {}))
        if isinstance(found.settings, FoldersSettings):
            found = replace(found, settings=dealt(found.settings, testing=testing))
        prepare(found, Path(scratch), report=None, picture=None)
        yield Path(scratch)


def crop_of(preprocessing: Mapping[str, Any]) -> str:
    """The name of the crop that a model takes, by its `preprocessing`; "" if it says none."""
    name: str = preprocessing.get("crop", {}).get("name", "")
    return name


def _read_as(found: Dataset, reading: Mapping[str, Any]) -> DatasetSettings:
    """The settings with what was asked for."""
    schema = type(found.settings)
    unknown = sorted(reading.keys() - schema.model_fields.keys())
    if unknown:
        raise InputError(
            f"{found.settings.source} has the layout {found.kind.reader}, which knows no "
            f"{', '.join(unknown)}.",
            "Leave the option out.",
        )
    return parse(
        schema,
        found.settings.model_dump(exclude_unset=True) | dict(reading),
        "the options of the dataset",
    )


def _cut_as(settings: FaceSettings, crops: Iterable[str], detector: Path | None) -> FaceSettings:
    wanted = tuple(sorted({crop for crop in crops if crop})) or settings.crops
    return settings.model_copy(
        update={"crops": wanted, "detector": str(detector) if detector else ""}
    )
