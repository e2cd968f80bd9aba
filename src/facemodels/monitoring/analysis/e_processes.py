"""Evidence that may be looked at after every window: e-processes.

An e-process starts at 1, is never negative, and its mean under the null hypothesis is at most
1 whenever one stops. So by Ville's inequality it ever reaches 1/a with a chance of at most a,
however often and for whatever reason one looks (Ramdas et al. 2023, Game-theoretic statistics
and safe anytime-valid inference). A mixture of e-processes is one too. Logarithms throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, inf, log, log1p

import numpy as np

ODDS = (1.5, 2.5, 5.0, 15.0, 100.0)
"""How many times worse the canary's odds of an error may be, each as likely as the others."""
CEILING = 2.0
"""Of the logarithm of what one window may say: a smaller e-value is one, too. So at least four
bad windows condemn, and a hiccup of one does not: a burst that strikes one version alone is
outside the null of `OddsEProcess`, but no reason to take a version back. With 4 instead, a canary
that fails half was found in 2 s instead of 4, and a good one with hiccups taken back three times
as often (docs/verdict.md)."""
FRACTIONS = (0.97, 0.75, 0.5, 0.25, 0.1)
"""Bets, as shares of the largest that cannot lose more than everything."""
BOLD = (0.5, 0.2, 0.1, 0.1, 0.1)
"""How much is set on each: most on the bold one, as a good canary hardly ever fails."""
EVEN = (0.2, 0.2, 0.2, 0.2, 0.2)


def log_mean_exp(logs: Sequence[float], weights: Sequence[float]) -> float:
    """Logarithm of a weighted mean of numbers whose logarithms are given."""
    most = max(logs)
    if most == -inf:
        return -inf
    terms = (weight * exp(one - most) for one, weight in zip(logs, weights, strict=True))
    return most + log(sum(terms))


def log_odds_ratios(
    canary_errors: int, canary: int, stable_errors: int, stable: int, odds: Sequence[float]
) -> list[float]:
    """How much likelier the canary's part of the errors is under other odds than under equal ones.

    Given how many errors there were in all, the canary's part is hypergeometric if both fail
    alike, whatever the chance of a failure was in this window; with `odds` times the odds it
    has Fisher's noncentral hypergeometric distribution. The ratio's mean is 1 under the first,
    and at most 1 if the canary's part is stochastically smaller, as the ratio rises with it.

    Args:
        canary_errors: 0 to `canary`.
        canary: requests.
        stable_errors: 0 to `stable`.
        stable: requests.
        odds: above 1.

    Returns:
        The logarithm, by odds.
    """
    errors = canary_errors + stable_errors
    least, most = max(0, errors - stable), min(errors, canary)
    if least == most:  # nothing could have been otherwise
        return [0.0] * len(odds)
    part = np.arange(least, most, dtype=np.float64)
    steps = np.log((canary - part) * (errors - part) / ((stable - errors + part + 1) * (part + 1)))
    ways = np.concatenate(([0.0], np.cumsum(steps)))
    tilts = np.log(odds)[:, None]
    tilted = ways + tilts * np.arange(most - least + 1)
    ratios = tilts[:, 0] * (canary_errors - least) - _log_sum(tilted) + _log_sum(ways)
    return [float(one) for one in ratios]


def _log_sum(logs: np.ndarray) -> np.ndarray:
    most = logs.max(axis=-1, keepdims=True)
    return np.asarray(most[..., 0] + np.log(np.exp(logs - most).sum(axis=-1)))


class OddsEProcess:
    """Against "in no window does the canary fail more than the stable version".

    Exactly: in each window, given all before it, the requests of both and the errors of both
    together, the canary's errors are hypergeometric or stochastically fewer. Bursts that
    strike both alike are within it. The mixture over `ODDS` of products over windows.

    Attributes:
        log_e: now.
        highest: it ever was.
    """

    def __init__(self) -> None:
        self._sums = [0.0] * len(ODDS)
        self.log_e = 0.0
        self.highest = 0.0

    def add(self, canary_errors: int, canary: int, stable_errors: int, stable: int) -> None:
        """One window more."""
        if canary_errors + stable_errors == 0 or not canary or not stable:
            return
        ratios = log_odds_ratios(canary_errors, canary, stable_errors, stable, ODDS)
        self._sums = [
            total + min(ratio, CEILING) for total, ratio in zip(self._sums, ratios, strict=True)
        ]
        self.log_e = log_mean_exp(self._sums, EVEN)
        self.highest = max(self.highest, self.log_e)


class BettingEProcess:
    """Against "the mean of y, given all before, is at most 0", for y of at least `-worst`.

    Waudby-Smith and Ramdas 2024, Estimating means of bounded random variables by betting.
    Nothing is assumed of a window but its mean: its requests may depend on each other as they
    like. The bets are constants and mixed, so that a smaller y never leaves more evidence.

    Args:
        worst: above 0.
        weights: of `FRACTIONS`.

    Attributes:
        log_e: now.
        highest: it ever was.
        windows: so far.
    """

    def __init__(self, worst: float, weights: Sequence[float]) -> None:
        self._bets = [fraction / worst for fraction in FRACTIONS]
        self._weights = weights
        self._sums = [0.0] * len(FRACTIONS)
        self.log_e = 0.0
        self.highest = 0.0
        self.windows = 0

    def add(self, y: float) -> None:
        """One window more."""
        self.windows += 1
        self._sums = [
            total + log1p(bet * y) for total, bet in zip(self._sums, self._bets, strict=True)
        ]
        self.log_e = log_mean_exp(self._sums, self._weights)
        self.highest = max(self.highest, self.log_e)
