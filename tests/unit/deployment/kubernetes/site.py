"""A cluster of the tests, and a controller's view of it that is turned by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.unit.deployment.kubernetes.api_server import ApiServer
from tests.unit.deployment.kubernetes.cluster import LEAST, ROOT, target
from tests.unit.deployment.plans import beside

from facemodels.deployment.kubernetes.backend import ClusterServers
from facemodels.deployment.kubernetes.cluster import Cluster, kinds
from facemodels.deployment.kubernetes.plan import plan
from facemodels.deployment.kubernetes.target import object_name
from facemodels.deployment.router.published import PublishedRoutes
from facemodels.deployment.router.traffic import Traffic
from facemodels.registry.state import State

MODEL = "recognition-facenet"
LIMIT_S = 20.0


def until(holds: Callable[[], bool], what: str = "") -> None:
    """Wait for the threads; the clock says nothing about the outcome."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what or "it never came to be"
        time.sleep(0.005)


class Site:
    """A cluster and a controller's view of it, turned by hand."""

    def __init__(self, folder: Path) -> None:
        self.server = ApiServer()
        self.folder = folder
        self.ledger = beside()
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        """A controller begins, with nothing but the state folder and the cluster."""
        settings = target(LEAST, drain_s=0.0).settings
        self.cluster = Cluster(ROOT, "production", self.folder, settings, self.server.kubeconfig)
        self.cluster.start()
        self.servers = ClusterServers(self.cluster, self.folder)
        self.published = PublishedRoutes(self.folder, self.cluster.publish)
        self.traffic: dict[str, Traffic] = self.published.traffic()

    def end(self) -> None:
        """The controller ends; the cluster goes on."""
        self.cluster.close()

    @property
    def state(self) -> State:
        return self.ledger.state

    def turn(self) -> None:
        """What the controller's loop does in one turn."""
        self.now += 1.0  # a second a turn
        ready = set(self.servers.urls())
        now = plan(self.state, self.cluster.target, ready=ready, before=self.traffic, now=self.now)
        busy = {identity for one in self.traffic.values() for identity in one.answered}
        self.servers.tend(now.versions, busy)
        running = self.servers.running_urls()
        self.published.publish(now.routes, now.traffic, now.default, running)
        self.traffic = self.published.traffic()

    def weights(self) -> dict[str, int]:
        route = self.server.get("HTTPRoute", MODEL)
        if route is None or not route["spec"]["rules"]:  # a hand has emptied it
            return {}
        return {b["name"]: b["weight"] for b in route["spec"]["rules"][-1]["backendRefs"]}

    def deploy(self, *ids: str) -> None:
        """Turn until these Deployments exist, and let them become ready."""
        for identity in ids:
            until(lambda i=identity: self.turned(object_name(i) in self.server.names("Deployment")))
            self.server.set_ready(object_name(identity))

    def turned(self, holds: bool) -> bool:
        self.turn()
        return holds

    def until_weights(self, **shares: int) -> None:
        wanted = {
            object_name(f"rec-facenet-v{v.replace('_', '.')[1:]}"): n for v, n in shares.items()
        }

        def so() -> bool:
            self.turn()
            return self.weights() == wanted

        until(so, f"{self.weights()} and not {wanted}: {self.cluster.reconciler.problem}")

    def settle(self) -> None:
        """Turn until the cluster has every object as it must be."""

        def settled() -> bool:
            self.turn()
            return all(map(self.cluster.reconciler.settled, kinds(scraped=False)))

        until(settled)
