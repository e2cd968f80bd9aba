"""Stage package: validated weights to the folder of a version, or of its int8 variant."""

import sys
import tempfile
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.names import ModelId
from facemodels.params import Int8, ModelParams


def main(name: str) -> None:
    """Package the model `name` under the version of its card."""
    from facemodels.package.load import open_package
    from facemodels.pipeline.quantize import VARIANT, quantize

    model = params.load().model(name)
    if model.variant != VARIANT:
        build(model, name, model.id, Path(model.package))
        return
    with tempfile.TemporaryDirectory() as scratch:
        plain = ModelId(model.id.name, model.id.version)
        folder = build(model, name, plain, Path(scratch, plain.folder.name))
        made = quantize(
            open_package(folder),
            Path("data/prepared", model.task),
            Path(model.package),
            model.int8 or Int8(),
            model.gates,
        )
    print(made.table())


def build(model: ModelParams, name: str, identity: ModelId, output: Path) -> Path:
    """Build the package of a model's weights as they are."""
    from facemodels.package.build import read_validation
    from facemodels.pipeline.package import package

    return package(
        weights=Path("build", name, "model"),
        model=identity,
        card=model.card,
        validation=read_validation(Path("reports/validate", f"{name}.json"))[name],
        output=output,
        operating_point=model.operating_point,
    )


if __name__ == "__main__":
    guarded(main, sys.argv[1])
