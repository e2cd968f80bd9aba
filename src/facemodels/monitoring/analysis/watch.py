"""Assesses every model of an environment again and again, from the samples of its servers."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facemodels.monitoring.analysis.conduct import ServerConduct, fired_by_conduct
from facemodels.monitoring.analysis.sequential_test import SequentialTest
from facemodels.monitoring.analysis.trigger_tests import FiredTrigger, fired_triggers
from facemodels.monitoring.analysis.user_triggers import fired_by_users
from facemodels.monitoring.analysis.verdict import Verdict
from facemodels.monitoring.metrics.reading import PROBE, Series
from facemodels.monitoring.metrics.source import SampleSource, memory, total_increase, windows
from facemodels.monitoring.metrics.windows import Tally
from facemodels.monitoring.served import ServedModel, ServedVersion
from facemodels.monitoring.settings import Triggers, VerdictSettings

_MB = 1e6
_SUSTAINED_S = 30.0  # how long the memory must stay above its threshold


@dataclass(frozen=True)
class ModelAssessment:
    """What the numbers say of one model.

    Attributes:
        model: for example `recognition-facenet`.
        rollout: the event of the rollout that was assessed; "" without one.
        verdict: the verdict on the version that a rollout brings; None without a rollout.
        fired: the rollback triggers that the version in production fires.
    """

    model: str
    rollout: str
    verdict: Verdict | None
    fired: tuple[FiredTrigger, ...] = ()


@dataclass
class _RunningTest:
    """The sequential test of one rollout, and the end of the last window that it took."""

    test: SequentialTest
    until: float


@dataclass
class _History:
    """What one version did in the last windows since it began to serve in its place.

    Attributes:
        since: when it began to serve there, seconds since 1970.
        until: the end of the last window that was taken.
        tallies: the windows with numbers, within the monitoring window of the triggers.
        memory: the largest server's resident bytes by window; None without a reading.
    """

    since: float
    until: float
    tallies: deque[Tally]
    memory: deque[float | None]


class Watch:
    """Assesses every model of an environment, again and again.

    All that it knows is built again from the samples after a restart.

    Args:
        source: where the samples come from.
        settings: the settings of the sequential test.
        triggers: the rollback triggers of the repository.
        scrape_interval_s: the time between two looks at the metrics.
    """

    def __init__(
        self,
        source: SampleSource,
        settings: VerdictSettings,
        triggers: Triggers,
        scrape_interval_s: float,
    ) -> None:
        self._source = source
        self._settings = settings
        self._triggers = triggers
        self._scrape_interval_s = scrape_interval_s
        self._tests: dict[str, _RunningTest] = {}  # by the rollout's event
        self._histories: dict[str, _History] = {}  # by the version's id
        self._width_s = 0.0  # of the windows in `_histories`

    def configure(self, settings: VerdictSettings, scrape_interval_s: float) -> None:
        """Take over changed settings, from the next assessment on.

        A running test keeps the settings that it began with: its error probabilities hold only for
        bounds that do not move.
        """
        self._settings = settings
        self._scrape_interval_s = scrape_interval_s

    def assess(
        self, served: Sequence[ServedModel], conduct: Mapping[str, ServerConduct] | None = None
    ) -> dict[str, ModelAssessment]:
        """What the numbers until now say of each model.

        Args:
            served: the models with the versions that the environment serves.
            conduct: how the servers of a version behaved, by id, as far as it is known.

        Returns:
            The assessments by model.
        """
        # A window is wider than the time between two scrapes, or it could be empty.
        width_s = 2 * self._scrape_interval_s
        if width_s != self._width_s:
            self._width_s = width_s
            self._histories.clear()  # their windows had another width
        running = {one.candidate.event for one in served if one.candidate}
        for event in self._tests.keys() - running:
            del self._tests[event]
        ids = {identity for one in served for identity in one.ids}
        for identity in self._histories.keys() - ids:
            del self._histories[identity]
        return {one.model: self._assess(one, conduct or {}) for one in served}

    def _assess(self, served: ServedModel, conduct: Mapping[str, ServerConduct]) -> ModelAssessment:
        now = self._source.now()
        stable, candidate = served.stable, served.candidate
        stable_fired = self._fired(stable.id, stable.since, now, None)
        if candidate is None:
            return ModelAssessment(served.model, "", None, stable_fired)
        running = self._running(candidate, now)
        found = windows(
            self._source, Series.of(candidate.id), Series.of(stable.id),
            running.until, now, self._width_s,
        )  # fmt: skip
        for window in found:
            running.test.add(window)
            running.until = window.end
        own = self._fired(candidate.id, candidate.since, now, stable.id)
        behaved = conduct.get(candidate.id, ServerConduct())
        own = (*fired_by_conduct(self._settings, behaved), *own)
        verdict = running.test.verdict(now, own)
        return ModelAssessment(served.model, candidate.event, verdict, stable_fired)

    def _running(self, candidate: ServedVersion, now: float) -> _RunningTest:
        # The clock that dated the event may be ahead of the samples' clock.
        since = min(float(candidate.since), now)
        return self._tests.setdefault(
            candidate.event, _RunningTest(SequentialTest(self._settings, since), since)
        )

    def _fired(
        self, identity: str, since: float, now: float, reference: str | None
    ) -> tuple[FiredTrigger, ...]:
        """The triggers that one version fires by itself, from when it began to serve."""
        series = Series.of(identity)
        history = self._history(identity, since, now)
        for window in windows(self._source, series, series, history.until, now, self._width_s):
            history.until = window.end
            history.memory.append(memory(self._source, series, window.start, window.end))
            if window.canary is not None:
                history.tallies.append(window.canary)
        readings = [value / _MB for value in history.memory if value is not None]
        by_users = self._fired_by_users(series, since, now) if self._triggers.ask_users else ()
        return by_users + fired_triggers(
            self._triggers,
            list(history.tallies),
            window_s=self._width_s,
            memory_mb=readings if len(readings) == len(history.memory) else (),
            accuracy=self._accuracy(series, reference, now) if reference else None,
        )

    def _fired_by_users(self, series: Series, since: float, now: float) -> tuple[FiredTrigger, ...]:
        begin = max(min(since, now), now - 60 * self._triggers.monitoring_window_minutes)
        done = total_increase(self._source, series, begin, now)
        return fired_by_users(self._triggers, done.side) if done is not None else ()

    def _history(self, identity: str, since: float, now: float) -> _History:
        """What is known of a version since it began to serve in its present place, at `since`."""
        span = 60 * self._triggers.monitoring_window_minutes
        known = self._histories.get(identity)
        if known is None or known.since != since:
            known = _History(
                since,
                max(min(since, now), now - span),
                deque(maxlen=round(span / self._width_s) or 1),
                deque(maxlen=max(3, round(_SUSTAINED_S / self._width_s))),
            )
            self._histories[identity] = known
        return known

    def _accuracy(self, series: Series, reference: str, now: float) -> tuple[float, float] | None:
        """The accuracy on the probes of the version beside it, and of this one."""
        ours = _latest_accuracy(self._source, series, now)
        theirs = _latest_accuracy(self._source, Series.of(reference), now)
        return None if ours is None or theirs is None else (theirs, ours)


def _latest_accuracy(source: SampleSource, series: Series, now: float) -> float | None:
    """The accuracy at the last complete replay within a day; None if there was none."""
    found: Sequence[tuple[float, float]] = source.gauge(
        f"{PROBE}accuracy", series, now - 86400, now
    )
    return found[-1][1] if found else None


def as_record(assessment: ModelAssessment) -> dict[str, Any]:
    """The assessment as the event of a rollback or a promotion records it."""
    verdict = assessment.verdict.as_json() if assessment.verdict else None
    return {"verdict": verdict, "fired": [one.as_json() for one in assessment.fired]}
