"""`facemodels benchmark`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.options import FILE_OR_FOLDER, FOLDER, json_option, output


@click.command()
@click.option(
    "--model", type=FILE_OR_FOLDER, required=True, help="A package, or the weights in it."
)
@click.option("--test-suite", type=FOLDER, help="Folder of tests that the package must pass.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--warmup", type=click.IntRange(min=0), default=5, show_default=True)
@click.option("--runs", type=click.IntRange(min=2), default=40, show_default=True)
@click.option("--batch-sizes", default="1,4,16", show_default=True)
@click.option("--served-only", is_flag=True, help="Measure only the runtime that a server loads.")
@json_option
def benchmark(
    model: Path,
    test_suite: Path | None,
    threads: int,
    warmup: int,
    runs: int,
    batch_sizes: str,
    served_only: bool,
    as_json: bool,
) -> None:
    """Run the suite on a package, then measure latency, throughput, memory and size.

    \b
    Example:
      facemodels benchmark --model models/recognition/facenet-v2.2.0/model.pt \\
          --test-suite tests/model_tests/
    """
    import tempfile

    from facemodels.package.policies import open_signed
    from facemodels.params import Benchmark, parse
    from facemodels.pipeline import benchmark as step
    from facemodels.text import markdown

    settings = parse(
        Benchmark,
        {
            "threads": threads,
            "warmup": warmup,
            "runs": runs,
            "batch_sizes": batch_sizes.split(","),
            "runtimes": "served" if served_only else "all",
        },
        "the options",
    )
    opened = open_signed(model)
    result: dict[str, object] = {}
    if test_suite is not None:
        with tempfile.TemporaryDirectory() as scratch:
            result["suite"] = step.run_suite(opened, test_suite, Path(scratch))
    measured = step.measure(opened, settings)
    rows = [
        {"runtime": runtime, **{k: v for k, v in figures.items() if isinstance(v, float)}}
        for runtime, figures in measured["runtimes"].items()
    ]
    output({**result, **measured}, markdown(rows), as_json=as_json)
