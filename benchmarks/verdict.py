"""Simulates rollouts of canaries whose truth is known: our verdict beside fixed thresholds.

python -m benchmarks.verdict [--runs 10000] [--quick] [--seed 1]

It prints, by scenario and rule, the share of wrong answers with its 95 % Clopper-Pearson interval
(rolling back a good canary, promoting a worse one). Then it prints the share of holds, the time to
the answer, and the requests that the canary got until then. docs/verdict.md has the fixed rules
with their sources.

Our verdict is computed by arrays for all rollouts at once; `_check` runs some of them again through
`analysis.SequentialTest`, and the program ends with an error if one answer or moment differs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log
from typing import Literal

import numpy as np
from scipy.special import betaln, logsumexp
from scipy.stats import binomtest, norm

from facemodels.monitoring.analysis import SequentialTest, e_processes
from facemodels.monitoring.analysis.sequential_test import SETTLED
from facemodels.monitoring.metrics.windows import Tally, Window
from facemodels.monitoring.settings import VerdictSettings
from facemodels.serving.metrics import REQUEST_SECONDS
from facemodels.text import markdown

BOUNDS = tuple(bound for bound in REQUEST_SECONDS if 0.02 <= bound <= 1.6)
MEDIAN_S, SPREAD = 0.06, 0.4  # a lognormal latency: p95 116 ms, p99 152 ms
RATE = 50.0  # requests a second of both versions together
SHARE = 0.1  # the canary's share of the requests, unless the rule sets its own
BASE = 0.005  # the share of errors of a good version
HORIZON_S = 1800
PROMOTE, BACK, HOLD = 1, -1, 0
LOT = 2500
CHECKED = 3  # rollouts of a lot that run through `SequentialTest` too
Truth = Literal["good", "between", "worse"]


@dataclass(frozen=True)
class Version:
    """How a version behaves.

    Attributes:
        errors: the chance that a request fails.
        burst: the chance that a burst of errors of this version alone begins in a second.
        burst_s: how long such a burst lasts.
        burst_errors: the chance that a request fails in a burst.
        slower: the factor on every latency.
        stuck: the share of the answers that take six times as long.
    """

    errors: float = BASE
    burst: float = 0.0
    burst_s: int = 1
    burst_errors: float = 0.5
    slower: float = 1.0
    stuck: float = 0.0

    @property
    def latency(self) -> np.ndarray:
        """The probability of each bucket of latency."""

        def below(factor: float) -> np.ndarray:
            z = np.log(np.asarray(BOUNDS) / (MEDIAN_S * factor)) / SPREAD
            return np.concatenate((norm.cdf(z), [1.0]))

        mixed = (1 - self.stuck) * below(self.slower) + self.stuck * below(6.0)
        return np.diff(mixed, prepend=0.0)


@dataclass(frozen=True)
class Scenario:
    """A rollout whose truth is known.

    Attributes:
        name: its name in the tables.
        truth: whether the canary is good or worse; for `between` either answer is right.
        canary: how the canary behaves.
        stable: how the stable version behaves.
        rate: the requests a second of both versions together.
        weather: the chance of a second in which 30 % of the requests to both versions fail.
        silent: whether the canary's numbers never come.
    """

    name: str
    truth: Truth
    canary: Version = Version()
    stable: Version = Version()
    rate: float = RATE
    weather: float = 0.0
    silent: bool = False


MARGIN = VerdictSettings().error_margin
HICCUPS, FITS = Version(burst=0.003), Version(burst=0.01)
SCENARIOS = (
    Scenario("good", "good"),
    Scenario("slightly worse: errors +1 point", "between", Version(BASE + 0.01)),
    Scenario("slightly slower: 10 %", "between", Version(slower=1.1)),
    Scenario("worse by just the margin: errors +2 points", "worse", Version(BASE + MARGIN)),
    Scenario("bad: errors +5 points", "worse", Version(BASE + 0.05)),
    Scenario("broken: half fail", "worse", Version(0.5)),
    Scenario("slow: 1.6 times", "worse", Version(slower=1.6)),
    Scenario("slow: one in ten takes six times as long", "worse", Version(stuck=0.1)),
    Scenario("good, bursts shared by both", "good", weather=0.02),
    Scenario("good, each with its own bursts, 1 s of 5 min", "good", HICCUPS, HICCUPS),
    Scenario("good, each with its own bursts, 1 s of 100 s", "good", FITS, FITS),
    Scenario("private bursts of 1 s, +2.5 points", "worse", Version(burst=0.05)),
    Scenario("private bursts of 5 s, +2.5 points", "worse", Version(burst=0.0105, burst_s=5)),
    Scenario("good, little traffic", "good", rate=2.0),
    Scenario("bad, little traffic", "worse", Version(BASE + 0.05), rate=2.0),
    Scenario("good, but no numbers", "good", silent=True),
)


@dataclass
class Outcome:
    """The outcome of a rule in all rollouts of a scenario.

    Attributes:
        answer: PROMOTE, BACK or HOLD, by rollout.
        seconds: the time to the answer, by rollout.
        requests: the canary's requests until then, by rollout.
    """

    answer: np.ndarray
    seconds: np.ndarray
    requests: np.ndarray


class Bursts:
    """Simulates the bursts of one version in all rollouts, second by second."""

    def __init__(self, version: Version, runs: int) -> None:
        self._version = version
        self._left = np.zeros(runs, dtype=int)

    def step(self, rng: np.random.Generator) -> np.ndarray:
        """Simulate the next second; return each rollout's chance of an error in it."""
        starts = rng.random(len(self._left)) < self._version.burst
        self._left = np.where(
            (self._left == 0) & starts, self._version.burst_s, np.maximum(self._left - 1, 0)
        )
        return np.where(self._left > 0, self._version.burst_errors, self._version.errors)


class Traffic:
    """Simulates the counts of both versions in all rollouts, second by second."""

    def __init__(self, scenario: Scenario, runs: int, rng: np.random.Generator) -> None:
        self._scenario = scenario
        self._rng = rng
        self._bursts = Bursts(scenario.canary, runs), Bursts(scenario.stable, runs)
        self._runs = runs
        self.latencies = scenario.canary.latency, scenario.stable.latency

    def second(self, share: np.ndarray | float) -> tuple[np.ndarray, ...]:
        """Simulate the next second; return requests and errors of the canary, then of the other."""
        rng, scenario = self._rng, self._scenario
        storm = rng.random(self._runs) < scenario.weather
        counts = []
        chances = [one.step(rng) for one in self._bursts]
        for part, chance in zip((share, 1.0 - np.asarray(share)), chances, strict=True):
            requests = rng.poisson(scenario.rate * np.broadcast_to(part, self._runs))
            counts += [requests, rng.binomial(requests, np.where(storm, 0.3, chance))]
        return tuple(counts)


def _log_mean(logs: np.ndarray, weights: Sequence[float]) -> np.ndarray:
    return np.asarray(logsumexp(logs, axis=1, b=np.asarray(weights)))


class Wealth:
    """`e_processes.BettingEProcess` of many rollouts at once."""

    def __init__(self, worst: float, weights: Sequence[float], runs: int) -> None:
        self._bets = np.asarray(e_processes.FRACTIONS) / worst
        self._weights = weights
        self._sums = np.zeros((runs, len(weights)))

    def add(self, rows: np.ndarray, y: np.ndarray) -> None:
        """Take one window of some of the rollouts."""
        self._sums[rows] += np.log1p(self._bets * y[:, None])

    @property
    def log_e(self) -> np.ndarray:
        """The logarithm of the evidence, by rollout."""
        return _log_mean(self._sums, self._weights)


class Many:
    """`SequentialTest` of many rollouts at once."""

    def __init__(self, settings: VerdictSettings, runs: int) -> None:
        self._settings = settings
        buckets = len(BOUNDS) + 1
        quantiles = settings.latency_quantiles
        self._odds = np.zeros((runs, len(e_processes.ODDS)))
        self._fit = Wealth(1 - settings.error_margin, e_processes.BOLD, runs)
        self._slow = [Wealth(1.0, e_processes.EVEN, runs) for _ in quantiles]
        self._swift = [
            Wealth(1 - settings.latency_margin, e_processes.BOLD, runs) for _ in quantiles
        ]
        self._before = np.zeros((runs, buckets), dtype=int)
        self._pool = np.zeros((4, runs), dtype=int)
        self._histograms = np.zeros((2, runs, buckets), dtype=int)
        self._pooled_s = np.zeros(runs)
        self.answer = np.zeros(runs, dtype=int)
        self.seconds = np.zeros(runs)
        self.requests = np.zeros(runs, dtype=int)

    def add(self, counts: tuple[np.ndarray, ...], histograms: tuple[np.ndarray, ...]) -> None:
        """Take the next second; rollouts that are decided do not change."""
        self._add_odds(*counts)
        self._pool += np.stack(counts)
        self._histograms += np.stack(histograms)
        self._pooled_s += 1
        ready = (self._pooled_s >= self._settings.window_s - 1e-6) & (
            (self._pool[0] > 0) & (self._pool[2] > 0)
        )
        self._bet(np.flatnonzero(ready & (self.answer == HOLD)))
        open_ = self.answer == HOLD
        self.requests += np.where(open_, counts[0], 0)
        self.seconds += open_
        quantiles = len(self._settings.latency_quantiles)
        worse = log((1 + quantiles) / self._settings.false_rollback)
        fit = -log(self._settings.missed_regression)
        odds = _log_mean(self._odds, e_processes.EVEN)
        condemned = np.any([odds >= worse, *(one.log_e >= worse for one in self._slow)], axis=0)
        passed = np.all([one.log_e >= fit for one in (self._fit, *self._swift)], axis=0)
        self.answer[open_ & passed] = PROMOTE
        self.answer[open_ & condemned] = BACK

    def _add_odds(self, n_c: np.ndarray, k_c: np.ndarray, n_s: np.ndarray, k_s: np.ndarray) -> None:
        rows = np.flatnonzero((k_c + k_s > 0) & (n_c > 0) & (n_s > 0) & (self.answer == HOLD))
        if not len(rows):
            return
        n_c, k_c, n_s, k = (one[rows][:, None] for one in (n_c, k_c, n_s, k_c + k_s))
        part = np.arange(np.minimum(n_c, k).max() + 1)
        possible = (part <= n_c) & (part <= k) & (k - part <= n_s)
        j = np.where(possible, part, np.maximum(0, k - n_s))
        ways = np.where(possible, _choose(n_c, j) + _choose(n_s, k - j), -np.inf)
        norm_ = logsumexp(ways, axis=1)
        for place, odds in enumerate(e_processes.ODDS):
            tilted = logsumexp(ways + part * log(odds), axis=1)
            ratio = k_c[:, 0] * log(odds) - tilted + norm_
            self._odds[rows, place] += np.minimum(ratio, e_processes.CEILING)

    def _bet(self, rows: np.ndarray) -> None:
        n_c, k_c, n_s, k_s = self._pool[:, rows]
        self._fit.add(rows, self._settings.error_margin - (k_c / n_c - k_s / n_s))
        settled = self._before[rows].sum(axis=1) >= SETTLED
        some = rows[settled]
        below = self._before[some].cumsum(axis=1)
        canary, stable = (self._histograms[side, some].cumsum(axis=1) for side in (0, 1))
        every, line = below[:, -1], np.arange(len(some))
        last = len(BOUNDS) - 1
        for place, quantile in enumerate(self._settings.latency_quantiles):
            bound = np.minimum((below < quantile * every[:, None]).sum(axis=1), last)
            usual = 1 - stable[line, bound] / stable[:, -1]
            slow = 1 - canary[line, np.minimum(bound + 1, last)] / canary[:, -1]
            self._slow[place].add(some, slow - usual)
            self._swift[place].add(some, self._settings.latency_margin - (slow - usual))
        self._before[rows] += self._histograms[1, rows]
        self._pool[:, rows] = 0
        self._histograms[:, rows] = 0
        self._pooled_s[rows] = 0


def _choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """Logarithms of the binomial coefficients."""
    return np.asarray(-betaln(n - k + 1, k + 1) - np.log1p(n))


def ours(
    scenario: Scenario, runs: int, rng: np.random.Generator, windows_s: Sequence[float]
) -> list[Outcome]:
    """The outcomes of our verdict for several lengths of a pooled window, on the same traffic."""
    if scenario.silent:
        return [_silent(runs, window_s) for window_s in windows_s]
    # A lot runs until its last rollout is decided.
    lots = [_lot(scenario, min(LOT, runs - at), rng, windows_s) for at in range(0, runs, LOT)]
    return [
        Outcome(*(np.concatenate([getattr(lot[place], name) for lot in lots])
                  for name in ("answer", "seconds", "requests")))
        for place in range(len(windows_s))
    ]  # fmt: skip


def _lot(
    scenario: Scenario, runs: int, rng: np.random.Generator, windows_s: Sequence[float]
) -> list[Outcome]:
    traffic = Traffic(scenario, runs, rng)
    many = [Many(VerdictSettings(window_s=window_s), runs) for window_s in windows_s]
    stored: list[Stored] = []
    for _ in range(HORIZON_S):
        counts = traffic.second(SHARE)
        waiting = np.any([one.answer == HOLD for one in many], axis=0)
        # The latencies of a rollout that is decided are not needed.
        histograms = tuple(
            rng.multinomial(np.where(waiting, requests, 0), chances)
            for requests, chances in zip(counts[::2], traffic.latencies, strict=True)
        )
        stored.append(
            (tuple(one[:CHECKED] for one in counts), tuple(one[:CHECKED] for one in histograms))
        )
        for one in many:
            one.add(counts, histograms)
        if not waiting.any():
            break
    for one, window_s in zip(many, windows_s, strict=True):
        _check(stored, one, VerdictSettings(window_s=window_s))
    return [Outcome(one.answer, one.seconds, one.requests) for one in many]


Stored = tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]


def _check(stored: list[Stored], many: Many, settings: VerdictSettings) -> None:
    """Run the first rollouts again through `SequentialTest`, and compare.

    Raises:
        SystemExit: an answer or its time differs.
    """
    for run in range(min(CHECKED, len(many.answer))):
        test, answer, seconds = SequentialTest(settings), "hold", 0
        for second, (counts, histograms) in enumerate(stored):
            n_c, k_c, n_s, k_s = (int(one[run]) for one in counts)
            canary, stable = (tuple(one[run].tolist()) for one in histograms)
            tallies = Tally(n_c, k_c, BOUNDS, canary), Tally(n_s, k_s, BOUNDS, stable)
            test.add(Window(second, second + 1, *tallies))
            answer, seconds = test.verdict().answer, second + 1
            if answer != "hold":
                break
        if (ANSWERS[answer], seconds) != (many.answer[run], many.seconds[run]):
            raise SystemExit(f"SequentialTest says {answer} after {seconds} s; the arrays do not.")


def _silent(runs: int, window_s: float) -> Outcome:
    """The outcome without numbers of the canary: nothing is random, so one run suffices."""
    test = SequentialTest(VerdictSettings(window_s=window_s))
    stable = Tally(45, 0, BOUNDS, (45,) + (0,) * len(BOUNDS))
    answer = HOLD
    for second in range(HORIZON_S):
        test.add(Window(second, second + 1, None, stable))
        answer = ANSWERS[test.verdict().answer]
        if answer != HOLD:
            break
    return Outcome(np.full(runs, answer), np.full(runs, HORIZON_S), np.zeros(runs, dtype=int))


ANSWERS = {"promote": PROMOTE, "roll back": BACK, "hold": HOLD}


class Minutes:
    """Simulates what Prometheus says of the last minute, in all rollouts."""

    def __init__(self, scenario: Scenario, runs: int, rng: np.random.Generator) -> None:
        self._traffic = Traffic(scenario, runs, rng)
        self._rng = rng

    def next(self, share: np.ndarray | float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Simulate a minute; return the canary's requests, success rate (or NaN) and histogram."""
        seconds = [self._traffic.second(share) for _ in range(60)]
        requests = np.sum([one[0] for one in seconds], axis=0)
        failed = np.sum([one[1] for one in seconds], axis=0)
        with np.errstate(invalid="ignore"):
            success = 1 - failed / requests
        return requests, success, self._rng.multinomial(requests, self._traffic.latencies[0])


def quantile_s(histograms: np.ndarray, quantile: float) -> np.ndarray:
    """Prometheus' histogram_quantile, linear within a bucket; NaN without answers."""
    below = histograms.cumsum(axis=1)
    rank = quantile * below[:, -1:]
    place = np.minimum((below < rank).sum(axis=1), len(BOUNDS))
    edges = np.array([0.0, *BOUNDS, BOUNDS[-1]])
    line = np.arange(len(histograms))
    start = np.where(place > 0, below[line, place - 1], 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (rank[:, 0] - start) / histograms[line, place]
    found = edges[place] + (edges[place + 1] - edges[place]) * inside
    return np.where(below[:, -1] > 0, np.where(place == len(BOUNDS), BOUNDS[-1], found), np.nan)


@dataclass(frozen=True)
class Argo:
    """An AnalysisTemplate at a step of `setWeight: 10`.

    Attributes:
        success: successCondition `result[0] >= success`.
        limit: failureLimit of each metric.
        p95_s: a second metric's successCondition `result[0] <= p95_s`; None: there is none.
        count: measurements, one a minute.
    """

    success: float
    limit: int = 0
    p95_s: float | None = None
    count: int = 5

    def __call__(self, scenario: Scenario, runs: int, rng: np.random.Generator) -> Outcome:
        """Run the rule in all rollouts of a scenario."""
        if scenario.silent:  # no series: Error; the fifth in a row aborts
            return Outcome(np.full(runs, BACK), np.full(runs, 300), np.zeros(runs, dtype=int))
        minutes = Minutes(scenario, runs, rng)
        answer, seconds, spent = np.zeros((3, runs), dtype=int)
        failures = np.zeros((2, runs), dtype=int)
        for number in range(1, self.count + 1):
            requests, success, histograms = minutes.next(SHARE)
            failures[0] += ~(success >= self.success)  # NaN is no success
            if self.p95_s is not None:
                failures[1] += ~(quantile_s(histograms, 0.95) <= self.p95_s)
            open_ = answer == HOLD
            spent[open_] += requests[open_]
            seconds[open_] = 60 * number
            answer[open_ & (failures > self.limit).any(axis=0)] = BACK
        answer[answer == HOLD] = PROMOTE
        return Outcome(answer, seconds, spent)


@dataclass(frozen=True)
class Flagger:
    """Its `analysis`, as in its documentation but for what is given.

    Attributes:
        p99_s: request-duration's thresholdRange.max.
        success: request-success-rate's thresholdRange.min.
        threshold: failed checks before the rollback.
        step: percent.
        most: percent.
    """

    p99_s: float = 0.5
    success: float = 0.99
    threshold: int = 10
    step: int = 5
    most: int = 50

    def __call__(self, scenario: Scenario, runs: int, rng: np.random.Generator) -> Outcome:
        """Run the rule in all rollouts of a scenario."""
        if scenario.silent:  # no values found: a failed check each minute
            last = 60 * self.threshold
            spent = rng.poisson(scenario.rate * self.step / 100 * last, runs)
            return Outcome(np.full(runs, BACK), np.full(runs, last), spent)
        minutes = Minutes(scenario, runs, rng)
        answer, seconds, spent, failed = np.zeros((4, runs), dtype=int)
        weight = np.full(runs, self.step)
        for number in range(1, self.threshold + self.most // self.step + 1):
            requests, success, histograms = minutes.next(weight / 100)
            good = (success >= self.success) & (quantile_s(histograms, 0.99) <= self.p99_s)
            open_ = answer == HOLD
            spent[open_] += requests[open_]
            seconds[open_] = 60 * number
            answer[open_ & good & (weight >= self.most)] = PROMOTE
            failed[open_ & ~good] += 1
            weight[open_ & good] += self.step
            answer[open_ & (failed >= self.threshold)] = BACK
        return Outcome(answer, seconds, spent)


Rule = Callable[[Scenario, int, np.random.Generator], Outcome]
OTHERS: dict[str, Rule] = {
    "Argo, as documented": Argo(0.95),
    "Argo, tuned to this service": Argo(0.985, limit=1, p95_s=0.15),
    "Flagger, as documented": Flagger(),
    "Flagger, tuned to this service": Flagger(p99_s=0.2),
}
WINDOWS_S = (1.0, 5.0)


def interval(hits: int, of: int) -> tuple[float, float]:
    """The 95 % Clopper-Pearson interval of a share."""
    low, high = binomtest(hits, of).proportion_ci(0.95, method="exact")
    return float(low), float(high)


def main() -> None:
    """Run all scenarios and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="200 rollouts a scenario")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    runs = 200 if options.quick else options.runs
    begin = time.perf_counter()
    wrong, cost = [], []
    for number, scenario in enumerate(SCENARIOS):
        rng = np.random.default_rng((options.seed, number))
        names = [f"ours, window_s {window_s:g}" for window_s in WINDOWS_S]
        outcomes = dict(zip(names, ours(scenario, runs, rng, WINDOWS_S), strict=True))
        outcomes |= {name: rule(scenario, runs, rng) for name, rule in OTHERS.items()}
        wrong.append({"scenario": scenario.name, "wrong": WRONG[scenario.truth]})
        cost.append({"scenario": scenario.name})
        for name, outcome in outcomes.items():
            wrong[-1][name] = _wrong(scenario.truth, outcome, runs)
            cost[-1][name] = _cost(outcome)
        print(f"{time.perf_counter() - begin:5.0f} s  {scenario.name}", file=sys.stderr)
    print(f"{runs} rollouts a scenario, seed {options.seed}, "
          f"{time.perf_counter() - begin:.0f} s\n")  # fmt: skip
    print("Wrong answers, %, with 95 % Clopper-Pearson intervals; ! is surely above the 1 %.\n")
    print(markdown(wrong))
    print("\nPromoted / rolled back / held for 30 min, %; "
          "median time to the answer; mean requests of the canary until then.\n")  # fmt: skip
    print(markdown(cost))


WRONG = {"good": "rolled back", "worse": "promoted", "between": "neither"}


def _wrong(truth: Truth, outcome: Outcome, runs: int) -> str:
    if truth == "between":
        return "-"
    hits = int((outcome.answer == (BACK if truth == "good" else PROMOTE)).sum())
    low, high = interval(hits, runs)
    return f"{hits / runs:.2%} ({low:.2%} to {high:.2%})".replace("%", "") + " !" * (low > 0.01)


def _cost(outcome: Outcome) -> str:
    shares = " / ".join(f"{100 * (outcome.answer == one).mean():.1f}"
                        for one in (PROMOTE, BACK, HOLD))  # fmt: skip
    return f"{shares}; {np.median(outcome.seconds):.0f} s; {outcome.requests.mean():.0f}"


if __name__ == "__main__":
    main()
