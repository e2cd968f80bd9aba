"""Stage package: validated weights to the folder of a version."""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.package.build import read_validation
from facemodels.pipeline.package import package


def main(name: str) -> None:
    """Package the model `name` under the version of its card."""
    model = params.load().model(name)
    package(
        weights=Path("build", name, "model"),
        model=model.id,
        card=model.card,
        validation=read_validation(Path("reports/validate", f"{name}.json"))[name],
        output=Path(model.package),
        operating_point=model.operating_point,
    )


if __name__ == "__main__":
    guarded(main, sys.argv[1])
