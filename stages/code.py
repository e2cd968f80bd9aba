"""Stage code: for each other stage, the source files that it executes, with their digests.

The other stages depend on these lists in place of some hundred modules each.
"""

from functools import cache
from pathlib import Path

from facemodels.cli.guard import guarded
from facemodels.files import write_json


def main() -> None:
    """Write the lists of all stages; a module that dvc.yaml does not name stops the pipeline."""
    from facemodels.sealing.digests import file_digest
    from facemodels.sealing.lists import require_listed
    from facemodels.sealing.needs import StageNeeds

    root = Path.cwd()
    needs = StageNeeds(root)
    require_listed(needs)
    digest = cache(lambda file: file_digest(root / file))
    for path, files in needs.lists().items():
        write_json(root / path, {file: digest(file) for file in files})


if __name__ == "__main__":
    guarded(main)
