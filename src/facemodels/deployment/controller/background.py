"""Observes the versions in threads beside the loop: scrapes, judgements and probes."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from facemodels.deployment.controller.alarms import Alarms
from facemodels.deployment.controller.backend import RunningRouter
from facemodels.deployment.desired import Desired
from facemodels.deployment.last_good import Settled, changed_ns, read_or_last_good
from facemodels.deployment.router.counters import (
    answers,
    answers_as_scrape,
    as_scrapes,
    lost_requests,
)
from facemodels.deployment.servers.probe_secret import probe_secret
from facemodels.deployment.settings import Environment
from facemodels.errors import ToolError
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.monitoring.analysis.watch import ModelAssessment, Watch
from facemodels.monitoring.metrics.prometheus import PrometheusSource
from facemodels.monitoring.metrics.scraper import QUIET_S, Scrape, Scraper, ScrapeTarget
from facemodels.monitoring.metrics.source import SampleSource
from facemodels.monitoring.metrics.store import SampleStore
from facemodels.monitoring.probes.replayer import ProbeReplayer
from facemodels.monitoring.settings import TRIGGERS_PATH, Triggers, load_triggers
from facemodels.serving.http.probe_mark import HEADER

TOKEN = "FACEMODELS_TOKEN"  # noqa: S105  (the name of a variable; scopes: metrics, info, predict)
_NOTICE_S = 0.5
_SETTLE_S = 60.0  # after a start, in which probes may fail since something is not ready yet
_AGAIN_S = 5.0  # then between two replays of probes that failed


class BackgroundMonitor:
    """Scrapes and judges at one interval, and replays the probes at a longer one.

    Args:
        root: the root folder of the repository.
        folder: the state folder of the environment.
        settings: the settings of the environment.
        router: the router through which the probes are sent.
    """

    def __init__(
        self, root: Path, folder: Path, settings: Environment, router: RunningRouter
    ) -> None:
        self._root = root
        self._settings = settings
        self._token = os.environ.get(TOKEN, "")
        folder.mkdir(parents=True, exist_ok=True)
        self._store = SampleStore(folder / "samples.db")
        self._store.put([])  # counters of servers that start from now on begin at zero
        self._prometheus = (settings.prometheus, settings.prometheus_access)
        self._source: SampleSource = self._new_source()
        self._router = router
        self._triggers_ns = -1  # of the last reading; the first judgement reads them again
        self._triggers = self._read_triggers().value
        self._watch = self._new_watch()
        mark = {HEADER: probe_secret(folder / "servers")}  # its probes are no traffic
        self._replays = ProbeReplayer(folder / "probes", self._store, self._token, mark)
        self._wanted: Mapping[str, Desired] = {}
        self._targets: Sequence[ScrapeTarget] = ()
        self._conduct: Mapping[str, ServerConduct] = {}
        self._lost_before: dict[str, dict[str, int]] = {}  # by the router's process and version
        self._answered: dict[str, Mapping[str, int]] = {}  # by the router's process
        self._routers_told: tuple[Sequence[ScrapeTarget], float] = ((), 0.0)  # servers and when
        self._judgements: dict[str, ModelAssessment] = {}
        self._seen: object = None  # all that a judgement rests on, beside the time
        self._moved = self._judged = 0.0  # when that last changed, and was last judged; monotonic
        self._alarms = Alarms(structlog.get_logger("facemodels.deployment"))
        self._began = time.monotonic()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._scrape_on, name="scrapes", daemon=True),
            threading.Thread(target=self._probe_on, name="probes", daemon=True),
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the threads; a replay that goes on is not waited for."""
        self._stop.set()
        if self._threads[0].is_alive():
            self._threads[0].join(5)
        self._store.close()

    def configure(self, settings: Environment) -> None:
        """Take over changed settings from the next scrape on."""
        self._settings = settings
        self._watch.configure(settings.verdict, settings.scrape_interval_s)

    def look(
        self,
        wanted: Mapping[str, Desired],
        targets: Sequence[ScrapeTarget],
        conduct: Mapping[str, ServerConduct],
    ) -> None:
        """Set which versions and servers are observed from now on, and how the latter behaved."""
        self._wanted, self._targets, self._conduct = dict(wanted), list(targets), dict(conduct)

    def judgements(self) -> dict[str, ModelAssessment]:
        """The last judgements, by model."""
        return self._judgements

    def accuracy(self) -> Mapping[str, Mapping[str, float | None]]:
        """The rates on the probes, by version."""
        return self._replays.rates

    def lost(self) -> Mapping[str, int]:
        """The requests that died inside a server since the router's start, by version."""
        found: Counter[str] = Counter()
        for counts in self._lost_before.values():
            found.update(counts)
        return found

    def alarms(self) -> dict[str, str]:
        """The problems that keep it from observing."""
        found = self._alarms.all()
        if self._source.problem:
            found["samples"] = self._source.problem
        if time.monotonic() - self._began < _SETTLE_S:
            return found  # servers and routes come up one after the other
        return {**found, **self._replays.problems}

    def _scrape_on(self) -> None:
        with Scraper(token=self._token) as scraper:
            while not self._stop.wait(self._settings.scrape_interval_s):
                self._alarms.run("scrape", lambda: self._scrape(scraper))
                self._alarms.run("judge", self._judge)

    def _scrape(self, scraper: Scraper) -> None:
        targets = self._targets
        found = scraper.scrape(targets)
        lost: list[Scrape] = []
        if not self._is_quiet(targets):
            lost = self._lost()
            self._routers_told = targets, time.monotonic()
        self._store.put([*found, *lost])

    def _is_quiet(self, targets: Sequence[ScrapeTarget]) -> bool:
        """Whether the routers were asked lately, and no server has done anything since.

        Without a server the routers alone answer, and are asked each time.
        """
        before, at = self._routers_told
        known = bool(targets) and all(one.activity is not None for one in targets)
        return known and targets == before and time.monotonic() - at < QUIET_S

    def _lost(self) -> list[Scrape]:
        """What the routers lost and answered; a number that stands is not stored again."""
        ids = [one.id for wanted in self._wanted.values() for one in wanted.served.receiving]
        found: list[Scrape] = []
        known: dict[str, dict[str, int]] = {}
        routers: tuple[RunningRouter, ...] = (self._router, self._router.spare)
        for one in routers:
            process = one.process
            if process is None:
                continue
            router = f"{one.name}@{process.pid}-{process.started}"
            before = self._lost_before.get(router, {})
            told = one.metrics()
            answered = answers(told)
            if answered and answered != self._answered.get(router):
                found.append(answers_as_scrape(answered, one.inside, router, process.started_s))
                self._answered = {**self._answered, router: answered}
            now = lost_requests(told, ids)
            known[router] = {**before, **now}
            new = {identity: n for identity, n in now.items() if n != before.get(identity, 0)}
            found += as_scrapes(new, one.inside, router, process.started_s)
        self._lost_before = known
        return found

    def _judge(self) -> None:
        if self._look_for_changes():
            self._watch = self._new_watch()
        elif self._is_still():
            return
        self._judged = time.monotonic()
        served = [one.served for one in self._wanted.values()]
        self._judgements = self._watch.assess(served, self._conduct)

    def _is_still(self) -> bool:
        """Whether nothing was asked or changed for a time, and was judged since."""
        now, seen = time.monotonic(), (self._targets, self._wanted, self._conduct)
        known = all(one.activity is not None for one in self._targets)
        if seen != self._seen or not known:
            self._seen, self._moved = seen, now
        return now - self._moved > QUIET_S and now - self._judged < QUIET_S

    def _look_for_changes(self) -> bool:
        """Take over a changed source or changed triggers; say whether there are any."""
        before = (self._prometheus, self._triggers)
        wanted = (self._settings.prometheus, self._settings.prometheus_access)
        if wanted != self._prometheus:
            self._prometheus = wanted
            self._source = self._new_source()
        changed = changed_ns(self._root / TRIGGERS_PATH)
        if changed != self._triggers_ns:
            found = self._read_triggers()
            self._alarms.put("triggers", found.problem)
            self._triggers, self._triggers_ns = found.value, changed
        return before != (self._prometheus, self._triggers)

    def _new_source(self) -> SampleSource:
        url, access = self._prometheus
        return PrometheusSource(url, access=access, root=self._root) if url else self._store

    def _read_triggers(self) -> Settled[Triggers]:
        """The rollback triggers; a typo in their file must not end the judgements."""
        path = self._root / TRIGGERS_PATH
        return read_or_last_good(self._root, path, lambda one: load_triggers(self._root, one))

    def _new_watch(self) -> Watch:
        settings = self._settings
        return Watch(self._source, settings.verdict, self._triggers, settings.scrape_interval_s)

    def _probe_on(self) -> None:
        last = 0.0  # monotonic
        while not self._stop.wait(_NOTICE_S):  # a changed interval takes effect at once
            interval = self._settings.probes.interval_s
            if self._replays.problems and time.monotonic() - self._began < _SETTLE_S:
                interval = min(interval, _AGAIN_S)
            if interval and time.monotonic() - last >= interval:
                last = time.monotonic()
                self._alarms.run("probes", self._replay)

    def _replay(self) -> None:
        try:
            address = self._router.url
        except ToolError:
            address = None  # the router does not run
        served = [one.served for one in self._wanted.values()]
        self._replays.run(served, address, self._root / self._settings.probes.folder)
