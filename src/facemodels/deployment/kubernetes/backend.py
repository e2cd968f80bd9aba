"""The servers and the router of an environment on Kubernetes, as the controller's loop uses them.

A version's servers are its Deployment, which is ready when a pod is; the router is a Gateway, which
routes by HTTPRoutes. So the loop, its decisions and its rollbacks are those of one machine.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from facemodels.deployment.kubernetes.acceptance import is_accepted, refusal
from facemodels.deployment.kubernetes.capacity import least_pods
from facemodels.deployment.kubernetes.client import KINDS, ClusterClient, key_of
from facemodels.deployment.kubernetes.conduct import PodConduct
from facemodels.deployment.kubernetes.http_routes import model_route, version_routes
from facemodels.deployment.kubernetes.lease import EnvironmentLease
from facemodels.deployment.kubernetes.manifests import cluster_target, serving_config
from facemodels.deployment.kubernetes.models import model_objects
from facemodels.deployment.kubernetes.plan import expressible, service_url
from facemodels.deployment.kubernetes.pod_states import why_not_ready
from facemodels.deployment.kubernetes.reconciler import MayStay, Reconciler
from facemodels.deployment.kubernetes.target import Object, id_of, object_name
from facemodels.deployment.kubernetes.versions import version_objects
from facemodels.deployment.router.routes import Route, check
from facemodels.deployment.settings import Environment
from facemodels.errors import ToolError
from facemodels.files import canonical_json
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.registry.state import Entry

# That it came no further in time, and that the cluster takes no pods of it (quota, policies).
_AGAINST = {("Progressing", "False"), ("ReplicaFailure", "True")}
_STALE_S = 2.0  # the most that counts as time without a ready server between two turns


class Cluster:
    """What servers and router of an environment have in common: target, objects, reconciler.

    Args:
        root: the root folder of the repository.
        environment: `staging` or `production`.
        folder: the state folder.
        settings: the settings of the environment.
        kubeconfig: the configuration of the connection; None reads the usual places.
    """

    def __init__(
        self,
        root: Path,
        environment: str,
        folder: Path,
        settings: Environment,
        kubeconfig: dict[str, Any] | None = None,
    ) -> None:
        self._root, self._environment = root, environment
        self.target = cluster_target(root, environment, settings)
        scraped = bool(self.target.cluster.monitoring_namespace)
        client = ClusterClient(
            self.target.namespace, self.target.labels(), self.target.manager, kubeconfig
        )
        self.lease = EnvironmentLease(client, self.target, folder)
        self.reconciler = Reconciler(
            client, kinds(scraped=scraped), ["Pod"], may_act=self.lease.is_held
        )
        self._servers: list[Object] = []
        self._routes: list[Object] = []
        self._shares: dict[str, dict[str, int]] = {}  # of the routes, by model and version
        self._waiting: Set[str] = frozenset()  # models whose routes stay as the cluster has them
        self._left_out: list[str] = []  # what the Gateway cannot do of the routes
        self._lost = False  # whether the tags name no version at all
        self._busy: Set[str] = frozenset()  # versions whose objects stay, as these are called

    def start(self) -> None:
        """Start the threads."""
        self.lease.start(self.reconciler.look_again)
        self.reconciler.start()

    def close(self) -> None:
        """Stop changing objects, and let another controller do it."""
        self.reconciler.close()
        self.lease.close()

    def configure(self, settings: Environment) -> None:
        """Take over changed settings, except those of the connection."""
        self.target = cluster_target(self._root, self._environment, settings)

    def run_versions(
        self, entries: Mapping[str, Entry], busy: set[str], terms: Mapping[str, str]
    ) -> None:
        """Want the objects of these versions; objects of busy ones stay."""
        least = self._least_pods(entries, terms)
        config = serving_config(self.target)
        name = config["metadata"]["name"] if config else ""
        models = sorted({entry.model for entry in entries.values()})
        self._busy = frozenset(object_name(identity) for identity in busy)
        self._lost = not entries
        self._servers = [
            *([config] if config else []),
            *(one for model in models for one in model_objects(model, self.target)),
            *(
                one
                for e in entries.values()
                for one in version_objects(e, self.target, name, least.get(e.id, 0))
            ),
        ]
        self._want()

    def _least_pods(self, entries: Mapping[str, Entry], terms: Mapping[str, str]) -> dict[str, int]:
        """The pods that versions keep for more requests than they get; flags bring no more."""
        live = self.reconciler.live("Deployment")
        pods = {id_of(one): int(one["spec"].get("replicas", 1)) for one in live}
        flagged = {flag.model_id for flag in self.target.settings.flags if flag.enabled}
        found: dict[str, int] = {}
        for model, shares in self._shares.items():
            may = [e.id for e in entries.values() if e.model == model]
            found |= least_pods(
                [one for one in may if one in terms or one not in flagged],
                shares,
                pods,
                percent=self.target.cluster.reserve_percent,
                most=self.target.cluster.max_replicas,
            )
        return found

    def publish(self, routes: Sequence[Route], default: str, waiting: Sequence[str]) -> str:
        """Want these routes.

        Args:
            routes: one route for each model that has a ready version.
            default: the model that answers addresses that name no model; "" takes the first one.
            waiting: the models that must be served and have no route here, as a new controller
                does not know their last one; what the cluster has of them stays.

        Returns:
            The name of this set of routes.

        Raises:
            InputError: a request would find no server.
        """
        check(routes, default)
        pairs = [expressible(route, self.target) for route in routes]
        routes, self._left_out = [one for one, _ in pairs], [why for _, why in pairs]
        chosen = default or (routes[0].model if routes else "")
        found = [model_route(r, self.target, default=r.model == chosen) for r in routes]
        for route in routes:
            found += version_routes(route, self.target)
        self._shares = {r.model: {arm.id: arm.weight for arm in r.arms} for r in routes}
        self._routes, self._waiting = found, frozenset(waiting)
        self._want()
        return hashlib.sha256(canonical_json(found).encode()).hexdigest()[:32]

    def _want(self) -> None:
        """Servers that nobody wants stay while requests may reach them."""
        stays = MayStay(frozenset(self._waiting), frozenset(self._busy), everything=self._lost)
        self.reconciler.want([*self._servers, *self._routes], stays)

    @property
    def problem(self) -> str:
        """Why the cluster is not as it must be; "" if nothing hinders it."""
        refusals = (refusal(route) for route in self.reconciler.live("HTTPRoute"))
        ours = (self.lease.problem, self.reconciler.problem, self._why_lost())
        known = (*ours, *self._left_out, *refusals)
        return next(filter(None, known), "")

    def _why_lost(self) -> str:
        """A clone without tags says that nothing is to run; what runs is not ended by that."""
        left = len(self.reconciler.live("Deployment"))
        if not self._lost or not left:
            return ""
        return (
            f"the tags name no version for {self._environment}, and the cluster has {left}, which "
            f"stay. `facemodels registry sync` fetches tags; if it is meant so, delete the "
            f"namespace {self.target.namespace}"
        )

    def is_routed(self) -> bool:
        """Whether the Gateway routes by the routes that were published last."""
        wanted = {key_of(one) for one in self._routes}
        live = [one for one in self.reconciler.live("HTTPRoute") if key_of(one) in wanted]
        return self.reconciler.settled("HTTPRoute") and all(is_accepted(one) for one in live)


def kinds(*, scraped: bool) -> tuple[str, ...]:
    """The kinds that an environment consists of; ServiceMonitors may be unknown to a cluster."""
    return tuple(kind for kind in KINDS if scraped or kind != "ServiceMonitor")


class ClusterServers:
    """The Deployments of an environment.

    Args:
        cluster: the environment.
        folder: the state folder, which keeps how the servers behaved.
    """

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._conduct = PodConduct(folder)
        self._tended = time.monotonic()
        self._idle: dict[str, float] = {}  # since when a version is not wanted, monotonic

    def configure(self, settings: Environment) -> None:
        """Take over changed settings."""
        self._cluster.configure(settings)

    def tend(
        self, wanted: Mapping[str, Entry], busy: set[str], terms: Mapping[str, str] | None = None
    ) -> None:
        """Want the objects of these versions; others go `drain_s` after their last request."""
        now = time.monotonic()
        running = {id_of(one) for one in self._cluster.reconciler.live("Deployment")}
        for identity in [*self._idle]:
            if identity in wanted or identity in busy or identity not in running:
                del self._idle[identity]
        for identity in running - set(wanted) - busy:
            self._idle.setdefault(identity, now)
        drain_s = self._cluster.target.settings.drain_s
        draining = {one for one, since in self._idle.items() if now - since < drain_s}
        self._cluster.run_versions(wanted, busy | draining, terms or {})
        self._note_conduct(terms or {}, min(now - self._tended, _STALE_S))
        self._tended = now

    def _note_conduct(self, terms: Mapping[str, str], passed_s: float) -> None:
        """What cannot be seen counts for nothing and against nobody."""
        reconciler = self._cluster.reconciler
        if all(reconciler.hears(kind) for kind in ("Deployment", "Service", "Pod")):
            pods = reconciler.live("Pod")
            self._conduct.note(terms, pods, self.urls().keys(), passed_s)

    def urls(self) -> dict[str, tuple[str, ...]]:
        """The address of each version that has a ready pod, and a Service to reach it."""
        services = {key_of(one)[1] for one in self._cluster.reconciler.live("Service")}
        return {
            id_of(one): (service_url(id_of(one), self._cluster.target),)
            for one in self._cluster.reconciler.live("Deployment")
            if _ready_pods(one) and key_of(one)[1] in services
        }

    def running_urls(self) -> Set[str] | None:
        """The addresses of all versions; None before the cluster was seen."""
        reconciler = self._cluster.reconciler
        if not reconciler.has_seen("Deployment"):
            return None
        ids = (id_of(one) for one in reconciler.live("Deployment"))
        return {service_url(identity, self._cluster.target) for identity in ids}

    def targets(self) -> list[ScrapeTarget]:
        """Nothing: Prometheus scrapes pods, and the controller asks Prometheus."""
        return []

    def conduct(self) -> dict[str, ServerConduct]:
        """How the servers behaved since their version has its present place, by version."""
        return self._conduct.all()

    def overloads(self) -> dict[str, str]:
        """Nothing: the autoscaler answers load."""
        return {}

    def describe(self) -> list[dict[str, Any]]:
        """The state of every version, for `facemodels status`."""
        pods, conduct = self._cluster.reconciler.live("Pod"), self._conduct.all()
        return [
            {
                "model_id": id_of(one),
                "replica": _ready_pods(one),
                "pid": None,
                "port": None,
                "ready": bool(_ready_pods(one)),
                "restarts": conduct.get(id_of(one), ServerConduct()).deaths,
                "next_start": None,
                "problem": why_not_ready(p for p in pods if id_of(p) == id_of(one))
                or _why_not(one),
            }
            for one in sorted(self._cluster.reconciler.live("Deployment"), key=id_of)
        ]

    def close(self) -> None:
        """Stop watching; the pods go on."""
        self._cluster.close()

    def end(self) -> None:
        """Nothing: pods outlive the controller. `kubectl delete namespace` ends them."""


class GatewayRouter:
    """The Gateway of an environment, in the place of the local router and its supervisor.

    Args:
        cluster: the environment.

    Attributes:
        name: "gateway".
        process: None; the Gateway is no process of this machine.
        inside: "".
    """

    name = "gateway"
    process = None
    inside = ""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._started = False

    @property
    def spare(self) -> GatewayRouter:
        """Itself: whether a Gateway has a second pod is the cluster's affair."""
        return self

    @property
    def problem(self) -> str:
        """Why the cluster is not as it must be; "" if nothing hinders it."""
        return self._cluster.problem

    @property
    def url(self) -> str:
        """Not known: the address of a Gateway is the cluster's.

        Raises:
            ToolError: always.
        """
        raise ToolError("The address of the Gateway is not known here.", "Ask `kubectl`.")

    def tend(self, published: str) -> None:
        """Start the threads at the first step."""
        if not self._started:
            self._started = True
            self._cluster.start()

    def applied(self, published: str) -> bool:
        """Whether the Gateway uses the routes that were published last."""
        return bool(published) and self._cluster.is_routed()

    def configure(self, hang_s: float) -> None:
        """Nothing: a Gateway has a supervisor of its own."""

    def outdated(self) -> bool:
        """False: objects follow the settings."""
        return False

    def metrics(self) -> str:
        """Nothing."""
        return ""

    def end(self) -> None:
        """Nothing: routes outlive the controller."""

    def close(self) -> None:
        """Nothing: the servers' `close` ends the watches."""


class NoPackages:
    """Packages are the pods' own."""

    def keep(self, identities: set[str]) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def _ready_pods(deployment: Object) -> int:
    return int(deployment.get("status", {}).get("availableReplicas") or 0)


def _why_not(deployment: Object) -> str:
    """What the conditions of a Deployment say against it."""
    for condition in deployment.get("status", {}).get("conditions", ()):
        if (condition.get("type"), condition.get("status")) in _AGAINST:
            return str(condition.get("message", ""))
    return ""
