"""The import from a checked graph to a package: validate, gate, package, test.

Nothing is written below `models/` or `reports/` before the last step has passed.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.evaluate import bootstrap
from facemodels.evaluate.gates import GateResult, judge, require
from facemodels.evaluate.protocols import evaluate
from facemodels.files import write_json
from facemodels.importing.architecture import Described, architecture_of
from facemodels.names import ModelId
from facemodels.package.build import PackageContent, build
from facemodels.package.load import open_package
from facemodels.params import Card, Gate
from facemodels.pipeline.benchmark import run_suite
from facemodels.pipeline.validate import RESAMPLES, Validation

VALIDATE, IMPORT = Path("reports", "validate"), Path("reports", "import")
SUITE = Path("tests", "model_tests")
_SEED = 1
_KEPT = ("metrics", "threshold", "groups", "stamp")


@dataclass(frozen=True)
class ImportedFile:
    """The file that a model was imported from.

    Attributes:
        kind: `onnx`, `torch` or `keras`.
        name: the file's name, without its folder.
        size: bytes.
        sha256: the digest of its bytes.
        source: where its author publishes it.
    """

    kind: str
    name: str
    size: int
    sha256: str
    source: str

    def record(self, words: Card) -> dict[str, Any]:
        """The values for `training.initial_weights` of metadata.json."""
        values = asdict(self) | {
            "license": words.license,
            "training_dataset": words.training_dataset,
        }
        return values if self.source else {k: v for k, v in values.items() if k != "source"}


@dataclass(frozen=True)
class Measured:
    """What the repository's protocol says of an imported model, and the gates.

    Attributes:
        validation: the figures, in the form of `validate`.
        gates: the gates that were met, or not.
    """

    validation: Validation
    gates: tuple[GateResult, ...]


def measure(predictor: Any, task: str, data: Path, gates: Mapping[str, Gate | None]) -> Measured:
    """Measure as the stage `validate` does; there is no untrained network to set beside it.

    Raises:
        DataError: the data is not prepared for the model's crop.
        ParamsError: a gate names a metric that was not measured.
    """
    evaluation = evaluate(task, predictor, data)
    intervals = {
        name: bootstrap.interval_of(metric, resamples=RESAMPLES, seed=_SEED)
        for name, metric in evaluation.resampled.items()
    }
    validation = Validation(evaluation, replace(evaluation, metrics={}), intervals)
    return Measured(validation, tuple(judge(evaluation.metrics, gates)))


@dataclass(frozen=True)
class ImportedContent:
    """What a package is made of.

    Attributes:
        id: the version.
        described: what the graph is.
        graph: the bytes of the served form.
        words: the card.
        file: where it comes from.
        facts: further values for `training` of metadata.json.
    """

    id: ModelId
    described: Described
    graph: bytes
    words: Card
    file: ImportedFile
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class ImportedPackage:
    """A package that was made.

    Attributes:
        folder: where it lies, or would lie.
        digest: `sha256:` and the digest of its checksums.
        suite: the outcome of each test of the suite, by name; empty without a suite.
    """

    folder: Path
    digest: str
    suite: Mapping[str, str]


def require_free(output: Path) -> None:
    """Stop before hours of work where the package could not be put.

    Raises:
        InputError: something is there already.
    """
    if output.exists():
        raise InputError(
            f"{output} is there already; a version never changes.", "Give it a new --version."
        )


def make_package(
    content: ImportedContent,
    measured: Measured,
    output: Path,
    *,
    suite: Path | None,
    keep: bool,
    then: Callable[[ImportedPackage], None],
) -> ImportedPackage:
    """Build the package, run the suite on it, call `then`, and only then put it in place.

    Args:
        content: what it is made of.
        measured: its figures.
        output: the folder of the package.
        suite: folder of the tests that every package must pass; None leaves them out.
        keep: whether anything is written; else all happens in a temporary folder.
        then: writes the reports; it is not called unless `keep`.

    Raises:
        GateError: a gate was not passed.
        FacemodelsError: a test of the suite failed.
    """
    require(list(measured.gates), str(content.id.name))
    near = _first_folder(output) if keep else None  # on its disk, so that it can be renamed
    with tempfile.TemporaryDirectory(dir=near, prefix=".import-") as scratch:
        folder = _built(content, measured, Path(scratch), output.name)
        package = open_package(folder)
        with tempfile.TemporaryDirectory() as reports:
            outcomes = run_suite(package, suite, Path(reports)) if suite else {}
        made = ImportedPackage(output, f"sha256:{package.digest}", outcomes)
        if keep:
            require_free(output)
            output.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(output)
            try:
                then(made)
            except BaseException:
                with suppress(OSError):
                    shutil.rmtree(output)
                raise
    return made


def write_reports(
    content: ImportedContent, measured: Measured, made: ImportedPackage, report: Mapping[str, Any]
) -> list[Path]:
    """Write the report of validate, as the stage does, and that of the import.

    Raises:
        InputError: one of them cannot be written.
    """
    name = str(content.id.name)
    texts = {
        VALIDATE / f"{name}.json": {name: measured.validation.as_json()},
        IMPORT / f"{name}.json": {**report, "package": made.digest, "suite": dict(made.suite)},
    }
    try:
        for path, values in texts.items():
            write_json(path, values)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written: {error.strerror}.") from error
    return list(texts)


def _first_folder(output: Path) -> Path:
    """The nearest folder above `output` that is there."""
    return next(folder for folder in output.absolute().parents if folder.is_dir())


def _built(content: ImportedContent, measured: Measured, scratch: Path, name: str) -> Path:
    weights = scratch / "graph.onnx"
    weights.write_bytes(content.graph)
    training = {
        "origin": "imported",
        "initial_weights": content.file.record(content.words),
        **content.facts,
    }
    found = measured.validation.as_json()
    return build(
        PackageContent(
            id=content.id,
            architecture=architecture_of(content.described),
            weights=weights,
            training=training,
            validation={key: found[key] for key in _KEPT if key in found},
            words=content.words,
        ),
        scratch / name,
    )
