"""The loop of a controller, which compares the desired state with what runs and mends the rest.

Up to ten times a second (`pace`) a turn takes one step in every part: router, tags, servers,
routes, reactions, events, status. A step must not wait, and an error in one becomes an alarm while
the others go on. The controller may be killed after any step: everything that the next one needs
is in the tags, in files of the state folder, or can be seen (processes, the router's routes).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from facemodels.deployment import systemd
from facemodels.deployment.clock import boot_time
from facemodels.deployment.controller.alarms import Alarms
from facemodels.deployment.controller.backend import Backend, open_backend
from facemodels.deployment.controller.background import BackgroundMonitor
from facemodels.deployment.controller.control_access import control_token
from facemodels.deployment.controller.git_worker import GitWorker
from facemodels.deployment.controller.http import ControllerMetrics, ControlServer
from facemodels.deployment.controller.pace import Pace
from facemodels.deployment.controller.pending_rollbacks import PendingRollbacks
from facemodels.deployment.controller.reaction import Reaction, answer_alert, react
from facemodels.deployment.controller.recording import EventRecorder
from facemodels.deployment.controller.status import ToldFile, describe, is_settled, verdicts
from facemodels.deployment.desired import Desired, desired
from facemodels.deployment.last_good import changed_ns
from facemodels.deployment.reserve import Reserve
from facemodels.deployment.router.routing import (
    RunningServers,
    default_model,
    embedding_spaces,
    routes,
)
from facemodels.deployment.router.traffic import Traffic, share_out
from facemodels.deployment.servers.process import wait_for_end
from facemodels.deployment.settings import (
    DECISIONS,
    FOLDER,
    STATUS,
    Environment,
    load_or_last_good,
    state_folder,
)
from facemodels.errors import ToolError
from facemodels.monitoring.alerts.alertmanager import Alert
from facemodels.monitoring.alerts.prometheus import TARGETS, targets
from facemodels.monitoring.metrics.reading import Series
from facemodels.registry.registry import Registry
from facemodels.registry.state import Entry, State

_STATUS_S = 0.5  # between two looks whether status.json must be written
# Settings that only a restart changes.
_FIXED = ("address", "backend", "control", "state", "version_choice")


class Controller:
    """Runs one environment.

    Args:
        registry: the registry of the Git repository in which the controller runs.
        environment: `staging` or `production`.
        settings: the settings of the environment.
        path: the file of the settings, which is read again when it changes; None means
            conf/deploy/<environment>.yaml.
        backend: the servers and the router; None opens what the settings name.
    """

    def __init__(
        self,
        registry: Registry,
        environment: str,
        settings: Environment,
        path: Path | None = None,
        backend: Backend | None = None,
    ) -> None:
        self._registry = registry
        self._environment = environment
        self._settings = settings
        self._source = path or registry.root / FOLDER / f"{environment}.yaml"
        self._source_time: int | None = None  # of the last reading
        self.folder = state_folder(registry.root, environment, settings)
        self._log = structlog.get_logger("facemodels.deployment").bind(environment=environment)
        self._alarms = Alarms(self._log)
        self._reserve = Reserve(self.folder)

        self._git = GitWorker(registry, settings.fetch_interval_s)
        self._decisions = self.folder / DECISIONS
        self._pending = PendingRollbacks(self._decisions)
        self._recorder = EventRecorder(
            self._git, self._pending, self._alarms, settings.fetch_interval_s
        )

        backend = backend or open_backend(
            registry.root, environment, self.folder, settings, self._alarms.put
        )
        self._packages, self._servers = backend.packages, backend.servers
        self.router, self._routers = backend.router, backend.supervisor
        self._published = backend.published
        self._traffic: dict[str, Traffic] = self._published.traffic()

        self._monitor = BackgroundMonitor(registry.root, self.folder, settings, self.router)
        self._alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
        self._http: ControlServer | None = None

        self._wanted: dict[str, Desired] = {}
        self._stand_ins: set[str] = set()  # versions that run though nobody wants them
        self._rolling_back: set[str] = set()  # models with a pending rollback that holds
        self._knows_tags = False  # whether the tags were ever read
        self._status_looked = 0.0
        self._told = ToldFile(self.folder / STATUS)
        self._told_targets = ToldFile(self.folder / TARGETS)
        self._pace = Pace(self._signs, wait_for_end)
        self._stop = threading.Event()
        self._keep_serving = False

    # --- the loop ------------------------------------------------------------------------

    def run(self) -> None:
        """Run until `stop` is called."""
        self._alarms.run("router", self._tend_router)
        self._alarms.run("control", self._listen)
        self._monitor.start()
        self._log.info("running", folder=str(self.folder))
        systemd.notify("READY=1")
        try:
            while not self._stop.is_set():
                self._pace.begin()
                self.tick()
                systemd.notify("WATCHDOG=1")
                self._pace.rest(self._stop, self._settings.hang_s)
        finally:
            self._close()

    def stop(self, *, keep_serving: bool = False) -> None:
        """End the loop; the router and the servers end too unless `keep_serving` is set."""
        self._keep_serving = keep_serving
        self._stop.set()

    def _signs(self) -> object:
        """What shows that something is asked for; turns find all the rest."""
        changed = changed_ns(self._decisions), changed_ns(self._source)
        return self._git.signs(), changed, self._alerts.empty()

    def tick(self) -> None:
        """Take one step in every part."""
        self._alarms.run("settings", self._read_settings)
        self._git.fetch()
        self._alarms.run("router", self._tend_router)
        self._alarms.run("tags", self._read_tags)
        if self._knows_tags:  # without the tags these steps would end everything that serves
            self._alarms.run("servers", self._tend_servers)
            self._alarms.run("routes", self._route)
        self._alarms.run("reaction", self._react)
        self._alarms.run("alerts", self._answer_alerts)
        self._alarms.run("control", self._listen)
        self._alarms.run("decisions", self._recorder.record_pending)
        self._alarms.run("status", self._write_status)

    # --- settings ------------------------------------------------------------------------

    def _read_settings(self) -> None:
        """Take over changed settings; flags and limits change at once, addresses do not.

        Where the file is broken or gone, the last good settings go on, with an alarm.
        """
        changed = changed_ns(self._source)
        if changed == self._source_time:
            return
        read = load_or_last_good(self._registry.root, self._environment, self._source)
        self._alarms.put("conf", read.problem)
        found = read.value
        self._alarms.put("restart", self._why_restart(found))
        fixed = {name: getattr(self._settings, name) for name in _FIXED}
        self._settings = found.model_copy(update=fixed)
        self._servers.configure(self._settings)
        self._monitor.configure(self._settings)
        self._routers.configure(self._settings.hang_s)
        self._recorder.retry_s = self._settings.fetch_interval_s
        self._source_time = changed

    def _why_restart(self, found: Environment) -> str:
        """Which changed settings need a restart; "" if none does."""
        moved = [n for n in _FIXED if getattr(found, n) != getattr(self._settings, n)]
        if moved:
            return (
                f"{', '.join(moved)} of {self._source.name} changed, which is not taken over "
                f"while it runs. Use `facemodels down` and `facemodels up`."
            )
        if self.router.outdated():
            return (
                "The router runs by settings of before. `facemodels down` and `facemodels up` "
                "bring the new ones; no request is answered for some seconds."
            )
        return ""

    # --- from the tags to the routes ------------------------------------------------------

    def _tend_router(self) -> None:
        self._routers.tend(self._published.generation)

    def _read_tags(self) -> None:
        """Read the desired state from the tags, with pending rollbacks done."""
        # The order matters. An event that is being added ends as a tag or leaves its file, and a
        # rollback without a file is in the tags, which are read last.
        busy = self._git.busy()
        pending = self._pending.all()
        state = self._git.state()
        wanted = desired(state, self._environment)
        holding = [one for one in pending if one.model in busy or one.holds(state)]
        for one in holding:
            if one.model in wanted:
                wanted[one.model] = one.overrule(wanted[one.model])
        self._wanted, self._knows_tags = wanted, True
        self._rolling_back = {one.model for one in holding}

    def _tend_servers(self) -> None:
        entries = self._entries()
        busy = {identity for one in self._traffic.values() for identity in one.shares}
        applied = self._routers.applied(self._published.generation)
        busy |= self._stand_ins | self._published.past(applied=applied)
        self._servers.tend(entries, busy, self._terms())
        self._packages.keep(set(entries) | busy)

    def _terms(self) -> dict[str, str]:
        """The tag by which each version has its place, for those that get requests."""
        served = (one for wanted in self._wanted.values() for one in wanted.served.receiving)
        return {one.id: one.event for one in served}

    def _entries(self) -> dict[str, Entry]:
        """The registry's entries of all versions that must run, including those of flags."""
        state = self._git.state()
        ids = {identity for one in self._wanted.values() for identity in one.ids}
        ids |= {flag.model_id for flag in self._settings.flags if flag.enabled}
        return {
            identity: state.entries[identity]
            for identity in sorted(ids)
            if identity in state.entries and not _is_deprecated(state, identity)
        }

    def _route(self) -> None:
        """Share out the requests among the versions that are ready, and publish the routes."""
        urls = self._servers.urls()
        state = self._git.state()
        spaces = embedding_spaces(state)
        ready = {one for one in urls if not _is_deprecated(state, one)}
        traffic = {
            model: share_out(one, ready, self._traffic.get(model), spaces, boot_time())
            for model, one in self._wanted.items()
        }
        # Also of models whose last route stays, as their stable version is not ready.
        self._stand_ins = {identity for one in traffic.values() for identity in one.stand_ins}
        found = routes(self._wanted, traffic, RunningServers(urls, spaces), self._settings)
        default = default_model(self._wanted, self._settings)
        words = (found, traffic, default, self._servers.running_urls())
        if self._rolling_back:
            self._reserve.use(lambda: self._published.publish(*words))
        else:
            self._published.publish(*words)
            self._reserve.fill()
        self._take_over(self._published.traffic())

    def _take_over(self, traffic: dict[str, Traffic]) -> None:
        """Go on with the traffic that was published, and log what changed."""
        for model, one in traffic.items():
            before = self._traffic.get(model)
            shown = {name: share for name, share in one.shares.items() if share}
            if before is None or before.shares != one.shares or before.shadow != one.shadow:
                self._log.info("traffic", model=model, shares=shown, shadow=one.shadow)
        self._traffic = traffic

    # --- from the metrics to events -------------------------------------------------------

    def _react(self) -> None:
        """React to the last judgement of every model that is not being rolled back."""
        self._monitor.look(self._wanted, self._servers.targets(), self._servers.conduct())
        state = self._git.state()
        for judgement in self._monitor.judgements().values():
            wanted = self._wanted.get(judgement.model)
            if wanted is None or wanted.model in self._rolling_back:
                continue
            now = int(time.time())
            self._carry_out(
                wanted, react(state, wanted, judgement, self._settings, self._environment, now)
            )

    def _answer_alerts(self) -> None:
        """React to Prometheus' alerts; one about a version that does not serve is dropped."""
        if self._environment != "production":
            return
        for alert in self._new_alerts():
            wanted = self._wanted.get(alert.model_name)
            if wanted is not None:
                reaction = answer_alert(self._git.state(), wanted, alert, int(time.time()))
                self._carry_out(wanted, reaction)

    def _new_alerts(self) -> Iterator[Alert]:
        while True:
            try:
                yield self._alerts.get_nowait()
            except queue.Empty:
                return

    def _carry_out(self, wanted: Desired, reaction: Reaction) -> None:
        """Carry out a reaction; a rollback changes traffic before anything else happens."""
        if self._recorder.carry_out(wanted.model, reaction):
            self._read_tags()
            self._route()

    def _listen(self) -> None:
        if self._http is None:
            metrics = ControllerMetrics(self.status, self._monitor.accuracy, self._monitor.lost)
            token = control_token(self.folder)
            self._http = ControlServer(
                self._settings.control, metrics, self._receive, token,
                lambda: verdicts(self.status()["models"]),
            )  # fmt: skip

    def _receive(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            if alert.rolls_back:
                self._alerts.put(alert)

    # --- status --------------------------------------------------------------------------

    def _write_status(self) -> None:
        now = time.monotonic()
        if now - self._status_looked < _STATUS_S:
            return
        self._status_looked = now
        found = self.status()
        deployments = {Series.of(one): event for one, event in self._terms().items()}
        self._told_targets.tell(targets(self._servers.targets(), deployments))
        if self._told.tell(found) or self._git.busy() or not is_settled(found):
            self._pace.moved()

    def status(self) -> dict[str, Any]:
        """The status document: what serves which share, since when, by whom, and the alarms."""
        judgements = self._monitor.judgements()
        return {
            "format": 1,
            "environment": self._environment,
            "router": {
                "url": self._url(),
                "applied": self._routers.applied(self._published.generation),
            },
            "models": [
                describe(one, self._traffic.get(model), judgements.get(model))
                for model, one in sorted(self._wanted.items())
            ],
            "servers": self._servers.describe(),
            "decisions": [asdict(one) for one in self._pending.all()],
            "alarms": self._all_alarms(),
        }

    def _url(self) -> str | None:
        try:
            return self.router.url
        except ToolError:
            return None  # no router runs

    def _all_alarms(self) -> dict[str, str]:
        found = self._alarms.all()
        if self._git.problem:
            found["fetch"] = self._git.problem
        if self._routers.problem:
            found["router"] = self._routers.problem
        return found | self._servers.overloads() | self._monitor.alarms()

    def _close(self) -> None:
        if self._http is not None:
            self._http.close()
        self._monitor.close()
        self._packages.close()
        self._routers.close()
        if not self._keep_serving:
            self._routers.end()
            self._servers.end()
            (self.folder / STATUS).unlink(missing_ok=True)  # it would say that they serve
        self._servers.close()
        self._git.close()  # last, as it may wait for a remote
        self._log.info("stopped", serving=self._keep_serving)


def _is_deprecated(state: State, identity: str) -> bool:
    entry = state.entries.get(identity)
    return entry is not None and entry.status == "deprecated"
