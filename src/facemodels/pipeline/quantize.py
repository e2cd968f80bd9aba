"""Quantize: a package to its int8 variant, which is measured and gated like any other."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facemodels import quantization
from facemodels.data.splits import DetectionSplit, Images, RecognitionSplit
from facemodels.errors import GateError, InputError
from facemodels.evaluate import gates
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.gates import GateResult
from facemodels.evaluate.protocols import evaluate
from facemodels.models import predict, served
from facemodels.package.load import Package
from facemodels.package.variant import VariantContent, build_variant
from facemodels.package.verify import ONNX
from facemodels.params import Gate, Int8
from facemodels.runtime import Batch, Run, open_graph
from facemodels.text import markdown

VARIANT = "int8"
_ROUNDING = 1e-9  # of the difference of two metrics
_ISSUES = {
    "recognition": (
        "In int8: embeddings differ a little from those of the float32 form, so do not compare "
        "the two; on a CPU without VNNI instructions outputs differ a little from those here."
    ),
    "detection": (
        "In int8: on a CPU without VNNI instructions outputs differ a little from those here."
    ),
}


@dataclass(frozen=True)
class Quantized:
    """An int8 variant that was made and measured.

    Attributes:
        id: the id of the variant.
        before: figures of the float32 package, measured in the same run.
        after: figures of the variant.
        judgements: the gates and what met them; the last is the loss of the primary metric.
        size_mb: of the graph before and after, in units of 1e6 bytes.
        made: how it was made, as metadata.json has it.
    """

    id: str
    before: Evaluation
    after: Evaluation
    judgements: list[GateResult]
    size_mb: tuple[float, float]
    made: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return what the command prints for programs."""
        return {
            "id": self.id,
            "metrics": dict(self.after.metrics),
            "float32": dict(self.before.metrics),
            "gates": [vars(row) for row in self.judgements],
            "size_mb": list(self.size_mb),
            VARIANT: dict(self.made),
        }

    def table(self) -> str:
        """Format the metrics beside those of the float32 form, and the gates, as Markdown."""
        rows = [
            {"metric": name, "float32": self.before.metrics[name], "int8": value}
            for name, value in self.after.metrics.items()
            if name in self.before.metrics
        ]
        rows.append({"metric": "size MB", "float32": self.size_mb[0], "int8": self.size_mb[1]})
        return f"{markdown(rows)}\n{markdown([vars(row) for row in self.judgements])}"


def quantize(
    source: Package,
    data: Path,
    output: Path,
    how: Int8,
    judged_by: Mapping[str, Gate | None],
    *,
    dry_run: bool = False,
) -> Quantized:
    """Make the int8 variant of a package, measure it on the test split, and write it.

    Args:
        source: a package in float32 with one ONNX graph.
        data: prepared data of its task; `val` calibrates, `test` judges.
        output: the folder of the variant.
        how: the settings.
        judged_by: the gates that the float32 form was held to.
        dry_run: write nothing.

    Raises:
        InputError: the package has no such graph, or is a variant itself, or `output` is taken.
        GateError: the variant is below a gate or loses too much; nothing is written.
    """
    _require_float32(source)
    with tempfile.TemporaryDirectory(prefix="facemodels-int8-") as scratch:
        graph = Path(scratch) / ONNX
        batches = _inputs(source, data, how.images)
        quantization.quantize(source.folder / ONNX, graph, batches, how)
        run = open_graph(graph, threads=1).run
        before = evaluate(source.task, source.predictor(threads=1), data)
        after = evaluate(
            source.task, served(source.task, run, source.config, source.metadata), data
        )
        content = VariantContent(
            source=source,
            variant=VARIANT,
            graph=graph,
            precision=VARIANT,
            validation=after.as_json(),
            made=_made(source, batches, run, before, after, how),
            known_issues=_ISSUES[source.task],
        )
        judgements = [*gates.judge(after.metrics, judged_by), _loss(before, after, how)]
        sizes = tuple(path.stat().st_size / 1e6 for path in (source.folder / ONNX, graph))
        made = Quantized(
            str(content.id), before, after, judgements, (sizes[0], sizes[1]), content.made
        )
        _require(made)
        if not dry_run:
            build_variant(content, output)
    return made


def _require_float32(source: Package) -> None:
    if source.runtimes[0] != "onnx" or source.task not in _ISSUES:
        raise InputError(
            f"{source.id} runs on {source.runtimes[0]}; only a detector or a recogniser with one "
            "ONNX graph has an int8 form.",
            "Give another package.",
        )
    if source.id.variant or source.config.get("precision", "float32") != "float32":
        raise InputError(
            f"{source.id} is a variant itself.", "Give the package of the plain version."
        )


def _inputs(source: Package, data: Path, most: int) -> list[Batch]:
    """What the graph gets of `most` images of the validation split, as serving prepares them."""
    batches: list[Batch] = []
    run = open_graph(source.folder / ONNX, threads=1).run

    def recorded(batch: Batch) -> Batch:
        batches.append(batch.copy())
        return run(batch)

    predictor = served(source.task, recorded, source.config, source.metadata)
    images = _validation_images(source.task, data, getattr(predictor, "crop_name", ""))
    rows = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
    predict(source.task, predictor, [images[row] for row in rows])
    return batches


def _validation_images(task: str, data: Path, crop: str) -> Images:
    """The images of the split `val`: scenes, or the faces that were found in one crop."""
    if task == "detection":
        return DetectionSplit.load(data / "val").images
    split = RecognitionSplit.load(data / "val", crop)
    return split.images[np.flatnonzero(split.found)]


def _loss(before: Evaluation, after: Evaluation, how: Int8) -> GateResult:
    """What the primary metric lost, against what it may lose."""
    name = before.primary
    sign = 1 if before.resampled[name].higher_is_better else -1
    lost = sign * (before.metrics[name] - after.metrics[name])
    passed = lost <= how.most_loss + _ROUNDING
    return GateResult(f"{name} lost", f"≤ {how.most_loss:g}", lost, passed)


def _require(made: Quantized) -> None:
    failed = [row for row in made.judgements if not row.passed]
    if failed:
        reasons = ", ".join(f"{row.metric} {row.value:.4f} is not {row.gate}" for row in failed)
        raise GateError(
            f"{made.id} is below its gates: {reasons}. Nothing is packaged.",
            "Let fewer nodes compute in int8: `int8.operators` and `int8.keep_float` in "
            "conf/model/, or --operators and --keep-float.",
        )


def _made(
    source: Package,
    batches: list[Batch],
    run: Run,
    before: Evaluation,
    after: Evaluation,
    how: Int8,
) -> dict[str, Any]:
    """What metadata.json says of the making."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(batch.tobytes())
    plain = open_graph(source.folder / ONNX, threads=1).run
    error = max(float(np.abs(plain(batch) - run(batch)).max()) for batch in batches)
    name = before.primary
    return {
        "method": quantization.METHOD,
        "source": str(source.id),
        "source_digest": f"sha256:{source.digest}",
        "operators": list(how.operators),
        "keep_float": list(how.keep_float),
        "calibration": {
            "split": "val",
            "images": sum(len(batch) for batch in batches),
            "inputs": f"sha256:{digest.hexdigest()}",
        },
        "primary": {
            "metric": name, "float32": before.metrics[name], VARIANT: after.metrics[name],
        },
        "max_abs_difference": error,
    }  # fmt: skip
