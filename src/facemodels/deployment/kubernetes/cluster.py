"""An environment on a cluster: which objects it must have, who changes them, what hinders that."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import Any

from facemodels.deployment.kubernetes.acceptance import is_accepted, refusal
from facemodels.deployment.kubernetes.capacity import least_pods
from facemodels.deployment.kubernetes.client import KINDS, ClusterClient, key_of
from facemodels.deployment.kubernetes.http_routes import model_route, version_routes
from facemodels.deployment.kubernetes.lease import EnvironmentLease
from facemodels.deployment.kubernetes.manifests import cluster_target, serving_config
from facemodels.deployment.kubernetes.models import model_objects
from facemodels.deployment.kubernetes.plan import expressible
from facemodels.deployment.kubernetes.reconciler import MayStay, Reconciler
from facemodels.deployment.kubernetes.target import ClusterTarget, Object, id_of, object_name
from facemodels.deployment.kubernetes.versions import version_objects
from facemodels.deployment.router.routes import Route, check
from facemodels.deployment.settings import Environment
from facemodels.files import canonical_json
from facemodels.registry.state import Entry


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
        self._moved = False  # whether the settings want other places than those that are watched
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
        """Take over changed settings, unless they are those by which objects are found."""
        found = cluster_target(self._root, self._environment, settings)
        self._moved = _found_by(found) != _found_by(self.target)
        if not self._moved:
            self.target = found

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
        moved = (
            "the namespace, or whether somebody scrapes, changed in the settings, which holds from "
            "the next start on; until then none of them is taken over. Use `facemodels down` and "
            "`up`"
            if self._moved
            else ""
        )
        known = (*ours, moved, *self._left_out, *refusals)
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


def _found_by(target: ClusterTarget) -> tuple[str, bool]:
    """Where and among which kinds a running controller looks for objects."""
    return target.namespace, bool(target.cluster.monitoring_namespace)


def kinds(*, scraped: bool) -> tuple[str, ...]:
    """The kinds that an environment consists of; ServiceMonitors may be unknown to a cluster."""
    return tuple(kind for kind in KINDS if scraped or kind != "ServiceMonitor")
