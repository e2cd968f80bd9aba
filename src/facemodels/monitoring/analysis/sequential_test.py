"""The verdict on a canary, window after window."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from math import log

from facemodels.monitoring.analysis.e_processes import BOLD, EVEN, BettingEProcess, OddsEProcess
from facemodels.monitoring.analysis.verdict import MetricEvidence, Verdict
from facemodels.monitoring.metrics.windows import Tally, Window
from facemodels.monitoring.settings import VerdictSettings

SETTLED = 20
"""Latencies of the stable version before its quantile is used; a round choice, not a safeguard:
any bound that is known before the window would keep the stated errors."""


class _Shares:
    """Both versions' shares of something bad, summed; what the words of a verdict say."""

    def __init__(self) -> None:
        self._canary = [0, 0]
        self._stable = [0, 0]

    def add(self, canary: tuple[int, int], stable: tuple[int, int]) -> None:
        """One window more: how many were bad, of how many."""
        for sums, one in ((self._canary, canary), (self._stable, stable)):
            sums[0] += one[0]
            sums[1] += one[1]

    def metric(
        self,
        name: str,
        worse: OddsEProcess | BettingEProcess,
        fit: BettingEProcess,
        needed: tuple[float, float],
    ) -> MetricEvidence:
        """Together with the evidence."""
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


class _Errors:
    """The rate of errors. See `SequentialTest` for the hypotheses."""

    def __init__(self, margin: float) -> None:
        self._margin = margin
        self._worse = OddsEProcess()
        self._fit = BettingEProcess(1 - margin, BOLD)
        self._shares = _Shares()

    def add(self, canary: Tally, stable: Tally) -> None:
        """One window as it came."""
        self._worse.add(canary.errors, canary.requests, stable.errors, stable.requests)
        self._shares.add((canary.errors, canary.requests), (stable.errors, stable.requests))

    def bet(self, canary: Tally, stable: Tally) -> None:
        """One window of at least `window_s`."""
        difference = canary.errors / canary.requests - stable.errors / stable.requests
        self._fit.add(self._margin - difference)

    def metric(self, needed: tuple[float, float]) -> MetricEvidence:
        return self._shares.metric("errors", self._worse, self._fit, needed)


class _Latency:
    """One quantile of the latency. See `SequentialTest` for the hypotheses."""

    def __init__(self, quantile: float, margin: float) -> None:
        self._quantile = quantile
        self._margin = margin
        self._worse = BettingEProcess(1.0, EVEN)
        self._fit = BettingEProcess(1 - margin, BOLD)
        self._shares = _Shares()
        self._bounds_s: tuple[float, float] | None = None
        self._before: Tally | None = None  # the stable version, before this window

    def bet(self, canary: Tally, stable: Tally) -> None:
        """One window of at least `window_s`."""
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
        """Place of the bound under which the stable version's quantile lay until now."""
        before = self._before
        if before is None or before.answers < SETTLED:
            return None
        needed, below = self._quantile * before.answers, 0
        for place, count in enumerate(before.latency[:-1]):
            below += count
            if below >= needed:
                return place
        return len(before.bounds) - 1

    def metric(self, needed: tuple[float, float]) -> MetricEvidence:
        name = f"latency p{100 * self._quantile:g}"
        made = self._shares.metric(name, self._worse, self._fit, needed)
        return replace(made, bounds_s=self._bounds_s)


def _above(tally: Tally, seconds: float) -> int:
    """Answers slower than a bound, or than the next, if these buckets are others."""
    place = min(bisect_left(tally.bounds, seconds), len(tally.bounds) - 1)
    return tally.above(tally.bounds[place])


class SequentialTest:
    """What the windows so far say about a canary; made again from a stored list of them.

    Two errors are kept over all time, however often one looks:

    * **Roll back** a canary that is not worse: at most `false_rollback`. The nulls, each tested
      at `false_rollback` / (1 + number of quantiles):
      errors: in each window, as it comes, given the errors of both together, the canary's part
      is hypergeometric or stochastically smaller (`processes.Odds`). One window, however
      bad, does not suffice.
      latency at q: in each pooled window the expected share of the canary's answers slower
      than x' is at most that of the stable version's answers slower than x. x is the bucket's
      bound under which the stable version's q-quantile lay before this window, x' the next
      bound: one bucket slower (a quarter, in our histograms) is not yet worse.
    * **Promote** one that is worse by a margin: at most `missed_regression`. All metrics must
      pass, each tested at `missed_regression` against:
      errors: in each pooled window, given all before and how many requests there were, the
      expected difference of the two shares of errors is at least `error_margin`.
      latency at q: that of the two shares above is at least `latency_margin`.

    A pooled window is `window_s` long at least, and longer until both versions had a request.
    Within it requests may depend on each other as they like: bursts shorter than it, private
    to the canary or not, are allowed for.

    Args:
        settings: of the environment.
        since: when the rollout began, seconds since 1970; silence counts from then.
    """

    def __init__(self, settings: VerdictSettings, since: float | None = None) -> None:
        self._settings = settings
        metrics = 1 + len(settings.latency_quantiles)
        self._needed = log(metrics / settings.false_rollback), -log(settings.missed_regression)
        self._errors = _Errors(settings.error_margin)
        self._latency = [
            _Latency(quantile, settings.latency_margin) for quantile in settings.latency_quantiles
        ]
        self._pool: tuple[Tally, Tally] | None = None
        self._pooled_s = 0.0
        self._silent_s = {"canary": 0.0, "stable version": 0.0}
        self._last = since
        self._requests = 0

    def add(self, window: Window) -> None:
        """The next window. A few tens of microseconds, more with thousands of errors in it."""
        span = max(0.0, window.end - window.start)  # a clock may have been set back
        for who, tally in (("canary", window.canary), ("stable version", window.stable)):
            self._silent_s[who] = 0.0 if tally is not None else self._silent_s[who] + span
        self._last = window.end
        if window.canary is not None:
            self._requests += window.canary.requests
        if window.canary is None or window.stable is None:
            return
        self._errors.add(window.canary, window.stable)
        canary, stable = window.canary, window.stable
        if self._pool is not None:
            canary, stable = self._pool[0] + canary, self._pool[1] + stable
        self._pooled_s += span
        # Sums of clocks are not exact: five windows of a second are a window of five.
        if self._pooled_s < self._settings.window_s - 1e-6 or not (
            canary.requests and stable.requests
        ):
            self._pool = canary, stable
            return
        self._pool, self._pooled_s = None, 0.0
        self._errors.bet(canary, stable)
        for metric in self._latency:
            metric.bet(canary, stable)

    def verdict(self, now: float | None = None) -> Verdict:
        """What follows.

        Args:
            now: seconds since 1970; time since the last window counts as silence.
        """
        metrics = (
            self._errors.metric(self._needed),
            *(one.metric(self._needed) for one in self._latency),
        )
        condemned = tuple(f"worse in {one.words}" for one in metrics if one.condemns)
        lost = self._lost(now)
        if condemned:
            return Verdict("roll back", condemned, metrics, bool(lost), self._requests)
        if lost:
            return Verdict("hold", lost, metrics, alarm=True, requests=self._requests)
        if any(self._silent_s.values()):
            reasons = tuple(f"no numbers of the {who}" for who, s in self._silent_s.items() if s)
            return Verdict("hold", reasons, metrics, requests=self._requests)
        if all(one.passes for one in metrics):
            reasons = tuple(f"not worse in {one.words}" for one in metrics)
            return Verdict("promote", reasons, metrics, requests=self._requests)
        reasons = tuple(f"not enough evidence in {one.words}" for one in metrics if not one.passes)
        return Verdict("hold", reasons, metrics, requests=self._requests)

    def _lost(self, now: float | None) -> tuple[str, ...]:
        waited = 0.0 if now is None or self._last is None else max(0.0, now - self._last)
        limit = self._settings.silence_s
        return tuple(
            f"the numbers of the {who} are lost for {silent + waited:.0f} s (limit {limit:g} s)"
            for who, silent in self._silent_s.items()
            if silent + waited >= limit
        )
