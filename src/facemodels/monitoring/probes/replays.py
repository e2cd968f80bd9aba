"""The golden set, sent to every version that serves, through the address that clients use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facemodels.deployment.desired import Desired
from facemodels.deployment.router import Router
from facemodels.deployment.settings import Environment
from facemodels.errors import ToolError
from facemodels.files import write_json
from facemodels.monitoring import probes
from facemodels.monitoring.analysis.watch import PROBE
from facemodels.monitoring.metrics.reading import Series
from facemodels.monitoring.metrics.store import Store


class Replays:
    """Replays probes and keeps what they show.

    Args:
        root: of the repository.
        folder: of the environment; `probes/<id>.json` there is the last result of a version.
        store: gets precision, recall, F1, FPR, TPR and accuracy.
        router: whose address is asked.
        token: bearer's; "" sends none.

    Attributes:
        problems: why a version's accuracy is not known, by version.
        rates: on the probes, by version; of the last complete replay.
    """

    def __init__(self, root: Path, folder: Path, store: Store, router: Router, token: str) -> None:
        self._root = root
        self._folder = folder / "probes"
        self._store = store
        self._router = router
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        self.problems: dict[str, str] = {}
        self.rates: dict[str, Mapping[str, float | None]] = {}

    def run(self, wanted: Mapping[str, Desired], settings: Environment) -> None:
        """Replay the probes of each task that has some to each version that has requests."""
        asked = [(model, identity) for model, one in wanted.items() for identity in _serving(one)]
        for identity in self.problems.keys() - {f"probes {one}" for _, one in asked}:
            del self.problems[identity]
        self.rates = {one: self.rates[one] for _, one in asked if one in self.rates}
        for model, one in wanted.items():
            folder = self._root / settings.probes.folder / one.task
            if folder.is_dir():
                self._replay_all(model, _serving(one), folder)

    def _replay_all(self, model: str, versions: Sequence[str], folder: Path) -> None:
        """The stable version first: the other is compared with it."""
        try:
            url = f"{self._router.url}/models/{model}"
        except ToolError:
            return  # there is no router to ask
        golden = probes.load(folder)
        first: probes.Result | None = None
        for identity in versions:
            result = probes.replay(url, golden, identity, headers=self._headers)
            first = first or result
            told = {**result.as_json(), "agreement": _agreement(result, first)}
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / f"{identity}.json", told)
            self._note(identity, result)

    def _note(self, identity: str, result: probes.Result) -> None:
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


def _agreement(one: probes.Result, other: probes.Result) -> dict[str, Any]:
    """On how many probes two versions are both right or both wrong."""
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(one.correct, other.correct, strict=True)
        if mine is not None and theirs is not None
    ]
    agreed = sum(mine == theirs for mine, theirs in pairs)
    return {"with": other.model_id, "compared": len(pairs), "agreed": agreed}


def _serving(wanted: Desired) -> tuple[str, ...]:
    beside = (wanted.rollout.id,) if wanted.rollout else ()
    return (wanted.stable, *beside)
