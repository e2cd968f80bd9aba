"""The loop of an environment: what shall be, what is, the next step.

Every step can be the last before a kill: what counts is in the tags, in the decisions' files,
or can be seen (processes, the router's routes). Whatever goes wrong in one part is said, and the
other parts go on.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog

from facemodels.deployment import desired as plan
from facemodels.deployment.controller.background import BackgroundMonitor
from facemodels.deployment.controller.git_worker import GitWorker
from facemodels.deployment.controller.http import ControllerMetrics, ControlServer
from facemodels.deployment.controller.pending_rollbacks import PendingRollback, PendingRollbacks
from facemodels.deployment.controller.reaction import Reaction, answer_alert, react
from facemodels.deployment.desired import Desired
from facemodels.deployment.router import Router, RouterSettings
from facemodels.deployment.router.published import PublishedRoutes
from facemodels.deployment.router.routing import RunningServers, default_model, routes
from facemodels.deployment.router.supervisor import RouterSupervisor
from facemodels.deployment.router.traffic import Traffic, share_out
from facemodels.deployment.servers.leftovers import STATUS
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.supervisor import ServerSupervisor
from facemodels.deployment.settings import Environment, load, state_folder
from facemodels.errors import FacemodelsError, InputError, RuleError
from facemodels.files import write_json
from facemodels.monitoring.alerts.alertmanager import Alert
from facemodels.monitoring.alerts.prometheus import targets
from facemodels.registry.registry import Registry
from facemodels.registry.state import Entry, State
from facemodels.serving import settings as serving_settings

_TICK_S = 0.1
_STATUS_S = 0.5  # between two writings of status.json


class Controller:
    """One environment, run.

    Args:
        registry: of the clone.
        environment: `staging` or `production`.
        settings: of it.
        path: where they come from; read again when it changes. None: conf/deploy/.
    """

    def __init__(
        self,
        registry: Registry,
        environment: str,
        settings: Environment,
        path: Path | None = None,
    ) -> None:
        self._registry = registry
        self._environment = environment
        self._settings = settings
        self._source = path
        self.folder = state_folder(registry.root, environment, settings)
        self._log = structlog.get_logger("facemodels.deployment").bind(environment=environment)
        self._desk = GitWorker(registry, settings.fetch_interval_s)
        self._decisions = PendingRollbacks(self.folder / "decisions")
        self._packages = Packages(registry.root, self.folder / "packages")
        self._servers = ServerSupervisor(
            self.folder / "servers", self._packages, registry.root, settings
        )
        serving = serving_settings.load(_existing(registry.root / settings.serving))
        self.router = Router(self.folder / "router", RouterSettings.of(settings, serving))
        self._gate = RouterSupervisor(self.router, settings.hang_s)
        self._alerts: queue.SimpleQueue[Alert] = queue.SimpleQueue()
        self._control: ControlServer | None = None
        self._observer = BackgroundMonitor(registry.root, self.folder, settings, self.router)
        self._publication = PublishedRoutes(self.folder, self.router)
        self._traffic: dict[str, Traffic] = self._publication.traffic()
        self._wanted: dict[str, Desired] = {}
        self._knows = False  # whether the tags were ever read
        self._alarms: dict[str, str] = {}
        self._tries: dict[str, float] = {}  # to add an event, by model; monotonic
        self._told = 0.0
        self._changed = 0.0
        self._stop = threading.Event()
        self._keep = False

    # --- the loop ------------------------------------------------------------------------

    def run(self) -> None:
        """Until `stop`."""
        self._step("router", self._tend_router)
        self._step("control", self._listen)
        self._observer.start()
        self._log.info("running", folder=str(self.folder))
        try:
            while not self._stop.is_set():
                begin = time.monotonic()
                self.tick()
                self._stop.wait(max(0.0, _TICK_S - (time.monotonic() - begin)))
        finally:
            self._close()

    def stop(self, *, keep_serving: bool = False) -> None:
        """End the loop, and with it router and servers, unless they shall go on."""
        self._keep = keep_serving
        self._stop.set()

    def tick(self) -> None:
        """Take the next step everywhere."""
        self._step("settings", self._read_settings)
        self._desk.fetch()
        self._step("router", self._tend_router)
        self._step("tags", self._read_tags)
        if self._knows:  # or it would end what serves, and take all routes away
            self._step("servers", self._tend_servers)
            self._step("routes", self._route)
        self._step("reaction", self._react)
        self._step("alerts", self._answer_alerts)
        self._step("control", self._listen)
        self._step("decisions", self._record_decisions)
        self._step("status", self._tell)

    def _step(self, name: str, step: Callable[[], None]) -> None:
        """One part's step; what goes wrong there is an alarm, and stops nothing else."""
        try:
            step()
        except (FacemodelsError, OSError) as error:
            self._alarm(name, str(error))
        except Exception as error:  # noqa: BLE001  (traffic goes on whatever happens here)
            if name not in self._alarms:
                self._log.exception("step failed", step=name)
            self._alarms[name] = f"{type(error).__name__}: {error}"
        else:
            self._alarms.pop(name, None)

    def _alarm(self, name: str, problem: str) -> None:
        if self._alarms.get(name) != problem:
            self._log.error("alarm", step=name, problem=problem)
        self._alarms[name] = problem

    # --- its parts -----------------------------------------------------------------------

    def _read_settings(self) -> None:
        """Flags and limits are switched without a restart; addresses are not."""
        path = self._source or self._registry.root / "conf/deploy" / f"{self._environment}.yaml"
        changed = path.stat().st_mtime
        if changed == self._changed:
            return
        found = load(self._registry.root, self._environment, path)
        fixed = ("address", "control", "state")
        moved = [name for name in fixed if getattr(found, name) != getattr(self._settings, name)]
        if moved:
            self._alarm(
                "restart",
                f"{', '.join(moved)} of {path.name} changed, which is not taken over while it "
                f"runs. Use `facemodels down` and `facemodels up`.",
            )
        elif self.router.outdated():
            self._alarm(
                "restart",
                "The router runs by settings of before. `facemodels down` and `facemodels up` "
                "bring the new ones; no request is answered for some seconds.",
            )
        else:
            self._alarms.pop("restart", None)
        self._settings = found.model_copy(
            update={name: getattr(self._settings, name) for name in fixed}
        )
        self._servers.configure(self._settings)
        self._observer.configure(self._settings)
        self._gate.hang_s = self._settings.hang_s
        self._changed = changed

    def _listen(self) -> None:
        if self._control is None:
            facts = ControllerMetrics(self.status, self._observer.accuracy)
            self._control = ControlServer(self._settings.control, facts, self._hear)

    def _hear(self, alerts: list[Alert]) -> None:
        for alert in alerts:
            if alert.rolls_back:
                self._alerts.put(alert)

    def _tend_router(self) -> None:
        self._gate.tend(self._publication.generation)

    def _read_tags(self) -> None:
        # Before the state: one that is gone by now is in the chain, which the state then shows.
        decisions = self._decisions.all()
        state = self._desk.state()
        wanted = plan.desired(state, self._environment)
        for decision in decisions:
            if decision.model in wanted and decision.holds(state):
                wanted[decision.model] = decision.overrule(wanted[decision.model])
        self._wanted, self._knows = wanted, True

    def _entries(self) -> dict[str, Entry]:
        """Every version that shall run, flags' included."""
        state = self._desk.state()
        ids = {identity for one in self._wanted.values() for identity in one.ids}
        ids |= {flag.model_id for flag in self._settings.flags if flag.enabled}
        return {
            identity: state.entries[identity]
            for identity in sorted(ids)
            if identity in state.entries and state.entries[identity].status != "deprecated"
        }

    def _tend_servers(self) -> None:
        entries = self._entries()
        busy = {identity for one in self._traffic.values() for identity in one.shares}
        self._servers.tend(entries, busy)
        self._packages.keep(set(entries) | busy)

    def _route(self) -> None:
        state = self._desk.state()
        urls = self._servers.urls()
        ready = set(urls)
        spaces = {identity: _space(state, identity) for identity in state.entries}
        traffic = {
            model: share_out(one, ready, self._traffic.get(model), spaces)
            for model, one in self._wanted.items()
        }
        found = routes(self._wanted, traffic, RunningServers(urls, spaces), self._settings)
        self._publication.publish(found, traffic, default_model(self._wanted, self._settings))
        self._traffic = self._publication.traffic()

    def _react(self) -> None:
        self._observer.look(self._wanted, self._servers.targets())
        state = self._desk.state()
        for judgement in self._observer.judgements().values():
            desired = self._wanted.get(judgement.model)
            if desired is None or self._desk.busy(judgement.model):
                continue
            reaction = react(
                state, desired, judgement, self._settings, self._environment, int(time.time())
            )
            self._carry_out(judgement.model, reaction)

    def _answer_alerts(self) -> None:
        """Prometheus' alerts; those about a version that serves nobody are late, and done."""
        while self._environment == "production":
            try:
                alert = self._alerts.get_nowait()
            except queue.Empty:
                return
            desired = self._wanted.get(alert.model_name)
            if desired is not None:
                state = self._desk.state()
                reaction = answer_alert(state, desired, alert, int(time.time()))
                self._carry_out(alert.model_name, reaction)

    def _carry_out(self, model: str, reaction: Reaction) -> None:
        name = f"reaction {model}"
        if reaction.alarm:
            self._alarm(name, reaction.alarm)
        else:
            self._alarms.pop(name, None)
        if reaction.decision is not None:
            self._decisions.add(reaction.decision)
            self._log.warning("rolling back", model=model, reason=reaction.decision.reason)
            self._read_tags()
            self._route()
        if reaction.plan is not None and self._due(model):
            self._desk.act(model, reaction.plan, lambda error: self._noted(f"event {model}", error))

    def _noted(self, name: str, error: FacemodelsError | None) -> None:
        if error is None:
            self._alarms.pop(name, None)
        else:
            self._alarms[name] = str(error)

    def _record_decisions(self) -> None:
        """Bring decisions into the chain; forget those that somebody has overtaken."""
        state = self._desk.state()
        for decision in self._decisions.all():
            if not decision.holds(state):
                self._decisions.remove(decision.model, decision)
                self._alarms.pop(f"decision {decision.model}", None)
            elif self._due(decision.model):
                self._desk.act(decision.model, decision.plan(), self._recorded(decision))

    def _due(self, model: str) -> bool:
        """At once, and again as often as the remote is fetched."""
        last = self._tries.get(model, -math.inf)
        now = time.monotonic()
        if self._desk.busy(model) or now - last < self._settings.fetch_interval_s:
            return False
        self._tries[model] = now
        return True

    def _recorded(self, decision: PendingRollback) -> Callable[[FacemodelsError | None], None]:
        name = f"decision {decision.model}"

        def done(error: FacemodelsError | None) -> None:
            if error is None or isinstance(error, RuleError | InputError):
                # Done, or the rules refuse it for good: the tags say what is so. Where others
                # were faster or the chain is broken it stays, or the bad version had all again.
                self._decisions.remove(decision.model, decision)
            if error is None:
                self._alarms.pop(name, None)
            else:
                self._alarms[name] = f"{decision.reason}: not in the chain yet. {error}"

        return done

    # --- what it says --------------------------------------------------------------------

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told < _STATUS_S:
            return
        self._told = now
        write_json(self.folder / STATUS, self.status())
        write_json(self.folder / "targets.json", targets(self._servers.targets()))

    def status(self) -> dict[str, Any]:
        """What serves what share, how it is, since when and by whom."""
        judgements = self._observer.judgements()
        alarms = dict(self._alarms)
        if self._desk.problem:
            alarms["fetch"] = self._desk.problem
        if self._gate.problem:
            alarms["router"] = self._gate.problem
        alarms.update(self._observer.alarms())
        return {
            "format": 1,
            "environment": self._environment,
            "time": int(time.time()),
            "router": {
                "url": self.router.url if self.router.alive() else None,
                "applied": self._gate.applied(self._publication.generation),
            },
            "models": [
                _describe(one, self._traffic.get(model), judgements.get(model))
                for model, one in sorted(self._wanted.items())
            ],
            "servers": self._servers.describe(),
            "decisions": [asdict(one) for one in self._decisions.all()],
            "alarms": alarms,
        }

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
        self._observer.close()
        self._packages.close()
        self._gate.close()
        if not self._keep:
            self.router.end()
            self._servers.end()
            (self.folder / STATUS).unlink(missing_ok=True)  # it would say that they serve
        self._servers.close()
        self._desk.close()  # last, as it may wait for a remote
        self._log.info("stopped", serving=self._keep)


def _space(state: State, identity: str) -> str | None:
    entry = state.entries.get(identity)
    interface: Mapping[str, Any] = entry.facts.get("interface", {}) if entry else {}
    return interface.get("embedding_space")


def _describe(wanted: Desired, traffic: Traffic | None, judgement: Any) -> dict[str, Any]:
    rollout = wanted.rollout
    return {
        "model": wanted.model,
        "wanted": dict(wanted.shares),
        "serving": dict(traffic.shares) if traffic else {},
        "stable": wanted.stable,
        "event": wanted.event,
        "since": wanted.since,
        "by": wanted.by,
        "reason": wanted.reason,
        "warm": list(wanted.warm),
        "rollout": asdict(rollout) if rollout else None,
        "verdict": judgement.verdict.as_json() if judgement and judgement.verdict else None,
        "fired": [one.as_json() for one in judgement.fired] if judgement else [],
    }


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None
