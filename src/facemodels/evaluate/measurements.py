"""What was measured of packages that are set side by side, each figure once.

Three candidates make three pairs; without this each model would be evaluated for every pair that
it is in, and a process started for its memory each time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from facemodels.errors import InputError
from facemodels.evaluate import speed
from facemodels.evaluate.evaluation import Evaluation
from facemodels.evaluate.protocols import evaluate
from facemodels.package.load import Package
from facemodels.params import Compare

Value = TypeVar("Value")


class Measurements:
    """Measures packages of one task on one dataset and one machine.

    Args:
        data: prepared data of the task, with the splits val and test; None where no accuracy is
            asked for.
        settings: of the comparison.
    """

    def __init__(self, data: Path | None, settings: Compare) -> None:
        self.settings = settings
        self._data = data
        self._done: dict[tuple[str, tuple[int, ...]], tuple[tuple[Package, ...], Any]] = {}

    def predictor(self, package: Package) -> Any:
        """The served form of a package, with the threads of the settings."""
        return self._once(
            "predictor", (package,), lambda: package.predictor(threads=self.settings.threads)
        )

    def evaluation(self, package: Package, gallery: Package | None = None) -> Evaluation:
        """The accuracy of a package; with its faces against those of another's gallery, if given.

        Rates at a threshold are then at that of the gallery's package, as it was in use.

        Raises:
            DataError: the data has no such splits.
            InputError: no data was given.
        """
        data = self._data
        if data is None:
            raise InputError("accuracy needs data.", "Give --test-data.")
        if gallery is None:
            return self._once(
                "evaluation",
                (package,),
                lambda: evaluate(package.task, self.predictor(package), data),
            )
        threshold = self.evaluation(gallery).threshold
        return self._once(
            "evaluation",
            (package, gallery),
            lambda: evaluate(
                package.task, self.predictor(package), data, self.predictor(gallery), threshold
            ),
        )

    def served(self, package: Package) -> dict[str, Any]:
        """Times and memory of a process that serves a package, see `speed.measure_served`."""
        settings = self.settings
        return self._once(
            "served",
            (package,),
            lambda: speed.measure_served(
                package, threads=settings.threads, warmup=settings.warmup, runs=settings.runs
            ),
        )

    def _once(
        self, what: str, packages: tuple[Package, ...], measure: Callable[[], Value]
    ) -> Value:
        """The value of packages; two may have one model id, so that the objects count."""
        key = (what, tuple(map(id, packages)))
        if key not in self._done:
            self._done[key] = (packages, measure())  # kept, so that no `id` is given again
        value: Value = self._done[key][1]
        return value
