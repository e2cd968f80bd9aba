"""The gates of imported models, from conf/import.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from facemodels import params
from facemodels.git import root_or
from facemodels.names import ModelName
from facemodels.params import Frozen, Gate, load_yaml, parse

PATH = Path("conf", "import.yaml")
IMPORTED_KINDS = ("onnx", "torch", "keras")  # of files


class ImportSettings(Frozen):
    """Gates of imported models that have no file in conf/model/, by task.

    Attributes:
        recognition: bounds by metric, as `gates` in conf/model/.
        detection: likewise.
    """

    recognition: dict[str, Gate | None] = Field(default_factory=dict)
    detection: dict[str, Gate | None] = Field(default_factory=dict)

    def of(self, task: str) -> Mapping[str, Gate | None]:
        """The gates of a task; none for one that is not imported."""
        gates: Mapping[str, Gate | None] = getattr(self, task, {})
        return gates


def gates_here(name: ModelName) -> Mapping[str, Gate | None]:
    """The gates of a model in the repository that the command runs in.

    They are those of params.yaml where the model has some, else those of conf/import.yaml.

    Raises:
        ParamsError: one of the files does not fit its schema.
    """
    root = root_or(Path.cwd())
    if (root / "params.yaml").is_file():
        known = params.load(root / "params.yaml").models.get(str(name))
        if known is not None:
            return known.gates
    if not (root / PATH).is_file():
        return {}
    return parse(ImportSettings, load_yaml(root / PATH), str(PATH)).of(name.task)
