"""`facemodels quantize`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from facemodels.cli.options import FILE_OR_FOLDER, FOLDER, json_option, output, prepared_or
from facemodels.git import root_or
from facemodels.params import Gate, Int8, load, parse


@click.command()
@click.argument("package", type=FILE_OR_FOLDER)
@click.option("--test-data", type=FOLDER, help="Prepared data: val calibrates, test judges.")
@click.option("--output", "folder", type=FOLDER, help="Folder of the variant.")
@click.option("--operators", help="For example Conv,Add: nodes that compute in int8.")
@click.option(
    "--keep-float", multiple=True, help="Nodes that stay float32, by a pattern; repeatable."
)
@click.option("--images", type=click.IntRange(min=1), help="Images that calibrate it, at most.")
@click.option("--most-loss", type=click.FloatRange(0, 1), help="Of the primary metric.")
@click.option("--dry-run", is_flag=True, help="Make and measure it, and write nothing.")
@json_option
def quantize(
    package: Path,
    test_data: Path | None,
    folder: Path | None,
    operators: str | None,
    keep_float: tuple[str, ...],
    images: int | None,
    most_loss: float | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Make the int8 variant of PACKAGE: smaller and faster, and measured before it is written.

    Settings and gates come from the model's in params.yaml; the options go before them. Exit
    code 4 if the variant is below a gate or loses too much. Without --output it goes beside the
    package.

    \b
    Example:
      facemodels quantize models/recognition/facenet-v1.0.0
      facemodels quantize models/recognition/facenet-v1.0.0 --operators Conv --dry-run
    """
    from facemodels.package.policies import open_signed
    from facemodels.pipeline import quantize as step

    source = open_signed(package)
    known, judged_by = _settings(str(source.id.name))
    chosen = {
        "operators": operators.split(",") if operators else None,
        "keep_float": list(keep_float) or None,
        "images": images,
        "most_loss": most_loss,
    }
    given = {key: value for key, value in chosen.items() if value is not None}
    how = parse(Int8, {**known.model_dump(), **given}, "the options")
    target = folder or source.folder.with_name(f"{source.folder.resolve().name}-{step.VARIANT}")
    made = step.quantize(
        source, prepared_or(test_data, source.task), target, how, judged_by, dry_run=dry_run
    )
    done = "Would write" if dry_run else "Wrote"
    result = {**made.as_json(), "path": str(target), "written": not dry_run}
    output(result, f"{made.table()}\n{done} {target}\n", as_json=as_json)


def _settings(name: str) -> tuple[Int8, Mapping[str, Gate | None]]:
    """The model's settings and gates in params.yaml; the defaults and no gates where it is not."""
    params = root_or(Path.cwd()) / "params.yaml"
    if params.is_file():
        model = load(params).models.get(name)
        if model is not None:
            return model.int8 or Int8(), model.gates
    return Int8(), {}
