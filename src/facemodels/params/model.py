"""A model: architecture, weights, training and package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from facemodels.names import LearnedTask, ModelId, ModelName, Version
from facemodels.params.base import Count, Digest, Frozen
from facemodels.params.version import Card, Gate, PlottedCurve, require_folder


class OperatingPoint(Frozen):
    """A threshold that was chosen on other data than the model's own val split.

    Weights that know real faces need it where only generated ones are at hand.

    Attributes:
        threshold: the threshold of the package.
        source: the data and the rule that it was chosen by.
    """

    threshold: float
    source: str


class Int8(Frozen):
    """How the int8 variant of a model is made, and what it may lose.

    Attributes:
        operators: kinds of ONNX nodes that compute in int8; the others stay float32.
        keep_float: nodes that stay float32 all the same, by patterns (regular expressions) that
            the beginning of their names fits.
        images: the most images of the validation split that calibrate it.
        most_loss: what the primary metric on the test split may lose, 0..1.
    """

    operators: Annotated[tuple[str, ...], Field(min_length=1)] = ("Conv", "Add")
    keep_float: tuple[str, ...] = ()
    images: Count = 240
    most_loss: Annotated[float, Field(ge=0, le=1)] = 0.002


class WeightsDownload(Frozen):
    """Weights that others publish at a URL; `facemodels weights fetch` brings them.

    Attributes:
        file: where the file lies once it is fetched, `data/weights/<name>.<extension>`.
        url: where its author publishes it.
        size: bytes; null while nobody has pinned it.
        sha256: digest of the file; null while nobody has pinned it, and then it is not fetched.
        license: licence of the weights, as an SPDX identifier.
        training_dataset: what they were trained on, as their author says.
    """

    file: Annotated[str, Field(pattern=r"^data/weights/[a-z0-9][a-z0-9-]*\.[a-z0-9]+$")]
    url: Annotated[str, Field(pattern="^https?://")]
    size: Count | None
    sha256: Digest | None
    license: str
    training_dataset: str

    @property
    def name(self) -> str:
        """Its name in conf/weights.yaml, which is that of the file without extension."""
        return Path(self.file).stem

    @model_validator(mode="after")
    def _whole_pin(self) -> Self:
        if (self.size is None) != (self.sha256 is None):
            raise ValueError("size and sha256 are pinned together, or both are null")
        return self


class ModelParams(Frozen):
    """One model of conf/model/.

    Attributes:
        name: task and architecture, such as `recognition-facenet`.
        task: what the model does.
        architecture: name of the architecture's module.
        code: file or folder of the architecture, on which the model's stages depend.
        pretrained: the download that `train.init: pretrained` starts from; null where the
            weights come with a Python distribution, or where there are none.
        weights: file of weights that `train.init` names, on which `train` depends; `code` again
            where there is none.
        teacher: package that loss `distillation` imitates, on which `train` depends; `code`
            again for other losses.
        compatible: package that `train.compatible_with` names, on which `train` depends; `code`
            again where there is none.
        version: semantic version that is being built, such as `2.1.3`.
        variant: form of the version, such as `gpu`; empty for the usual one.
        package: folder of the version's package.
        curve: the curve that is plotted.
        network: keys of the architecture's network schema.
        train: keys of the architecture's training schema.
        operating_point: the package's threshold, where it is not the one chosen on val.
        int8: how `variant: int8` is made; `null` where the model has no such form.
        gates: bounds by metric; `null` switches one off, for an experiment that has others.
        card: what people write about the version.
    """

    name: str
    task: LearnedTask
    architecture: str
    code: str
    pretrained: WeightsDownload | None = None
    weights: str = ""
    teacher: str = ""
    compatible: str = ""
    version: str
    variant: str
    package: str
    curve: PlottedCurve
    network: dict[str, Any]
    train: dict[str, Any]
    operating_point: OperatingPoint | None = None
    int8: Int8 | None = None
    gates: dict[str, Gate | None]
    card: Card

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        name = ModelName.parse(self.name)
        if (name.task, name.architecture) != (self.task, self.architecture):
            raise ValueError(f"{self.name} is not {self.architecture} of the task {self.task}")
        require_folder(self.id, self.package)
        return self

    @property
    def training(self) -> dict[str, Any]:
        """The values of `train`, with the download that `init: pretrained` stands for."""
        return self.train | ({"pretrained": self.pretrained} if self.pretrained else {})

    @property
    def id(self) -> ModelId:
        """The version that is being built."""
        return ModelId(ModelName.parse(self.name), Version.parse(self.version), self.variant)
