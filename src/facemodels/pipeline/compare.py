"""Compare: the candidates of a task, and a released baseline, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facemodels.errors import InputError
from facemodels.evaluate import comparison, speed
from facemodels.evaluate.comparison import METRICS, Metric, Row
from facemodels.evaluate.compatibility import (
    Compatibility,
    claims_space_of,
    measure_compatibility,
)
from facemodels.evaluate.measurements import Measurements
from facemodels.names import ModelId
from facemodels.package.load import Package, open_package
from facemodels.params import Compare
from facemodels.text import markdown


def compare_packages(
    a: Package,
    b: Package,
    measured: Measurements,
    metrics: Sequence[Metric] = METRICS,
) -> list[Row]:
    """Rows of B against A, for each metric asked for.

    Raises:
        InputError: accuracy is asked for and `measured` has no data, or see `compare_accuracy`.
    """
    measures: dict[Metric, Callable[[], list[Row]]] = {
        "accuracy": lambda: comparison.compare_accuracy(a, b, measured),
        "speed": lambda: comparison.compare_speed(a, b, measured),
        "memory": lambda: comparison.compare_memory(a, b, measured),
        "size": lambda: comparison.compare_size(a, b),
    }
    return [row for metric in METRICS if metric in metrics for row in measures[metric]()]


def compare_task(
    folders: Sequence[Path], baseline: Path | None, data: Path, settings: Compare
) -> dict[str, Any]:
    """Everything that can be said of the candidates of one task.

    Args:
        folders: packages, the candidates.
        baseline: a released package they are held against; the first candidate if None.
        data: prepared data of the task.
        settings: of the comparison.

    Returns:
        `accuracy` (repeatable: values, intervals, verdicts), `measured` (of this machine
        and moment), `report` (Markdown) and `compatibility`: a list, what was measured of each
        candidate that claims the embedding space of another version.

    Raises:
        InputError: a candidate claims the space of a version whose package is not there.
    """
    candidates = [open_package(folder) for folder in folders]
    reference = open_package(baseline) if baseline else candidates[0]
    everyone = {str(package.id): package for package in [reference, *candidates]}
    others = [package for name, package in everyone.items() if name != str(reference.id)]
    measured = Measurements(data, settings)
    own = {name: _own(package, measured) for name, package in everyone.items()}
    served = {name: measured.served(package) for name, package in everyone.items()}
    rows = {str(package.id): compare_packages(reference, package, measured) for package in others}
    verdicts = {name: comparison.overall(listed) for name, listed in rows.items()}
    claims = [
        measure_compatibility(old, new, measured)
        for new in candidates
        for old in _claimed(new, list(everyone.values()))
    ]
    return {
        "compatibility": claims,
        "accuracy": {
            "reference": str(reference.id),
            "models": own,
            "differences": {
                name: [asdict(row) for row in listed if row.metric not in comparison.MEASURED]
                for name, listed in rows.items()
            },
            **({"compatibility": [found.as_json() for found in claims]} if claims else {}),
        },
        "measured": {"machine": speed.machine(), "served": served, "verdicts": verdicts},
        "report": _report(own, served, rows, verdicts, str(reference.id), claims, settings),
    }


def _claimed(new: Package, known: Sequence[Package]) -> list[Package]:
    """The packages whose embedding space a package claims: those known, and the one it names.

    Raises:
        InputError: the one that it names is not in its folder.
    """
    old = [package for package in known if claims_space_of(package, new)]
    named = new.metadata.get("compatible_with")
    if named and named["digest"] not in {f"sha256:{package.digest}" for package in old}:
        old.append(_named(new, named))
    return old


def _named(new: Package, named: Mapping[str, str]) -> Package:
    folder = Path(ModelId.parse(named["id"]).folder)
    package = open_package(folder) if folder.is_dir() else None
    if package is None or f"sha256:{package.digest}" != named["digest"]:
        raise InputError(
            f"{new.id} claims the embedding space of {named['id']} ({named['digest'][:19]}), which "
            f"is not in {folder}.",
            f"Bring it back: dvc checkout {folder}, or `dvc get . {folder} --rev` its tag.",
        )
    return package


def _own(package: Package, measured: Measurements) -> dict[str, Any]:
    evaluation, interval = comparison.interval(package, measured)
    return {
        "primary": evaluation.primary,
        "low": interval.low,
        "high": interval.high,
        "metrics": dict(evaluation.metrics),
        "stamp": dict(evaluation.stamp),
    }


def _report(
    own: Mapping[str, Mapping[str, Any]],
    served: Mapping[str, Mapping[str, Any]],
    rows: Mapping[str, list[Row]],
    verdicts: Mapping[str, str],
    reference: str,
    claims: Sequence[Compatibility],
    settings: Compare,
) -> str:
    percent = f"{settings.confidence:.0%}"
    parts = ["## Candidates", markdown([_line(n, own[n], served[n], percent) for n in own])]
    parts.append(markdown(_figures(own)))
    for name, listed in rows.items():
        parts += [f"## {name} against {reference}: {verdicts[name]}", rows_table(listed, percent)]
    for found in claims:
        parts += [f"## {found.new} in the space of {found.old}", found.table(percent)]
        parts.append(f"{found.verdict()}.")
    if not rows:
        parts.append("One candidate and no pinned baseline: nothing to compare it with.")
    parts.append(
        f"Accuracy: paired bootstrap, {settings.resamples} resamples; {_measured_on(own)}. "
        f"Times: served form, one image, {settings.threads} threads, {settings.runs} runs, "
        "the two models in turn."
    )
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _figures(own: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    """One row a metric that any candidate has, one column a candidate."""
    names = dict.fromkeys(metric for values in own.values() for metric in values["metrics"])
    return [
        {"metric": metric, **{name: one["metrics"].get(metric, "") for name, one in own.items()}}
        for metric in names
    ]


def _measured_on(own: Mapping[str, Mapping[str, Any]]) -> str:
    """What all figures were measured on, and the crop of each model."""
    stamps = {name: values["stamp"] for name, values in own.items()}
    shared = next(iter(stamps.values()))
    crops = [f"{name} takes {found['crop']}" for name, found in stamps.items() if found["crop"]]
    words = [f"evaluator {shared['evaluator']}", f"data {shared['data']}"]
    if shared["detector"]:
        words.append(f"detector {shared['detector']}")
    if len({stamp["crop"] for stamp in stamps.values()}) > 1:
        crops.append("so that models are compared together with their crops")
    return ", ".join([*words, *crops])


def _line(
    name: str, own: Mapping[str, Any], served: Mapping[str, Any], percent: str
) -> dict[str, object]:
    primary = own["primary"]
    return {
        "model": name,
        primary: own["metrics"][primary],
        f"{percent} interval": f"{own['low']:.4g} to {own['high']:.4g}",
        "p50 ms": served["p50_ms"],
        "p99 ms": served["p99_ms"],
        "peak MB": served["peak_rss_mb"],
        "file MB": served["file_size_mb"],
    }


def _uncertainty(row: Row) -> str:
    if row.p_value is not None:
        return f"p = {row.p_value:.3g}"
    if row.low is None or row.high is None:
        return ""
    return f"{row.low:.4g} to {row.high:.4g}"


def rows_table(rows: Sequence[Row], percent: str) -> str:
    """Rows of a comparison as Markdown."""
    return markdown(
        [
            {
                "metric": row.metric,
                "A": row.a,
                "B": row.b,
                "B - A": row.difference,
                f"{percent} interval": _uncertainty(row),
                "B is": row.verdict,
            }
            for row in rows
        ]
    )
