"""Stage validate: trained weights beside their untrained baseline."""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.files import write_json


def main(name: str) -> None:
    """Measure the weights of the model `name`."""
    from facemodels.pipeline import validate
    from facemodels.pipeline.trained import find_trained

    model = params.load().model(name)
    trained = find_trained(Path("build", name, "model"))
    settings = trained.architecture.settings(model.train)
    result = validate.validate(
        trained,
        Path("data/prepared", model.task),
        seed=settings.seed,
        threads=settings.threads,
    )
    # Under the model's name, which `dvc exp show` then has in its columns.
    write_json(Path("reports/validate", f"{name}.json"), {name: result.as_json()})
    validate.write_curves(result.evaluation, Path("reports/validate", name))
    print(result.table())


if __name__ == "__main__":
    guarded(main, sys.argv[1])
