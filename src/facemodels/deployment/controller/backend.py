"""What a controller runs: servers and a router, as processes of this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from facemodels.deployment.router import Router, RouterSettings
from facemodels.deployment.router.choice import VersionChoosers, read_tokens
from facemodels.deployment.router.published import PublishedRoutes, publish
from facemodels.deployment.router.routes import Route
from facemodels.deployment.router.supervisor import RouterPair
from facemodels.deployment.servers.packages import Packages
from facemodels.deployment.servers.probe_secret import probe_secret
from facemodels.deployment.servers.process import Process
from facemodels.deployment.servers.supervisor import ServerSupervisor
from facemodels.deployment.settings import Environment, serving_or_last_good
from facemodels.monitoring.analysis.conduct import ServerConduct
from facemodels.monitoring.metrics.scraper import ScrapeTarget
from facemodels.registry.state import Entry


class Servers(Protocol):
    """The servers of an environment; `ServerSupervisor` describes the methods."""

    def configure(self, settings: Environment) -> None: ...  # noqa: D102
    def tend(  # noqa: D102
        self, wanted: Mapping[str, Entry], busy: set[str], terms: Mapping[str, str] | None = None
    ) -> None: ...
    def urls(self) -> dict[str, tuple[str, ...]]: ...  # noqa: D102
    def running_urls(self) -> Set[str] | None: ...  # noqa: D102
    def targets(self) -> list[ScrapeTarget]: ...  # noqa: D102
    def conduct(self) -> dict[str, ServerConduct]: ...  # noqa: D102
    def overloads(self) -> dict[str, str]: ...  # noqa: D102
    def describe(self) -> list[dict[str, Any]]: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102


class RunningRouter(Protocol):
    """What answers clients; `Router` describes the members."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def spare(self) -> RunningRouter: ...  # noqa: D102
    @property
    def process(self) -> Process | None: ...  # noqa: D102
    @property
    def inside(self) -> str: ...  # noqa: D102
    @property
    def url(self) -> str: ...  # noqa: D102
    def metrics(self) -> str: ...  # noqa: D102
    def outdated(self) -> bool: ...  # noqa: D102


class TendedRouter(Protocol):
    """What keeps the router running; `RouterPair` describes the members."""

    @property
    def problem(self) -> str: ...  # noqa: D102
    def tend(self, published: str) -> None: ...  # noqa: D102
    def applied(self, published: str) -> bool: ...  # noqa: D102
    def configure(self, hang_s: float) -> None: ...  # noqa: D102
    def end(self) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class KeptPackages(Protocol):
    """The packages on this machine; `Packages` describes the methods."""

    def keep(self, identities: set[str]) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Backend:
    """What a controller runs.

    Attributes:
        packages: the packages on this machine.
        servers: the servers.
        router: what answers clients.
        supervisor: what keeps the router running.
        published: the routes that the router was given.
    """

    packages: KeptPackages
    servers: Servers
    router: RunningRouter
    supervisor: TendedRouter
    published: PublishedRoutes


def open_backend(
    root: Path,
    environment: str,
    folder: Path,
    settings: Environment,
    tell: Callable[[str, str], None],
) -> Backend:
    """Open what the settings name: processes of this machine, or a cluster.

    Args:
        root: the root folder of the repository.
        environment: `staging` or `production`.
        folder: the state folder.
        settings: the settings of the environment.
        tell: takes the name and the text of an alarm.

    Raises:
        InputError: there is no cluster, or its library is not installed.
    """
    if settings.backend == "kubernetes":
        return cluster_backend(root, environment, folder, settings)
    packages = Packages(root, folder / "packages")
    servers = ServerSupervisor(folder / "servers", packages, root, settings)
    serving = serving_or_last_good(root, settings).value
    choosers = _choosers(root, folder, settings, tell)
    router = Router(folder / "router", RouterSettings.of(settings, serving, choosers))

    def write(routes: Sequence[Route], default: str, waiting: Sequence[str]) -> str:
        return publish(router.routes, routes, router.settings, default, waiting)

    pair = RouterPair(router, settings.hang_s)
    return Backend(packages, servers, router, pair, PublishedRoutes(folder, write))


def _choosers(
    root: Path, folder: Path, settings: Environment, tell: Callable[[str, str], None]
) -> VersionChoosers:
    """Who may choose a version; the tokens of a file that cannot be read may not."""
    choice, tokens = settings.version_choice, ""
    if choice.tokens:
        try:
            tokens = (root / choice.tokens).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            tell("version_choice.tokens", str(error))
    secret = probe_secret(folder / "servers")
    return VersionChoosers(choice.addresses, read_tokens(tokens.splitlines()), secret)


def cluster_backend(
    root: Path,
    environment: str,
    folder: Path,
    settings: Environment,
    kubeconfig: dict[str, Any] | None = None,
) -> Backend:
    """Open an environment on Kubernetes: a Gateway, and a Deployment for each version.

    Args:
        root: the root folder of the repository, whose settings say what a pod needs.
        environment: `staging` or `production`.
        folder: the state folder, which keeps what was published last.
        settings: the settings of the environment, with their section `kubernetes`.
        kubeconfig: the configuration of the connection; None reads the usual places.

    Raises:
        InputError: there is no cluster, or its library is not installed.
    """
    from facemodels.deployment.kubernetes.backend import ClusterServers, GatewayRouter, NoPackages
    from facemodels.deployment.kubernetes.cluster import Cluster

    cluster = Cluster(root, environment, folder, settings, kubeconfig)
    router = GatewayRouter(cluster)
    published = PublishedRoutes(folder, cluster.publish)
    return Backend(NoPackages(), ClusterServers(cluster, folder), router, router, published)
