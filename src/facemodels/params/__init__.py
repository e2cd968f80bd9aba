"""The composed parameters, typed and frozen: the only reader of params.yaml.

`network` and `train` of a model belong to its architecture and the keys of a dataset belong
to its kind (`facemodels.data.kinds`); their modules hold these schemas. Everything else is
checked here, unknown keys included. Modules in reading order:

- `base`: what all schemas share
- `datasets`: the dataset of each task
- `version`: card, gates and curve
- `model`: a model
- `system`: a system of models
- `whole`: all of params.yaml
"""

from facemodels.params.base import Count, Digest, Frozen, Share, load_yaml, parse
from facemodels.params.datasets import Data, DatasetParams
from facemodels.params.model import Int8, ModelParams, OperatingPoint, WeightsDownload
from facemodels.params.system import Members, SystemParams
from facemodels.params.version import UNKNOWN, Card, Gate, PlottedCurve
from facemodels.params.whole import Benchmark, Compare, Params, PrepareWork, TrainingWork, load

__all__ = [
    "UNKNOWN",
    "Benchmark",
    "Card",
    "Compare",
    "Count",
    "Data",
    "DatasetParams",
    "Digest",
    "Frozen",
    "Gate",
    "Int8",
    "Members",
    "ModelParams",
    "OperatingPoint",
    "Params",
    "PlottedCurve",
    "PrepareWork",
    "Share",
    "SystemParams",
    "TrainingWork",
    "WeightsDownload",
    "load",
    "load_yaml",
    "parse",
]
