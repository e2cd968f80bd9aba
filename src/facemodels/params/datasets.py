"""The dataset of each task."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from facemodels.params.base import Frozen


class DatasetParams(BaseModel):
    """The dataset of a task. Its other keys belong to its reader, whose schema checks them.

    Attributes:
        reader: name of the kind of dataset, see docs/datasets.md.
        source: folder of the dataset, or of the generator's code.
        needs: a further path that `prepare` depends on, such as the package of the detector
            that finds the faces; `source` again where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    reader: str
    source: str
    needs: str = ""


class Data(Frozen):
    """One dataset for each task.

    Attributes:
        detection: images with face boxes.
        recognition: faces with identities.
        landmarks: faces with 68 points.
        system: whole photos of known people; nothing in a params.yaml from before systems.
    """

    detection: DatasetParams
    recognition: DatasetParams
    landmarks: DatasetParams
    system: DatasetParams = DatasetParams(reader="", source="")

    def of(self, task: str) -> DatasetParams:
        """The dataset of a task."""
        chosen: DatasetParams = getattr(self, task)
        return chosen
