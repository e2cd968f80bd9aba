"""Stage prepare: one task's dataset to arrays, a report and a contact sheet."""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded


def main(task: str) -> None:
    """Prepare the data of `task`."""
    from facemodels.data.datasets import dataset_of
    from facemodels.pipeline.prepare import prepare

    settings = params.load()
    prepare(
        dataset_of(settings.data, task),
        Path("data/prepared", task),
        report=Path("reports/prepare", f"{task}.json"),
        picture=Path("reports/prepare", f"{task}.png"),
        work=settings.prepare,
    )


if __name__ == "__main__":
    guarded(main, sys.argv[1])
