"""The model card of a package, with an example that runs as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from facemodels.models import AnyArchitecture
from facemodels.names import ModelId
from facemodels.text import markdown

_IMPORT = "from facemodels.imaging.picture import upright\n"  # in the scripts of cards
_PILLOW = "from PIL import Image\n"  # likewise; the function imports more of it


def model_card(model: ModelId, metadata: Mapping[str, Any], architecture: AnyArchitecture) -> str:
    """Write README.md of a package.

    The sections follow Mitchell et al., "Model Cards for Model Reporting", 2019.

    Args:
        model: the version.
        metadata: metadata.json of the package.
        architecture: gives the script that a user runs in the folder.
    """
    example = architecture.example()
    if example is None:
        example = resources.files(__package__).joinpath("native_example.py").read_text("utf-8")
    return card_text(model, metadata, example)


def variant_card(model: ModelId, metadata: Mapping[str, Any]) -> str:
    """Write README.md of a variant with one ONNX graph; see `model_card`."""
    folder = resources.files(f"facemodels.{model.name.task}")
    return card_text(model, metadata, folder.joinpath("example.py").read_text("utf-8"))


def standalone(example: str) -> str:
    """A script of ours with the function that it imports in the place of the import."""
    code = resources.files("facemodels.imaging").joinpath("picture.py").read_text("utf-8")
    function = code[code.index("from PIL import") : code.index("\n\nDECODING = ")]
    script = example.replace(_PILLOW, "").replace(f"\n{_IMPORT}", f"{function}\n")
    return script.replace("import ", "import io\nimport ", 1) if script != example else script


def card_text(model: ModelId, metadata: Mapping[str, Any], example: str) -> str:
    """Put the sections of a model card together; `example` is the script that runs it."""
    metrics = metadata["accuracy_metrics"]
    sections = [
        f"# {model.name} {model.version}{f' ({model.variant})' if model.variant else ''}",
        metadata["description"],
        f"{metadata['architecture']}, {metadata['framework']} {metadata['framework_version']}. "
        f"{_origin(metadata)}{_space(metadata)} Licence: {metadata['license']}.",
        "## Changes",
        metadata["changelog"],
        "## Figures",
        _metrics(metrics),
        *_groups(metadata.get("accuracy_by_group", {})),
        *_made(metadata.get(model.variant), model.variant),
        "## Known issues",
        metadata["known_issues"],
        "## Run it",
        "In this folder, with `pip install -r requirements.txt`:",
        f"```python\n{standalone(example).strip()}\n```",
        "Check the files first: `sha256sum -c checksums.sha256`.",
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"


def _origin(metadata: Mapping[str, Any]) -> str:
    """Whether it was trained for this version, and what it started from."""
    training = metadata["training"]
    start = training.get("initial_weights")
    if start is None:
        return f"Trained on {metadata['training_dataset']}."
    files = start.get("files") or {start["name"]: start["sha256"]}
    named = ", ".join(f"{name} (SHA-256 {digest})" for name, digest in sorted(files.items()))
    weights = f"{named}, licence {start['license']}, trained by others on "
    weights += start["training_dataset"]
    if training["origin"] == "imported":
        return f"Imported, not trained: {weights}."
    return f"Trained on {metadata['training_dataset']}, starting from {weights}."


def _space(metadata: Mapping[str, Any]) -> str:
    """Whose galleries it was trained to be searched in."""
    kept = metadata.get("compatible_with")
    return f" Trained to find faces in galleries of {kept['id']}." if kept else ""


def _metrics(metrics: Mapping[str, float]) -> str:
    if not metrics:
        return "Not validated."
    return "On the held-out test split:\n\n" + markdown(
        [{"metric": name, "value": value} for name, value in sorted(metrics.items())]
    )


def _groups(groups: Mapping[str, Mapping[str, float]]) -> list[str]:
    if not groups:
        return []
    rows = [{"group": name, **values} for name, values in groups.items()]
    return ["By group:\n\n" + markdown(rows)]


def _made(record: Mapping[str, Any] | None, variant: str) -> list[str]:
    """How a variant was made of its source, and what that changed."""
    if record is None:
        return []
    primary = record["primary"]
    return [
        "## How this form was made",
        f"From {record['source']} ({record['source_digest']}): {record['method']}; nodes "
        f"{', '.join(record['operators'])}; calibrated on {record['calibration']['images']} "
        f"images of {record['calibration']['split']}. {primary['metric']}: "
        f"{primary['float32']:.4g} in float32, {primary[variant]:.4g} in {variant}.",
    ]
