"""The composed parameters, typed and frozen: the only reader of params.yaml.

`network` and `train` of a model belong to its architecture and the keys of a dataset belong
to its kind (`facemodels.data.kinds`); their modules hold these schemas. Everything else is
checked here, unknown keys included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from facemodels.errors import ParamsError
from facemodels.files import refuse_folder
from facemodels.names import LearnedTask, ModelId, ModelName, Version

Share = Annotated[float, Field(ge=0, lt=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # SHA-256
Count = Annotated[int, Field(ge=1)]


class Frozen(BaseModel):
    """Base of all schemas of settings: unknown keys are errors, and values cannot be changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
    """

    detection: DatasetParams
    recognition: DatasetParams
    landmarks: DatasetParams

    def of(self, task: str) -> DatasetParams:
        """The dataset of a task."""
        chosen: DatasetParams = getattr(self, task)
        return chosen


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

    operators: Annotated[list[str], Field(min_length=1)] = ["Conv", "Add"]
    keep_float: list[str] = []
    images: Count = 240
    most_loss: Annotated[float, Field(ge=0, le=1)] = 0.002


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
        if str(self.id.folder) != self.package:
            raise ValueError(
                f"package is {self.package}, but {self.id} belongs in {self.id.folder}"
            )
        return self

    @property
    def training(self) -> dict[str, Any]:
        """The values of `train`, with the download that `init: pretrained` stands for."""
        return self.train | ({"pretrained": self.pretrained} if self.pretrained else {})

    @property
    def id(self) -> ModelId:
        """The version that is being built."""
        return ModelId(ModelName.parse(self.name), Version.parse(self.version), self.variant)


class Benchmark(Frozen):
    """How packages are timed.

    Attributes:
        threads: number of threads of the runtime.
        warmup: number of runs that are not counted.
        runs: number of runs that are.
        batch_sizes: numbers of images in a run; each is timed.
    """

    threads: Count
    warmup: Annotated[int, Field(ge=0)]
    runs: Count
    batch_sizes: list[Count]


class Compare(Frozen):
    """How candidates of a task are set side by side.

    Attributes:
        baselines: folder of a released package by task; empty for none.
        resamples: number of bootstrap resamples of a difference.
        confidence: level of its interval.
        seed: seed of the resamples.
        threads: number of threads of the runtime.
        warmup: number of timed runs that are not counted.
        runs: number of timed runs that are.
        across_crops: compare models of different crops too, each in its own. A difference is
            then one of the models together with their crops.
        compatibility_margin: how far the accuracy of a version that claims the embedding space
            of another may lie below the other's, with its own faces against the other's gallery.
            The low end of the paired interval counts, see docs/compatible-training.md.
    """

    baselines: dict[str, str]
    resamples: Count
    confidence: Annotated[float, Field(gt=0, lt=1)]
    seed: int
    threads: Count
    warmup: Annotated[int, Field(ge=0)]
    runs: Count
    across_crops: bool = False
    compatibility_margin: Annotated[float, Field(ge=0, le=1)] = 0.01


class Params(Frozen):
    """All of params.yaml.

    Attributes:
        real_root: folder in which conf/data/real.yaml looks for its datasets.
        data: one dataset for each task.
        weights: the weights that others publish, by name.
        models: the models by name.
        benchmark: how packages are timed.
        compare: how candidates are compared.
    """

    real_root: str
    data: Data
    weights: dict[str, WeightsDownload] = {}
    models: dict[str, ModelParams]
    benchmark: Benchmark
    compare: Compare

    @model_validator(mode="after")
    def _files_have_the_names_of_their_weights(self) -> Self:
        for name, download in self.weights.items():
            if download.name != name:
                raise ValueError(f"weights.{name}.file is {download.file}, not data/weights/{name}")
        return self

    def model(self, name: str) -> ModelParams:
        """The parameters of one model.

        Raises:
            ParamsError: no model of that name.
        """
        if name not in self.models:
            raise ParamsError(
                f"params.yaml has no model {name!r}, it has {', '.join(self.models)}.",
                "Add conf/model/<name>.yaml and its name to conf/config.yaml.",
            )
        return self.models[name]


Schema = TypeVar("Schema", bound=BaseModel)


def parse(schema: type[Schema], values: Mapping[str, Any], where: str) -> Schema:
    """Check plain values against a schema.

    Args:
        schema: the schema.
        values: keys and values, as a YAML file has them.
        where: name of the file or section for the message.

    Raises:
        ParamsError: some keys do not fit; the message names each of them.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(str(part) for part in issue['loc']) or '(top)'}: {issue['msg']}"
            for issue in error.errors(include_url=False)
        ]
        raise ParamsError(f"{where} does not fit: {'; '.join(lines)}.") from error


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        ParamsError: the file is missing, cannot be read, or holds no mapping.
        InputError: `path` is a folder.
    """
    refuse_folder(path, "Give a YAML file.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise ParamsError(f"{path} holds no mapping of keys to values.")
    return values


def load(path: Path = Path("params.yaml")) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """
    return parse(Params, load_yaml(path), str(path))
