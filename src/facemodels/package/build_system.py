"""Writing the package of a system: the packages of its members, and how they work together."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemodels import __version__
from facemodels.errors import InputError
from facemodels.files import list_files, write_json, write_text, write_yaml
from facemodels.names import ModelId
from facemodels.package.build import write_package
from facemodels.package.licences import strictest
from facemodels.package.load import Package
from facemodels.package.verify import MEMBERS
from facemodels.params import Card
from facemodels.system.calibration import Calibration
from facemodels.system.quality import QualityLimits
from facemodels.text import markdown


@dataclass(frozen=True)
class SystemContent:
    """What goes into the package of a system.

    Attributes:
        id: the version.
        members: the verified packages, by task.
        min_score: the least score of a face that is looked at, 0..1.
        fmr: the false match rate that the threshold of verification gives.
        calibration: the threshold of each false match rate.
        quality: the least that a face must have to be enrolled or searched.
        validation: `metrics` with their `stamp`, of the system as a whole.
        words: the texts that people wrote about the version.
    """

    id: ModelId
    members: Mapping[str, Package]
    min_score: float
    fmr: float
    calibration: Calibration
    quality: QualityLimits
    validation: Mapping[str, Any]
    words: Card


def build_system(content: SystemContent, output: Path) -> Path:
    """Write the package folder `output` in one step, or leave nothing; see `build`.

    Raises:
        InputError: `output` holds something else, the calibration has no threshold for the rate,
            the card states another licence than the strictest of the members, or two members
            need different versions of one library.
    """
    licence = strictest(str(p.metadata["license"]) for p in content.members.values())
    if content.words.license != licence:
        raise InputError(
            f"the card's licence is {content.words.license}, but the strictest of the members is "
            f"{licence}.",
            f"Set card.license to {licence}.",
        )
    return write_package(output, lambda folder: _fill(content, folder))


def _fill(content: SystemContent, folder: Path) -> None:
    for task, package in content.members.items():
        _copy(package.folder, folder / MEMBERS / task)
    config, metadata = _config(content), _metadata(content, folder)
    write_yaml(folder / "config.yaml", config)
    write_text(folder / "requirements.txt", _requirements(content.members))
    write_json(folder / "metadata.json", metadata)
    write_text(folder / "README.md", _card(content, metadata))


def _copy(source: Path, target: Path) -> None:
    """Copy a package file by file; DVC keeps equal files once, whatever folder they are in."""
    target.mkdir(parents=True)
    for name in list_files(source):
        shutil.copyfile(source / name, target / name)


def _config(content: SystemContent) -> dict[str, Any]:
    return {
        "name": str(content.id.name),
        "task": content.id.name.task,
        "architecture": content.id.name.architecture,
        "runtimes": ["members"],
        "members": {task: _pin(package) for task, package in content.members.items()},
        "min_score": content.min_score,
        "quality": content.quality.model_dump(),
        "fmr": content.fmr,
        "threshold": content.calibration.threshold(content.fmr),
        "calibration": content.calibration.as_json(),
    }


def _pin(package: Package) -> dict[str, str]:
    return {"id": str(package.id), "digest": f"sha256:{package.digest}"}


def _metadata(content: SystemContent, folder: Path) -> dict[str, Any]:
    recogniser = content.members["recognition"].metadata
    pins = "".join(f"{task} {p.digest}\n" for task, p in sorted(content.members.items()))
    size = sum((folder / name).stat().st_size for name in list_files(folder))
    metadata: dict[str, Any] = {
        "name": str(content.id.name),
        "version": str(content.id.version),
        "variant": content.id.variant,
        "framework": "facemodels",
        "framework_version": __version__,
        "architecture": " + ".join(str(p.id.name) for _, p in sorted(content.members.items())),
        "input_shape": [0, 0, 3],
        "output_shape": [0, 5 + int(recogniser["output_shape"][0])],
        "accuracy_metrics": dict(content.validation.get("metrics", {})),
        "file_size_mb": round(size / 1e6, 3),
        "checksum": f"sha256:{hashlib.sha256(pins.encode()).hexdigest()}",
        "members": {task: _pin(package) for task, package in content.members.items()},
        "threshold": content.calibration.threshold(content.fmr),
        "threshold_source": f"FMR {content.fmr:g}: {content.calibration.source}",
        "embedding_space": recogniser["embedding_space"],
        "onnx_max_abs_error": None,
        **content.words.model_dump(),
    }
    if content.validation.get("stamp"):
        metadata["stamp"] = dict(content.validation["stamp"])
    return metadata


def _requirements(members: Mapping[str, Package]) -> str:
    """The union of what the members need; comments are of training and stay with them."""
    pins: dict[str, str] = {}
    for package in members.values():
        text = (package.folder / "requirements.txt").read_text(encoding="utf-8")
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, pin = line.partition("==")
                if pins.setdefault(name, pin) != pin:
                    raise InputError(
                        f"the members need {name} {pins[name]} and {pin}.",
                        "Build both packages again with one set of libraries.",
                    )
    return "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


def _card(content: SystemContent, metadata: Mapping[str, Any]) -> str:
    rows = [
        {
            "task": task, "version": str(package.id), "licence": package.metadata["license"],
            "digest": package.digest[:16],
        }
        for task, package in content.members.items()
    ]  # fmt: skip
    figures = [{"metric": n, "value": v} for n, v in sorted(metadata["accuracy_metrics"].items())]
    sections = [
        f"# {content.id.name} {content.id.version}",
        content.words.description,
        f"Licence: {content.words.license}, the strictest of its members.",
        "## Members",
        markdown(rows),
        "## Changes",
        content.words.changelog,
        "## Figures",
        markdown(figures) if figures else "Not evaluated.",
        f"Two faces are of one person from a similarity of {metadata['threshold']:.4f} on "
        f"({metadata['threshold_source']}).",
        "## Known issues",
        content.words.known_issues,
        "## Run it",
        f"```bash\nfacemodels serve {content.id.folder}\n```",
        "Check the files first: `sha256sum -c checksums.sha256`.",
    ]
    return "\n\n".join(section.strip() for section in sections) + "\n"
