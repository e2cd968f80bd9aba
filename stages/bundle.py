"""Stage bundle: the members of a system and what was measured of it to the folder of a version."""

import json
import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded


def main(name: str) -> None:
    """Package the system `name` under the version of its card."""
    from facemodels.package.build import read_validation
    from facemodels.package.build_system import build_system
    from facemodels.package.load import open_package
    from facemodels.pipeline.bundle import content_of
    from facemodels.pipeline.system import members_of
    from facemodels.system.calibration import Calibration
    from facemodels.system.quality import QualityLimits

    system = params.load().system(name)
    calibration = json.loads(Path("build", name, "calibration.json").read_text(encoding="utf-8"))
    content = content_of(
        system.id,
        members_of([open_package(folder) for folder in system.members.folders.values()]),
        calibration=Calibration.of_json(calibration),
        validation=read_validation(Path("reports/validate", f"{name}.json"))[name],
        fmr=system.fmr,
        quality=params.parse(QualityLimits, system.quality, f"systems.{name}.quality"),
        words=system.card,
    )
    print(f"Wrote {build_system(content, Path(system.package))}")


if __name__ == "__main__":
    guarded(main, sys.argv[1])
