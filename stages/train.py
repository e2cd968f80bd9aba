"""Stage train: prepared data to weights and curves."""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded


def main(name: str) -> None:
    """Train the model `name`."""
    from facemodels.models import architecture
    from facemodels.pipeline.train import train

    settings = params.load()
    model = settings.model(name)
    kind = architecture(model.task, model.architecture)
    train(
        kind.of(model.network),
        kind.settings(model.training),
        data=Path("data/prepared", model.task),
        output=Path("build", name, "model"),
        curves_folder=Path("build", name, "curves"),
        workers=settings.train.workers,
    )


if __name__ == "__main__":
    guarded(main, sys.argv[1])
