"""The threshold that gives a false match rate, as it was measured on a system's own pairs.

A threshold means little to the person who has to choose it; the rate of false matches does. The
rates stand on a grid that is even on a logarithmic axis. Between two of its rates the lower one
counts, so that a caller never gets more false matches than were asked for; a rate that the pairs
cannot show is refused (rule of three, see `recognition.error_rates.support`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from facemodels.errors import InputError
from facemodels.recognition.error_rates.all_pairs import AllPairs, fnmr_at_fmr
from facemodels.recognition.error_rates.support import least_rate, require_supported

_A_DECADE = 20  # rates of the grid
_HIGHEST = 0.1  # no system is run at more
_WORDS = ("source", "embedding_space", "recogniser")


@dataclass(frozen=True)
class Calibration:
    """Thresholds by false match rate.

    Attributes:
        rates: FMR, 0..1, rising.
        thresholds: cosine similarity, falling; at `thresholds[i]` the FMR is at most `rates[i]`.
        impostor_pairs: the pairs that the rates were measured on.
        source: the data that they are of; empty where the reader knows it.
        embedding_space: whose similarities they are; empty where the reader knows it.
        recogniser: checksum of the recogniser that they were measured with, `sha256:…`; another
            one of the same space, compatible or quantized, has other rates at a threshold.
    """

    rates: tuple[float, ...]
    thresholds: tuple[float, ...]
    impostor_pairs: int
    source: str = ""
    embedding_space: str = ""
    recogniser: str = ""

    def threshold(self, fmr: float) -> float:
        """The threshold at which at most `fmr` of all impostors are accepted.

        Raises:
            InputError: the rate is not in 0..1, or the pairs cannot show one so low.
        """
        require_supported(fmr, self.impostor_pairs, "An FMR (of impostor pairs)")
        place = bisect_right(self.rates, fmr * (1 + 1e-9)) - 1
        if place < 0:
            raise InputError(
                f"there is no threshold for an FMR of {fmr:g}; the lowest is {self.rates[0]:.2g}."
            )
        return self.thresholds[place]

    def fmr(self, threshold: float) -> float:
        """The lowest rate of the grid that the FMR at a threshold does not exceed; 1 if none."""
        reached = [r for r, t in zip(self.rates, self.thresholds, strict=True) if t <= threshold]
        return reached[0] if reached else 1.0

    def as_json(self) -> dict[str, Any]:
        """The values for a file of a package."""
        return {
            "source": self.source,
            "embedding_space": self.embedding_space,
            "recogniser": self.recogniser,
            "impostor_pairs": self.impostor_pairs,
            "rates": list(self.rates),
            "thresholds": list(self.thresholds),
        }

    @classmethod
    def of_json(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave.

        Raises:
            InputError: a key is missing, or the lists do not belong together.
        """
        try:
            rates, thresholds = tuple(values["rates"]), tuple(values["thresholds"])
            pairs = int(values["impostor_pairs"])
            words = (str(values.get(key, "")) for key in _WORDS)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"a calibration is not readable: {error!r}.") from error
        falling = sorted(thresholds, reverse=True)
        in_order = list(rates) == sorted(rates) and list(thresholds) == falling
        if not rates or len(rates) != len(thresholds) or not in_order:
            raise InputError(
                "a calibration needs one threshold a rate, rising rates and falling thresholds."
            )
        return cls(rates, thresholds, pairs, *words)


def calibrate(pairs: AllPairs, source: str = "") -> Calibration:
    """Measure the thresholds of the rates that the pairs can show.

    Args:
        pairs: scores of genuine and impostor pairs.
        source: the name of the data.

    Raises:
        InputError: there are too few impostor pairs for any rate up to 0.1.
    """
    lowest = least_rate(pairs.n_impostor)
    if lowest > _HIGHEST:
        raise InputError(
            f"{pairs.n_impostor} impostor pairs show no FMR of {_HIGHEST:g} or less.",
            "Calibrate on more people.",
        )
    decades = np.log10(_HIGHEST / lowest)
    places = np.arange(0, int(np.floor(decades * _A_DECADE)) + 1)
    rates = sorted({float(f"{_HIGHEST * 10 ** (-place / _A_DECADE):.6g}") for place in places})
    rates = [rate for rate in rates if rate >= lowest]
    thresholds = [fnmr_at_fmr(pairs, rate).threshold for rate in rates]
    return Calibration(tuple(rates), tuple(thresholds), pairs.n_impostor, source)
