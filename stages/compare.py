"""Stage compare: the candidates of one task and the pinned baseline, side by side.

As with benchmark, what repeats is an output and what was measured is not. A version that claims
the embedding space of another and does not keep it stops the pipeline, after the reports are
written.
"""

import sys
from pathlib import Path

from facemodels import params
from facemodels.cli.guard import guarded
from facemodels.files import write_json, write_text


def main(task: str) -> None:
    """Compare the candidates of `task`; a false claim of an embedding space is an error."""
    from facemodels.evaluate.compatibility import require_compatible
    from facemodels.pipeline.compare import compare_task

    everything = params.load()
    baseline = everything.compare.baselines.get(task)
    result = compare_task(
        [Path(one.package) for one in everything.candidates(task)],
        Path(baseline) if baseline else None,
        Path("data/prepared", task),
        everything.compare,
    )
    write_json(Path("reports/compare", f"{task}.json"), result["accuracy"])
    write_json(Path("reports/compare-measured", f"{task}.json"), result["measured"])
    write_text(Path("reports/compare", f"{task}.md"), result["report"])
    print(result["report"])
    for found in result["compatibility"]:
        require_compatible(found)


if __name__ == "__main__":
    guarded(main, sys.argv[1])
