"""The sequential test of a canary against the stable version, window after window. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from math import log

from facemodels.monitoring.analysis.e_processes import BOLD, EVEN, BettingEProcess, OddsEProcess
from facemodels.monitoring.analysis.trigger_tests import FiredTrigger
from facemodels.monitoring.analysis.verdict import MetricEvidence, Verdict, decide
from facemodels.monitoring.metrics.windows import Tally, Window, without_crowding
from facemodels.monitoring.settings import VerdictSettings

SETTLED = 20
"""The number of latencies of the stable version from which its quantile is used. The choice is
free: any bound that is known before the window keeps the stated error probabilities."""
_VERSIONS = ("canary", "stable version")


class SequentialTest:
    """Takes windows one by one and says after each what the evidence so far is worth.

    It bounds two error probabilities over all time, however often one looks:

    * **Rolling back** a canary that is not worse: at most `false_rollback`. The null hypotheses,
      each tested at `false_rollback` / (1 + number of quantiles):
      errors: in each window as it comes, given the errors of both versions together, the canary's
      part of them is hypergeometric or stochastically smaller (`e_processes.OddsEProcess`). One
      window does not suffice, however bad it is.
      latency at quantile q: in each pooled window the expected share of the canary's answers that
      are slower than x' is at most that of the stable version's answers that are slower than x.
      x is the bucket's bound under which the stable version's q-quantile lay before this window,
      and x' is the next bound: one bucket slower (a quarter, in our histograms) is not yet worse.
    * **Promoting** a canary that is worse by a margin: at most `missed_regression`. All metrics
      must pass. The null hypotheses, each tested at `missed_regression`:
      errors: in each pooled window, given the past and the numbers of requests, the expected
      difference of the two shares of errors is at least `error_margin`.
      latency at q: the expected difference of the two shares above is at least `latency_margin`.

    A pooled window is at least `window_s` long, and longer until both versions had a request.
    Requests within it may depend on each other in any way, so bursts that are shorter than a
    pooled window are allowed for, whether they strike the canary alone or both.

    The requests of one client are no independent evidence. Where many clients ask (`FEWEST`), a
    sample of one request a client in two seconds is judged: within-cluster resampling, Hoffman,
    Sen and Weinberg, Biometrika 88, 2001. So the influence of a client on a window is that of one
    request of many, however many it sends. A client that fails in all windows counts in all.

    It has no clock and no randomness: the same windows give the same verdict, for example when
    they are read from the store again after a restart.

    Args:
        settings: the error probabilities, the margins and the length of a pooled window.
        since: when the rollout began, seconds since 1970; silence counts from then.
    """

    def __init__(self, settings: VerdictSettings, since: float | None = None) -> None:
        self._settings = settings
        metrics = 1 + len(settings.latency_quantiles)
        self._needed = log(metrics / settings.false_rollback), -log(settings.missed_regression)
        self._errors = _ErrorTest(settings.error_margin)
        self._tests: list[_ErrorTest | _LatencyTest] = [self._errors]
        for quantile in settings.latency_quantiles:
            self._tests.append(_LatencyTest(quantile, settings.latency_margin))
        self._pool: tuple[Tally, Tally] | None = None
        self._pooled_s = 0.0
        self._silent_s = dict.fromkeys(_VERSIONS, 0.0)
        self._last = since
        self._requests = 0

    def add(self, window: Window) -> None:
        """Take the next window. It costs about 0.2 ms, more with thousands of errors in it."""
        span = max(0.0, window.end - window.start)  # a clock may have been set back
        for who, tally in zip(_VERSIONS, (window.canary, window.stable), strict=True):
            self._silent_s[who] = 0.0 if tally is not None else self._silent_s[who] + span
        self._last = window.end
        if window.canary is not None:
            self._requests += window.canary.requests
        if window.canary is None or window.stable is None:
            return
        self._errors.add(*without_crowding(window.canary, window.stable))
        self._add_to_pool(window.canary, window.stable, span)

    def _add_to_pool(self, canary: Tally, stable: Tally, span: float) -> None:
        """Pool the window with those before it, and bet once the pool is long enough."""
        if self._pool is not None:
            canary, stable = self._pool[0] + canary, self._pool[1] + stable
        self._pooled_s += span
        # Sums of floats are not exact: five windows of a second are a window of five.
        if self._pooled_s < self._settings.window_s - 1e-6 or not (
            canary.requests and stable.requests
        ):
            self._pool = canary, stable
            return
        self._pool, self._pooled_s = None, 0.0
        for test in self._tests:
            test.bet(*without_crowding(canary, stable))

    def verdict(self, now: float | None = None, fired: Sequence[FiredTrigger] = ()) -> Verdict:
        """The verdict after the windows so far; `verdict.decide` makes it from the evidence.

        Args:
            now: seconds since 1970; the time since the last window counts as silence.
            fired: the rollback triggers that the canary fires by itself.
        """
        return decide(
            [test.evidence(self._needed) for test in self._tests],
            fired=fired,
            lost=self._lost(now),
            silent=[f"no numbers of the {who}" for who, s in self._silent_s.items() if s],
            requests=self._requests,
        )

    def _lost(self, now: float | None) -> list[str]:
        """A sentence for each version that had no numbers for `silence_s`."""
        waited = 0.0 if now is None or self._last is None else max(0.0, now - self._last)
        limit = self._settings.silence_s
        return [
            f"the numbers of the {who} are lost for {silent + waited:.0f} s (limit {limit:g} s)"
            for who, silent in self._silent_s.items()
            if silent + waited >= limit
        ]


class _ErrorTest:
    """The test of the rate of errors. `SequentialTest` states the hypotheses.

    Args:
        margin: the difference of the two rates from which the canary counts as worse.
    """

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._worse = OddsEProcess()
        self._fit = BettingEProcess(1 - margin, BOLD)
        self._shares = _Shares()

    def add(self, canary: Tally, stable: Tally) -> None:
        """Take one window as it came."""
        self._worse.add(canary.errors, canary.requests, stable.errors, stable.requests)
        self._shares.add((canary.errors, canary.requests), (stable.errors, stable.requests))

    def bet(self, canary: Tally, stable: Tally) -> None:
        """Take one pooled window."""
        difference = canary.errors / canary.requests - stable.errors / stable.requests
        self._fit.add(self._margin - difference)

    def evidence(self, needed: tuple[float, float]) -> MetricEvidence:
        """The evidence so far, beside what is needed to roll back and to promote."""
        return self._shares.evidence("errors", self._worse, self._fit, needed)


class _LatencyTest:
    """The test of one quantile of the latency. `SequentialTest` states the hypotheses.

    Args:
        quantile: for example 0.95.
        margin: the difference of the two shares of slow answers from which the canary is worse.
    """

    def __init__(self, quantile: float, margin: float) -> None:
        self._quantile = quantile
        self._margin = margin
        self._worse = BettingEProcess(1.0, EVEN)
        self._fit = BettingEProcess(1 - margin, BOLD)
        self._shares = _Shares()
        self._bounds_s: tuple[float, float] | None = None
        self._before: Tally | None = None  # the stable version, before this window

    def bet(self, canary: Tally, stable: Tally) -> None:
        """Take one pooled window."""
        place = self._bound()
        if place is not None and canary.answers and stable.answers:
            bound = stable.bounds[place]
            beyond = stable.bounds[min(place + 1, len(stable.bounds) - 1)]
            self._bounds_s = beyond, bound
            usual, slow = stable.above(bound), _above(canary, beyond)
            difference = slow / canary.answers - usual / stable.answers
            self._worse.add(difference)
            self._fit.add(self._margin - difference)
            self._shares.add((slow, canary.answers), (usual, stable.answers))
        self._before = stable if self._before is None else self._before + stable

    def _bound(self) -> int | None:
        """The index of the bound under which the stable version's quantile lay until now."""
        before = self._before
        if before is None or before.answers < SETTLED:
            return None
        needed, below = self._quantile * before.answers, 0
        for place, count in enumerate(before.latency[:-1]):
            below += count
            if below >= needed:
                return place
        return len(before.bounds) - 1

    def evidence(self, needed: tuple[float, float]) -> MetricEvidence:
        """The evidence so far, beside what is needed to roll back and to promote."""
        name = f"latency p{100 * self._quantile:g}"
        made = self._shares.evidence(name, self._worse, self._fit, needed)
        return replace(made, bounds_s=self._bounds_s)


class _Shares:
    """The sums behind both versions' shares of failed or slow requests, as people read them."""

    def __init__(self) -> None:
        self._canary = [0, 0]
        self._stable = [0, 0]

    def add(self, canary: tuple[int, int], stable: tuple[int, int]) -> None:
        """Take one window: of each version how many were bad, and of how many."""
        for sums, one in ((self._canary, canary), (self._stable, stable)):
            sums[0] += one[0]
            sums[1] += one[1]

    def evidence(
        self,
        name: str,
        worse: OddsEProcess | BettingEProcess,
        fit: BettingEProcess,
        needed: tuple[float, float],
    ) -> MetricEvidence:
        """The shares together with the evidence of the two e-processes."""
        return MetricEvidence(
            name=name,
            canary=self._canary[0] / self._canary[1] if self._canary[1] else None,
            stable=self._stable[0] / self._stable[1] if self._stable[1] else None,
            requests=self._canary[1],
            windows=fit.windows,
            worse=worse.highest,
            worse_needed=needed[0],
            fit=fit.log_e,
            fit_needed=needed[1],
        )


def _above(tally: Tally, seconds: float) -> int:
    """Answers that are slower than a bound, or than the next one if the buckets differ."""
    place = min(bisect_left(tally.bounds, seconds), len(tally.bounds) - 1)
    return tally.above(tally.bounds[place])
