"""A system: the packages of its members, and how they work together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from facemodels.names import ModelId, ModelName, Version
from facemodels.params.base import Count, Frozen
from facemodels.params.version import Card, Gate, PlottedCurve, require_folder


class Members(Frozen):
    """Packages that a system is made of, by task.

    Attributes:
        detection: folder of the detector's package.
        landmarks: folder of the package that gives the points of a face; that of `detection`
            again where the detector gives them.
        recognition: folder of the recogniser's package.
    """

    detection: str
    landmarks: str
    recognition: str

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each member by its task; no landmarks where the detector gives points."""
        named = {task: Path(folder) for task, folder in self.model_dump().items()}
        if self.landmarks == self.detection:
            del named["landmarks"]
        return named


class SystemParams(Frozen):
    """One system of conf/bundle/.

    Attributes:
        name: such as `system-faces`.
        task: `system`.
        code: folder of the system's code, on which its stages depend.
        version: semantic version that is being built, such as `2.1.3`.
        package: folder of the version's package.
        members: the packages that it is made of.
        calibration: file with the thresholds of the recogniser on other photos; `code` again
            where the val split of `data.system` gives them.
        fmr: the false match rate that the threshold of verification gives.
        quality: the least of a face that is enrolled or searched, see
            `facemodels.system.quality.QualityLimits`.
        threads: number of threads of each member's runtime.
        curve: the curve that is plotted.
        gates: bounds by metric; `null` switches one off, for an experiment that has others.
        card: what people write about the version; its licence is the strictest of the members'.
    """

    name: str
    task: Literal["system"]
    code: str
    version: str
    package: str
    members: Members
    calibration: str
    fmr: Annotated[float, Field(gt=0, lt=1)]
    quality: dict[str, Any]
    threads: Count
    curve: PlottedCurve
    gates: dict[str, Gate | None]
    card: Card

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        if self.id.name.task != self.task:
            raise ValueError(f"{self.name} is no name of a system, such as system-faces")
        require_folder(self.id, self.package)
        return self

    @property
    def calibration_file(self) -> Path | None:
        """The file with thresholds that were measured on other photos, if there is one."""
        return Path(self.calibration) if self.calibration != self.code else None

    @property
    def id(self) -> ModelId:
        """The version that is being built."""
        return ModelId(ModelName.parse(self.name), Version.parse(self.version))
