"""Stage validate: trained weights against their baseline and their gates."""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.files import write_json
from facemodels.text import markdown


def main(name: str) -> None:
    """Validate the model `name`; a gate that it misses stops the pipeline."""
    from facemodels.evaluate import gates
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
    judgements = gates.judge(result.evaluation.metrics, model.gates)
    print(result.table())
    print(markdown([vars(row) for row in judgements]))
    gates.require(judgements, name)


if __name__ == "__main__":
    guarded(main, sys.argv[1])
