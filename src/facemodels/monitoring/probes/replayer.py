"""Replays the golden sets to every version that serves, and keeps what the replays show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facemodels.files import write_json
from facemodels.monitoring.metrics.reading import PROBE, Series
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.monitoring.probes.client import replay
from facemodels.monitoring.probes.golden_set import load
from facemodels.monitoring.probes.result import ReplayResult
from facemodels.monitoring.served import ServedModel
from facemodels.names import ModelName


class ProbeReplayer:
    """Replays the golden sets and keeps what they show, in files and as gauges of the store.

    Args:
        folder: the folder for results; `<id>.json` is the last result of a version.
        store: the store that gets precision, recall, F1, FPR, TPR and accuracy as gauges.
        token: the bearer token for the servers; "" sends none.
        mark: a header by which the servers know that its requests are no traffic.

    Attributes:
        problems: why a version's accuracy is not known, by version.
        rates: the rates on the probes at the last complete replay, by version.
    """

    def __init__(
        self,
        folder: Path,
        store: SampleStore,
        token: str,
        mark: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._store = store
        access = {"authorization": f"Bearer {token}"} if token else {}
        self._headers = {**access, **(mark or {})}
        self.problems: dict[str, str] = {}
        self.rates: dict[str, Mapping[str, float | None]] = {}

    def run(self, served: Sequence[ServedModel], address: str | None, sets: Path) -> None:
        """Replay the probes of each task that has some to each version that gets requests.

        Args:
            served: the models whose versions are asked.
            address: the router's base URL; None if there is no router to ask.
            sets: the folder with the golden set of each task, `<sets>/<task>/probes.json`.
        """
        asked = [version.id for one in served for version in one.receiving]
        for name in self.problems.keys() - {f"probes {identity}" for identity in asked}:
            del self.problems[name]
        self.rates = {one: rates for one, rates in self.rates.items() if one in asked}
        for one in served:
            folder = sets / ModelName.parse(one.model).task
            if address is not None and folder.is_dir():
                self._replay_all(f"{address}/models/{one.model}", one, folder)

    def _replay_all(self, url: str, served: ServedModel, folder: Path) -> None:
        """Ask the stable version first: the other one is compared with it."""
        golden_set = load(folder)
        first: ReplayResult | None = None
        for identity in (version.id for version in served.receiving):
            result = replay(url, golden_set, identity, headers=self._headers)
            first = first or result
            told = {**result.as_json(), "agreement": _agreement(result, first)}
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / f"{identity}.json", told)
            self._note(identity, result)

    def _note(self, identity: str, result: ReplayResult) -> None:
        name = f"probes {identity}"
        if not result.complete:
            failures = ", ".join(f"{count} x {why}" for why, count in result.failures.items())
            self.problems[name] = f"{result.failed} of {result.asked} probes failed: {failures}"
            return
        self.problems.pop(name, None)
        self.rates = {**self.rates, identity: result.rates}
        self._keep(Series.of(identity), result.rates)

    def _keep(self, series: Series, rates: Mapping[str, Any]) -> None:
        for name, value in rates.items():
            if value is not None:
                self._store.put_gauge(f"{PROBE}{name}", series, float(value))


def _agreement(one: ReplayResult, other: ReplayResult) -> dict[str, Any]:
    """The number of probes on which two versions are both right or both wrong."""
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(one.correct, other.correct, strict=True)
        if mine is not None and theirs is not None
    ]
    agreed = sum(mine == theirs for mine, theirs in pairs)
    return {"with": other.model_id, "compared": len(pairs), "agreed": agreed}
