"""`facemodels probes`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import FOLDER, json_option, output
from facemodels.names import TASKS


@click.group()
def probes() -> None:
    """The golden set: labelled images that an environment replays to every version.

    \b
    Example:
      facemodels probes make --task recognition
    """


@probes.command()
@click.option("--task", type=click.Choice(TASKS), required=True)
@click.option("--output", "folder", type=FOLDER, help="data/probes/<task> if not given.")
@click.option("--count", type=click.IntRange(min=2), help="Of probes.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--crop", default="", help="Of recognition: arcface112, dlib150, as the models take.")
@json_option
def make(
    task: str, folder: Path | None, count: int | None, seed: int, crop: str, as_json: bool
) -> None:
    """Make a task's probes from the test split of data/prepared.

    \b
    Example:
      facemodels probes make --task landmarks
    """
    from facemodels.git import find_root
    from facemodels.monitoring import probes as golden_sets

    root = find_root(Path.cwd())
    chosen = folder or root / "data/probes" / task
    made = golden_sets.make(root, task, chosen, count=count, seed=seed, crop=crop)
    value = {"folder": str(chosen), "probes": len(made.probes), "digest": made.digest}
    output(value, f"{len(made.probes)} probes in {chosen}\n", as_json=as_json)
