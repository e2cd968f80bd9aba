"""Writing the package of a variant: another form of a version, made from its package."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels.files import sha256, write_json, write_text, write_yaml
from facemodels.imaging.picture import DECODING
from facemodels.models import postprocessing
from facemodels.names import ModelId
from facemodels.package import card
from facemodels.package.build import write_package
from facemodels.package.load import Package
from facemodels.package.verify import ONNX


@dataclass(frozen=True)
class VariantContent:
    """What goes into the package of a variant.

    Attributes:
        source: the package that it is made from.
        variant: the word of its form, such as `int8`.
        graph: the ONNX graph, the only form that it has.
        precision: of the graph's arithmetic, such as `int8`.
        validation: `metrics` with their `stamp`, and `threshold` where the task has one.
        made: how the graph was made, for metadata.json; it has the variant's word as key.
        known_issues: what the variant does not do well, besides what its source does not.
    """

    source: Package
    variant: str
    graph: Path
    precision: str
    validation: Mapping[str, Any]
    made: Mapping[str, Any]
    known_issues: str

    @property
    def id(self) -> ModelId:
        """The id of the variant."""
        return ModelId(self.source.id.name, self.source.id.version, self.variant)


def build_variant(content: VariantContent, output: Path) -> Path:
    """Write the package folder `output` in one step, or leave nothing.

    An existing package with the same bytes is left as it is.

    Raises:
        InputError: `output` holds another package or other files.
    """
    return write_package(output, lambda folder: _fill(content, folder))


def _fill(content: VariantContent, folder: Path) -> None:
    source = content.source
    shutil.copyfile(content.graph, folder / ONNX)
    threshold = _threshold(content)
    write_yaml(folder / "config.yaml", _config(content, threshold))
    write_text(folder / "requirements.txt", _served(source.folder / "requirements.txt"))
    metadata = _metadata(content, folder / ONNX, threshold)
    write_json(folder / "metadata.json", metadata)
    write_text(folder / "README.md", card.variant_card(content.id, metadata))


def _threshold(content: VariantContent) -> Any:
    """The variant's own threshold; the source's where that was chosen on other data than val."""
    own = content.validation.get("threshold")
    kept: Any = content.source.metadata.get("threshold")
    return own if content.source.metadata.get("threshold_source", "val") == "val" else kept


def _config(content: VariantContent, threshold: Any) -> dict[str, Any]:
    config = {
        "decoding": dict(DECODING),
        "postprocessing": postprocessing(content.source.task),
        **content.source.config,
        "weights": ONNX,
        "runtimes": ["onnx"],
        "precision": content.precision,
    }
    return config | ({"threshold": threshold} if "threshold" in config else {})


def _metadata(content: VariantContent, graph: Path, threshold: Any) -> dict[str, Any]:
    """The source's metadata with what is other in the variant."""
    digest = sha256(graph)
    metadata = {
        **content.source.metadata,
        "variant": content.variant,
        "accuracy_metrics": dict(content.validation["metrics"]),
        "threshold": threshold,
        "file_size_mb": round(graph.stat().st_size / 1e6, 3),
        "checksum": f"sha256:{digest}",
        "changelog": f"The {content.variant} form of {content.source.id}.",
        "known_issues": f"{content.source.metadata['known_issues']} {content.known_issues}",
        content.variant: dict(content.made),
    }
    if content.source.task == "recognition":
        metadata["embedding_space"] = f"{content.id.name}-{digest[:16]}"
    for key, own in (("accuracy_by_group", "groups"), ("stamp", "stamp")):
        metadata.pop(key, None)
        if content.validation.get(own):
            metadata[key] = content.validation[own]
    metadata.pop("onnx_max_abs_error", None)  # of the float32 graph
    metadata.pop("compatible_with", None)  # the variant's space is its own
    return metadata


def _served(requirements: Path) -> str:
    """The requirements of the served form, without those of the weights."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return "".join(f"{line}\n" for line in lines if not line.startswith("#"))
