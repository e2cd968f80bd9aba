"""Stage gate: what was measured of a model or a system against its gates.

It is a stage of its own so that figures that miss a gate are there to be looked at, and so that
another gate asks for no second measurement. The metrics that gates name, with a bound or without,
are the ones that `dvc exp show` and `dvc metrics diff` show.
"""

import json
import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.files import write_json
from facemodels.text import markdown


def main(name: str) -> None:
    """Judge the model or system `name`; a gate that it misses stops the pipeline."""
    from facemodels.evaluate import gates

    everything = params.load()
    subject = everything.systems.get(name) or everything.model(name)
    report = Path("reports/validate", f"{name}.json")
    metrics = json.loads(report.read_text(encoding="utf-8"))[name]["metrics"]
    results = gates.judge(metrics, subject.gates)
    print(markdown([vars(result) for result in results]))
    headline = {metric: metrics[metric] for metric in subject.gates}
    write_json(Path("reports/gate", f"{name}.json"), {name: headline})
    gates.require(results, name)


if __name__ == "__main__":
    guarded(main, sys.argv[1])
