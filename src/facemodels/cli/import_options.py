"""The options of `facemodels import`: parsed, and written for people to type."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facemodels.errors import InputError
from facemodels.names import ModelId

if TYPE_CHECKING:
    from facemodels.detection.decodes.heads import PictureInput
    from facemodels.params import Card
    from facemodels.recognition.task import Preprocessing


def numbers(text: str, option: str) -> tuple[float, ...]:
    """Parse one number, or three with commas between them.

    Raises:
        InputError: it is neither.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(abs(value) < 1e9 for value in values):
        raise InputError(
            f"{option} {text} is not one number or three.",
            f"Write for example {option} 127.5, or one for each channel in the network's order: "
            f"{option} 123.675,116.28,103.53.",
        )
    return values


def one_file(options: dict[str, Any]) -> tuple[str, Path]:
    """The kind of the file that is imported, and its path.

    Raises:
        InputError: none is given, or several.
    """
    from facemodels.importing.settings import IMPORTED_KINDS

    given = [(kind, options[f"{kind}_file"]) for kind in IMPORTED_KINDS if options[f"{kind}_file"]]
    if len(given) != 1:
        raise InputError(
            f"{len(given)} files are given, not one.",
            f"Give one of {', '.join(f'--{kind}' for kind in IMPORTED_KINDS)}.",
        )
    return given[0]


def pair(text: str, option: str) -> tuple[str, Any]:
    """KEY=VALUE, the value as YAML reads it."""
    import yaml

    key, equals, value = text.partition("=")
    try:
        if key and equals:
            return key, yaml.safe_load(value)
    except yaml.YAMLError:
        pass
    raise InputError(f"{option} {text} is not KEY=VALUE.", "Write for example image_size=160.")


def stated_by(preprocessing: dict[str, Any]) -> dict[str, Any]:
    """The options that an architecture's own preprocessing stands for."""

    def text(value: Any) -> str:
        values = value if isinstance(value, list | tuple) else [value]
        return ",".join(repr(float(one)) for one in values)

    return {
        "crop": preprocessing.get("crop", {}).get("name", ""),
        "colour": preprocessing["color"],
        "mean": text(preprocessing.get("mean", 0)),
        "scale": text(preprocessing["scale"]),
        "size": preprocessing["size"][0],
    }


def recogniser_options(found: Preprocessing) -> str:
    """The options that state a recogniser's preprocessing."""
    scale = found.scale if isinstance(found.scale, tuple) else (found.scale,)
    crop = f"--crop {found.crop.name} " if found.crop else ""
    return crop + _scaling_options(found.colour, found.mean, scale)


def detector_options(found: PictureInput) -> str:
    """The options that state a detector's preprocessing."""
    return _scaling_options(found.color, found.mean, found.scale)


def _scaling_options(colour: str, mean: tuple[float, ...], scale: tuple[float, ...]) -> str:
    def text(values: tuple[float, ...], form: str) -> str:
        return ",".join(
            format(value, form) for value in (values[:1] if len({*values}) == 1 else values)
        )

    return f"--colour {colour} --mean {text(mean, 'g')} --scale {text(scale, '.8g')}"


def next_commands(model: ModelId, folder: Path) -> str:
    """The commands that register and serve the version."""
    name = model.name
    return (
        "Register and serve it:\n"
        f"  dvc add {folder}\n"
        f"  git add {folder}.dvc {folder.parent}/.gitignore reports/validate/{name}.json "
        f"reports/import/{name}.json\n"
        f"  git commit -m 'Import {model}'\n"
        f"  facemodels registry register --path {folder}\n"
        f"  facemodels serve {model}\n"
    )


def card(model: ModelId, options: dict[str, Any]) -> Card:
    """The words of the version: from a file, or from the options."""
    from facemodels.params import Card, load_yaml, parse

    if options["card_file"] is not None:
        return parse(Card, load_yaml(options["card_file"]), str(options["card_file"]))
    if not options["license_"]:
        raise InputError(
            "--license is not given: the weights of others have terms.",
            "Give the licence of the weights as SPDX has it, or --card with all words.",
        )
    file: Path = options["file"][1]
    try:
        written = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", "Give a file.") from error
    return Card(
        created_at=written.strftime("%Y-%m-%dT%H:%M:%SZ"),
        author=options["author"] or "unknown",
        description=options["description"] or f"{model.name}, trained by others and imported.",
        changelog="Imported.",
        known_issues="Not written.",
        license=options["license_"],
        training_dataset=options["training_dataset"] or "unknown",
        parent_version="",
    )
