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

from facemodels.data.datasets import recognised
from facemodels.data.real.recognition import FaceSettings
from facemodels.errors import InputError
from facemodels.pipeline.prepare import prepare


@contextmanager
def dataset(
    path: Path,
    task: str,
    *,
    testing: bool = False,
    crops: Iterable[str] = (),
    detector: Path | None = None,
) -> Iterator[Path]:
    """Give the prepared form of `path`: itself, or arrays in a temporary folder.

    Args:
        path: a prepared folder, or a dataset in one of the layouts of docs/datasets.md.
        task: detection, recognition or landmarks.
        testing: keep little for choosing the threshold and test on the rest.
        crops: names of the crops that the recognition models take; "" counts as none.
        detector: folder of the detector's package that finds the faces of recognition; None
            takes the middle of each image.

    Raises:
        DataError: the layout is none of these.
        InputError: prepared data is to be cut anew, or the detector is missing.
    """
    if (path / "groups.json").is_file():
        if detector is not None:
            raise InputError(
                f"{path} is prepared: its faces are cut already.",
                "Give the dataset that it was made of, or leave the detector out.",
            )
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        found = recognised(path, task, testing=testing)
        if isinstance(found.settings, FaceSettings):
            found = replace(found, settings=_cut_as(found.settings, crops, detector))
        prepare(found, Path(scratch), report=None, picture=None)
        yield Path(scratch)


def crop_of(preprocessing: Mapping[str, Any]) -> str:
    """The name of the crop that a model takes, by its `preprocessing`; "" if it says none."""
    name: str = preprocessing.get("crop", {}).get("name", "")
    return name


def _cut_as(settings: FaceSettings, crops: Iterable[str], detector: Path | None) -> FaceSettings:
    wanted = tuple(sorted({crop for crop in crops if crop})) or settings.crops
    return settings.model_copy(
        update={"crops": wanted, "detector": str(detector) if detector else ""}
    )
