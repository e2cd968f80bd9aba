"""Stage system: the members of a system together, from the photo on."""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.files import write_json
from facemodels.params import load_yaml
from facemodels.text import markdown


def main(name: str) -> None:
    """Measure the system `name`."""
    from facemodels.package.load import open_package
    from facemodels.pipeline.system import measure_system, members_of
    from facemodels.pipeline.validate import intervals_of, write_curves
    from facemodels.system.calibration import Calibration

    everything = params.load()
    system = everything.system(name)
    file = system.calibration_file
    measured = measure_system(
        members_of([open_package(folder) for folder in system.members.folders.values()]),
        Path("data/prepared/system"),
        fmr=system.fmr,
        threads=system.threads,
        source=everything.data.system.source,
        calibration=Calibration.of_json(load_yaml(file)) if file else None,
    )
    found = measured.evaluation
    figures = {**found.as_json(), "intervals": intervals_of(found)}
    write_json(Path("build", name, "calibration.json"), measured.calibration.as_json())
    write_json(Path("reports/validate", f"{name}.json"), {name: figures})
    write_curves(found, Path("reports/validate", name))
    print(markdown([{"metric": metric, "value": v} for metric, v in found.metrics.items()]))


if __name__ == "__main__":
    guarded(main, sys.argv[1])
