"""What a version of a model or of a system states: its card, gates and curve."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from facemodels.names import ModelId
from facemodels.params.base import Frozen


class Gate(Frozen):
    """A least or a most value that a metric must keep.

    Attributes:
        min: the least value, if there is one.
        max: the most, if there is one.
    """

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _one_bound(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a gate needs min or max")
        return self


UNKNOWN = "unknown"  # what a card says where nobody stated it; the registry refuses it


class Card(Frozen):
    """What people write about a version.

    Attributes:
        created_at: time of the version, not of the build; ISO 8601, UTC.
        author: who made it.
        description: what it is, in a sentence.
        changelog: what is new since the parent version.
        known_issues: what it does not do well.
        license: licence of the weights.
        training_dataset: name of the dataset that it was trained on.
        parent_version: version that it was made from; empty for the first.
    """

    created_at: str
    author: str
    description: str
    changelog: str
    known_issues: str
    license: str
    training_dataset: str
    parent_version: str


class PlottedCurve(Frozen):
    """A curve that `validate` writes and `dvc plots` draws.

    Attributes:
        name: name of the CSV file, without extension.
        x: column of the horizontal axis.
        y: column of the vertical axis.
    """

    name: str
    x: str
    y: str


def require_folder(model: ModelId, package: str) -> None:
    """Refuse a package's folder that is not the one of its version.

    Raises:
        ValueError: it is another one.
    """
    if str(model.folder) != package:
        raise ValueError(f"package is {package}, but {model} belongs in {model.folder}")
