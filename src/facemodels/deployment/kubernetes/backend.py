"""The servers and the router of an environment on Kubernetes, as the controller's loop uses them.

A version's servers are its Deployment, which is ready when a pod is; the router is a Gateway, which
routes by HTTPRoutes. So the loop, its decisions and its rollbacks are those of one machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from facemodels.deployment.kubernetes.client import key_of
from facemodels.deployment.kubernetes.cluster import Cluster
from facemodels.deployment.kubernetes.conduct import PodConduct
from facemodels.deployment.kubernetes.plan import service_url
from facemodels.deployment.kubernetes.pod_states import why_not_ready
from facemodels.deployment.kubernetes.target import Object, id_of
from facemodels.deployment.settings import Environment
from facemodels.errors import ToolError
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.registry.state import Entry

# That it came no further in time, and that the cluster takes no pods of it (quota, policies).
_AGAINST = {("Progressing", "False"), ("ReplicaFailure", "True")}
_STALE_S = 2.0  # the most that counts as time without a ready server between two turns


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
