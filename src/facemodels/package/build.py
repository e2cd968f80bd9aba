"""Writing a package: the same inputs give the same bytes on the same machine."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.files import list_files, sha256, sha256_tree, write_json, write_text, write_yaml
from facemodels.imaging.picture import DECODING
from facemodels.models import AnyArchitecture, postprocessing
from facemodels.names import ModelId
from facemodels.package import card, requirements
from facemodels.package.verify import ONNX, is_package, verify, write_checksums
from facemodels.params import Card


@dataclass(frozen=True)
class PackageContent:
    """What goes into a package.

    Attributes:
        id: the version.
        architecture: the architecture with its `network` parameters.
        weights: the file of trained weights.
        training: hyperparameters, data digest and versions, as train recorded them.
        validation: `metrics` with their `stamp`, and `threshold` where the task has one.
        words: the texts that people wrote about the version.
    """

    id: ModelId
    architecture: AnyArchitecture
    weights: Path
    training: Mapping[str, Any]
    validation: Mapping[str, Any]
    words: Card


def build(content: PackageContent, output: Path) -> Path:
    """Write the package folder `output` in one step, or leave nothing.

    An existing package with the same bytes is left as it is; the folder that the weights
    were trained in is kept beside, as `<output>.training`.

    Raises:
        InputError: `output` holds another package or other files.
    """
    return write_package(output, lambda folder: _fill(content, folder), content.weights)


def write_package(output: Path, fill: Callable[[Path], None], weights: Path | None = None) -> Path:
    """Write the package folder `output` in one step, or leave nothing; see `build`.

    Args:
        output: the folder of the package.
        fill: writes all files but the checksums into a folder.
        weights: the file of weights that `fill` took; its folder may be `output` itself.

    Raises:
        InputError: `output` holds another package or other files.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".package-") as scratch:
        folder = Path(scratch) / output.name
        folder.mkdir()
        fill(folder)
        write_checksums(folder)
        for name in list_files(folder):
            (folder / name).chmod(0o644)
        verify(folder)
        _put(folder, output, weights)
    return output


def _fill(content: PackageContent, folder: Path) -> None:
    architecture = content.architecture
    weights = folder / architecture.weights_file
    shutil.copyfile(content.weights, weights)
    exported = _export(architecture, weights, folder)
    write_yaml(folder / "config.yaml", _config(content, exported))
    write_text(
        folder / "requirements.txt",
        requirements.text(architecture.requirements, architecture.training_requirements),
    )
    metadata = _metadata(content, weights, exported.max_abs_error)
    write_json(folder / "metadata.json", metadata)
    write_text(
        folder / "README.md",
        card.model_card(content.id, metadata, architecture),
    )


@dataclass(frozen=True)
class _Exported:
    """What the export of the weights adds to config.yaml and to metadata.json."""

    config: Mapping[str, Any]
    max_abs_error: float | None


def _export(architecture: AnyArchitecture, weights: Path, folder: Path) -> _Exported:
    """Write the ONNX graph or graphs that the architecture has."""
    if "onnx" in architecture.runtimes:
        return _Exported({}, architecture.export(weights, folder / ONNX))
    if "graphs" in architecture.runtimes:
        exported = architecture.export_graphs(weights, folder)
        config = {"graphs": dict(exported.files), "decode": dict(exported.decode)}
        return _Exported(config, exported.max_abs_error)
    return _Exported({}, None)


def _config(content: PackageContent, exported: _Exported) -> dict[str, Any]:
    architecture = content.architecture
    after = architecture.postprocessing()
    config: dict[str, Any] = {
        "name": str(content.id.name),
        "task": content.id.name.task,
        "architecture": content.id.name.architecture,
        "network": architecture.network.model_dump(mode="json"),
        "decoding": dict(DECODING),
        "preprocessing": architecture.preprocessing(),
        "postprocessing": postprocessing(content.id.name.task) if after is None else after,
        "weights": architecture.weights_file,
        "runtimes": list(architecture.runtimes),
        **exported.config,
    }
    if "threshold" in content.validation:
        config["threshold"] = content.validation["threshold"]
    found_by = content.validation.get("stamp", {}).get("detector")
    if found_by:  # the rest of the crop's contract: the figures hold for faces found like this
        config["faces_found_by"] = found_by
    return config


def _metadata(content: PackageContent, weights: Path, onnx_error: float | None) -> dict[str, Any]:
    architecture = content.architecture
    shapes = architecture.interface()
    digest = sha256(weights)
    metadata: dict[str, Any] = {
        "name": str(content.id.name),
        "version": str(content.id.version),
        "variant": content.id.variant,
        "framework": architecture.framework,
        "framework_version": distribution_version(architecture.framework_package),
        "architecture": architecture.title,
        "input_shape": list(shapes.input_shape),
        "output_shape": list(shapes.output_shape),
        "accuracy_metrics": dict(content.validation.get("metrics", {})),
        "file_size_mb": round(weights.stat().st_size / 1e6, 3),
        "checksum": f"sha256:{digest}",
        "training": dict(content.training),
        "threshold": content.validation.get("threshold"),
        "threshold_source": content.validation.get("threshold_source", "val"),
        "embedding_space": _embedding_space(content, digest),
        "onnx_max_abs_error": onnx_error,
        **content.words.model_dump(),
    }
    kept = content.training.get("compatible_with")
    if kept:
        metadata["compatible_with"] = {"id": kept["id"], "digest": kept["digest"]}
    groups = content.validation.get("groups")
    if groups:
        metadata["accuracy_by_group"] = groups
    if content.validation.get("stamp"):
        metadata["stamp"] = dict(content.validation["stamp"])
    return metadata


def _embedding_space(content: PackageContent, digest: str) -> str | None:
    """Return the space that is claimed: the weights' own, or that which their training kept.

    Embeddings of other weights cannot be compared with these, unless the training was for that.
    """
    if content.id.name.task != "recognition":
        return None
    kept = content.training.get("compatible_with")
    return str(kept["embedding_space"]) if kept else f"{content.id.name}-{digest[:16]}"


def _put(folder: Path, output: Path, weights: Path | None) -> None:
    """Move the finished folder into place."""
    if is_package(output):
        if sha256_tree(output) == sha256_tree(folder):
            return
        raise InputError(
            f"{output} already holds another package; a version never changes.",
            "Give it a new version, or remove the folder if it was never released.",
        )
    if output.exists() and any(output.iterdir()):
        kept = output.with_name(f"{output.name}.training")
        own = weights is not None and weights.parent.resolve() == output.resolve()
        if not own or kept.exists():
            raise InputError(
                f"{output} holds files that would be lost.", "Choose an empty output folder."
            )
        output.rename(kept)
    elif output.exists():
        output.rmdir()
    folder.rename(output)


def read_validation(path: Path) -> dict[str, Any]:
    """Read the metrics that validate wrote.

    Raises:
        InputError: the file is missing or is no JSON mapping.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} holds no metrics: {error}.", "Run validate first.") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} holds no metrics.", "Run validate first.")
    return values
