"""`facemodels train`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from facemodels.cli.guard import INTERRUPTED
from facemodels.cli.options import (
    FILE,
    FOLDER,
    detector_option,
    json_option,
    output,
    prepared_or,
    reading_options,
)
from facemodels.errors import InputError
from facemodels.files import refuse_file


@click.command()
@click.option("--model", help="Architecture or model name: facenet, recognition-facenet.")
@click.option("--dataset", type=FOLDER, help="Prepared data or a dataset's folder.")
@click.option("--epochs", type=click.IntRange(min=1), help="Passes over the training images.")
@click.option("--output", "folder", type=FOLDER, help="Folder that gets weights and curves.")
@click.option(
    "--config",
    type=FILE,
    help="YAML with network and train, as in conf/model/; model, dataset, epochs and output "
    "may stand there too.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default="one for each core",
    help="Processes that share the work; the weights are the same for any number.",
)
@detector_option
@reading_options
@json_option
def train(
    model: str | None,
    dataset: Path | None,
    epochs: int | None,
    folder: Path | None,
    config: Path | None,
    workers: int,
    detector: Path | None,
    reading: dict[str, Any],
    as_json: bool,
) -> None:
    """Train an architecture; called again after a kill, it resumes.

    Shares, folds and the crop of a dataset are chosen by its size; options change them.

    Hyperparameters come from --config, or else from the model's part of params.yaml.

    \b
    Example:
      facemodels train --model facenet --dataset data/training --epochs 100 \\
          --output models/recognition/facenet-v2.2.0
    """
    from facemodels.data.splits import images_of
    from facemodels.models import architecture
    from facemodels.package.verify import is_package
    from facemodels.pipeline.layout import crop_of
    from facemodels.pipeline.layout import dataset as prepared
    from facemodels.pipeline.train import train as run
    from facemodels.pipeline.trained_pictures import remember

    chosen = _settings(model, config)
    target = folder or _path(chosen, "output")
    if target is None:
        raise InputError("no output folder.", "Give --output.")
    refuse_file(target, "Choose another --output.")
    if is_package(target):
        raise InputError(f"{target} is a finished package.", "Choose another --output.")
    kind = architecture(chosen["task"], chosen["architecture"])
    trained, settings = kind.of(chosen["network"]), kind.settings(chosen["train"])
    source = prepared_or(dataset or _path(chosen, "dataset"), kind.task)
    epochs = epochs or chosen.get("epochs")
    crop = crop_of(trained.preprocessing())
    given = prepared(source, kind.task, crops=[crop], detector=detector, reading=reading)
    with given as data, _saying_how_to_go_on():
        settings = _fitted(trained, settings, data)
        if epochs:
            settings = trained.budget(
                settings, epochs=epochs, images=len(images_of(data / "train"))
            )
        wrote = run(
            trained,
            settings,
            data=data,
            output=target,
            curves_folder=target / "curves",
            workers=workers,
        )
        if wrote:
            remember(data, target)
    if wrote:
        weights = target / kind.weights_file
        output({"weights": str(weights)}, f"Wrote {weights}\n", as_json=as_json)


def _fitted(trained: Any, settings: Any, data: Path) -> Any:
    """The settings with batches that a small folder can fill; what was lowered is said."""
    fitted = trained.fitted(settings, data)
    before = settings.model_dump()
    for key, value in fitted.model_dump().items():
        if value != before[key]:
            click.echo(
                f"Note: train.{key} is {value} instead of {before[key]}, since the training split "
                "fills no larger batch.",
                err=True,
            )
    return fitted


@contextmanager
def _saying_how_to_go_on() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        click.echo(
            "Interrupted. The same command goes on from the last checkpoint "
            "(train.checkpoint_every), as long as code, data and settings are the same.",
            err=True,
        )
        sys.exit(INTERRUPTED)


def _settings(model: str | None, config: Path | None) -> dict[str, Any]:
    """`task`, `architecture`, `network` and `train` of what is to be trained."""
    from facemodels import params

    if config is not None:
        values = params.load_yaml(config)
        for key in ("task", "architecture", "network", "train"):
            if key not in values:
                raise InputError(f"{config} has no {key}.", "Copy a file of conf/model/.")
        if model not in (None, values["architecture"], values.get("name")):
            raise InputError(f"--model is {model}, but {config} is of {values['architecture']}.")
        return values
    if model is None:
        raise InputError("nothing to train.", "Give --model or --config.")
    known = params.load().models.values()
    found = [item for item in known if model in (item.name, item.architecture)]
    if not found:
        raise InputError(
            f"params.yaml has no model {model!r}, it has "
            f"{', '.join(item.architecture for item in known)}.",
            "Give one of them, or --config.",
        )
    return found[0].model_dump() | {"train": found[0].training}


def _path(values: dict[str, Any], key: str) -> Path | None:
    return Path(values[key]) if values.get(key) else None
