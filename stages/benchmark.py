"""Stage benchmark: the suite a package must pass, and its speed.

The outcomes of the suite are an output of the stage. The times are not: they differ at
every run and would carry a clock into dvc.lock; dvc.yaml lists the file of the few that `dvc exp
show` has columns for.
"""

import sys
import tempfile
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.files import write_json

COLUMNS = ("p50_ms", "p95_ms", "peak_rss_mb", "file_size_mb")


def main(name: str) -> None:
    """Test and measure the package of the model or system `name`."""
    from facemodels.package.load import open_package
    from facemodels.pipeline import benchmark

    everything = params.load()
    package = open_package(Path(everything.candidate(name).package))
    with tempfile.TemporaryDirectory() as scratch:
        outcomes = benchmark.run_suite(package, Path("tests/model_tests"), Path(scratch))
    write_json(Path("reports/suite", package.task, f"{name}.json"), outcomes)
    measured = benchmark.measure(package, everything.benchmark)
    write_json(Path("reports/benchmark", f"{name}.json"), {name: measured})
    served = {column: measured["served"][column] for column in COLUMNS}
    write_json(Path("reports/speed", f"{name}.json"), {name: served})


if __name__ == "__main__":
    guarded(main, sys.argv[1])
