"""The forms of each package side by side: torch, ONNX Runtime, and its variants.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.runtimes [PACKAGE ...] [--threads N]

PACKAGE is a plain version; by default all that are below models/. Its variants are the folders
beside it that begin with its name. One image goes through all forms of a version in turn, so that
they meet the same noise: a drawn face or scene, resizing and post-processing included. Memory is
the peak of a process of its own. Accuracy is the primary metric that the package states; the
error is the largest difference between the served graph and torch on noise.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facemodels.evaluate import speed
from facemodels.names import TASKS
from facemodels.package.load import Package, open_package
from facemodels.runtime import Runtime
from facemodels.text import markdown

PRIMARY = {"detection": "ap50_95", "recognition": "accuracy", "landmarks": "nme"}
_WARM_UP = 5


@dataclass(frozen=True)
class Form:
    """One way in which a version runs."""

    package: Package
    runtime: Runtime

    @property
    def name(self) -> str:
        """For example `torch`, `onnx` or `onnx int8`."""
        return f"{self.runtime} {self.package.id.variant}".strip()


def main() -> None:
    """Print the table, and with --json write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("packages", nargs="*", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path, help="file of the figures")
    options = parser.parse_args()
    rows = []
    for folder in options.packages or list(_all_plain()):
        rows += compare(_forms(folder), threads=options.threads, rounds=options.rounds)
    print(markdown(rows))
    print(
        f"{speed.machine()['cpu']}, {options.threads} thread(s), one image, {options.rounds} rounds"
    )
    if options.json:
        options.json.write_text(json.dumps({"machine": speed.machine(), "rows": rows}, indent=2))


def _all_plain() -> Iterator[Path]:
    """Packages below models/ that are no variants."""
    for task in TASKS:
        for folder in sorted(Path("models", task).glob("*/")):
            if (folder / "metadata.json").is_file() and not open_package(folder).id.variant:
                yield folder


def _forms(folder: Path) -> list[Form]:
    """The forms of a version: torch first, then what is served, then the variants."""
    beside = sorted(path for path in folder.parent.glob(f"{folder.name}-*") if path.is_dir())
    opened = [open_package(path) for path in (folder, *beside)]
    return [Form(package, runtime) for package in opened for runtime in reversed(package.runtimes)]


def compare(forms: list[Form], *, threads: int, rounds: int) -> list[dict[str, Any]]:
    """Time the forms of one version in turn; a row a form."""
    runs: dict[str, Callable[[int], Any]] = {
        form.name: speed.workload(
            form.package.task, form.package.predictor(form.runtime, threads=threads)
        )
        for form in forms
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(_WARM_UP + rounds):
        for name, run in runs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run(1)
            if number >= _WARM_UP:
                times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    first = np.median(times[forms[0].name], axis=0)
    return [_row(form, np.array(times[form.name]) * 1e3, first * 1e3, threads) for form in forms]


def _row(form: Form, times: Any, first: Any, threads: int) -> dict[str, Any]:
    package = form.package
    cpu, wall = np.median(times, axis=0)
    alone = speed.measure(
        package,
        package.runtimes,
        threads=threads,
        warmup=1,
        runs=5,
        batch_sizes=[1],
        advance=lambda count: None,
    )["runtimes"][form.runtime]
    metric = PRIMARY[package.task]
    accuracy = package.metadata["accuracy_metrics"].get(metric)
    served = form.runtime == package.runtimes[0] and form.runtime != "torch"
    error = package.metadata.get("onnx_max_abs_error") if served else None
    return {
        "package": str(package.id),
        "form": form.name,
        "p50 ms": round(wall, 2),
        "p95 ms": round(float(np.percentile(times[:, 1], 95)), 2),
        "times as fast": round(first[1] / wall, 2),
        "processor p50 ms": round(cpu, 2),
        "processor, times as fast": round(first[0] / cpu, 2),
        "peak MB": round(alone["peak_rss_mb"]),
        "file MB": round(alone["file_size_mb"], 1),
        "metric": metric,
        "value": "" if accuracy is None else round(accuracy, 4),
        "error": "" if error is None else f"{error:.1e}",
    }


if __name__ == "__main__":
    main()
