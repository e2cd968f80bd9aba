"""Gates: what a model must reach before it is packaged. No file is touched here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from facemodels.errors import GateError, ParamsError
from facemodels.params import Gate


@dataclass(frozen=True)
class GateResult:
    """One gate and the value that met it."""

    metric: str
    gate: str
    value: float
    passed: bool


def judge(metrics: Mapping[str, float], gates: Mapping[str, Gate | None]) -> list[GateResult]:
    """Compare metrics with gates; a value on the bound passes, NaN never does.

    Raises:
        ParamsError: a gate names a metric that was not measured.
    """
    unknown = sorted(gates.keys() - metrics.keys())
    if unknown:
        raise ParamsError(
            f"gates name {', '.join(unknown)}, but only {', '.join(sorted(metrics))} are measured.",
            "Correct `gates` in conf/model/.",
        )
    rows = []
    for metric, gate in gates.items():
        if gate is None:
            continue
        value = metrics[metric]
        if gate.min is not None:
            rows.append(GateResult(metric, f"≥ {gate.min:g}", value, value >= gate.min))
        if gate.max is not None:
            rows.append(GateResult(metric, f"≤ {gate.max:g}", value, value <= gate.max))
    return rows


def require(judgements: list[GateResult], model: str) -> None:
    """Raise an error unless every gate was passed.

    Raises:
        GateError: a gate was not passed; the message names it.
    """
    failed = [row for row in judgements if not row.passed]
    if failed:
        reasons = ", ".join(f"{row.metric} {row.value:.4f} is not {row.gate}" for row in failed)
        raise GateError(
            f"{model} is below its gates: {reasons}. Nothing is packaged.",
            "Train it better, or change `gates` in conf/ and say why in the commit. "
            "`dvc exp save` keeps its figures as an experiment; of a queued one, "
            "`dvc exp run --queue --ignore-errors` does, with its gate as the target.",
        )
