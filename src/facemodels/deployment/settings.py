"""The settings of one environment, which are read from conf/deploy/<environment>.yaml."""

from __future__ import annotations

import ipaddress
import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from facemodels.deployment.kubernetes_settings import KubernetesSettings
from facemodels.deployment.last_good import Settled, read_or_last_good
from facemodels.deployment.strategies import ENVIRONMENTS
from facemodels.errors import InputError, NameFormatError
from facemodels.gallery.spaces import gallery_folder
from facemodels.monitoring.settings import ProbeSettings, PrometheusAccess, VerdictSettings
from facemodels.names import ModelId, Task
from facemodels.params import Frozen, Gate, load_yaml, parse
from facemodels.serving.settings import Serving
from facemodels.serving.settings import load as load_serving

FOLDER = Path("conf", "deploy")
STATUS = "status.json"  # in the state folder: what `facemodels status` shows
DECISIONS = "decisions"  # in the state folder: rollbacks that no tag records yet
Count = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _gallery(name: str) -> str:
    try:
        gallery_folder(name)
    except InputError as error:
        raise ValueError(error.what) from error
    if "/" in name:
        raise ValueError("is a path; name a gallery of the repository")
    return name


class Address(Frozen):
    """A host and a port on which a server listens.

    Attributes:
        host: the name or the address of the host.
        port: the port; 0 takes a free one.
    """

    host: str = "127.0.0.1"
    port: Port


class DeploymentPolicy(Frozen):
    """Who may deploy to an environment, and what a version must have shown before.

    Attributes:
        deployers: e-mail addresses of the Git users who may deploy; if it is empty, everybody who
            may push may deploy.
        staging_minutes: the minutes that a version must have been in staging; an emergency
            deployment skips this rule.
        gates: bounds on metrics that were measured at registration (accuracy, size, time of one
            image). They hold in addition to the gates of the model itself.
    """

    deployers: tuple[str, ...] = ()
    staging_minutes: Wait = 0.0
    gates: dict[str, Gate] = Field(default_factory=dict)


class Flag(Frozen):
    """A feature flag: requests with a certain header or cookie go to one version.

    Attributes:
        name: a name for people.
        model_id: the version; its servers are kept ready as long as the flag is enabled.
        header: the name of the header; "" if the flag looks at a cookie.
        cookie: the name of the cookie; "" if the flag looks at a header.
        value: the value that the header or cookie must have.
        enabled: whether the flag counts; it can be switched without a restart.
    """

    name: str
    model_id: str
    header: str = ""
    cookie: str = ""
    value: str
    enabled: bool = True

    @field_validator("model_id")
    @classmethod
    def _id(cls, text: str) -> str:
        try:
            return str(ModelId.parse(text))  # as the tags' versions are called everywhere
        except NameFormatError as error:
            raise ValueError(error.what) from error

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.header) == bool(self.cookie):
            raise ValueError("a flag has either a header or a cookie")
        return self


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text, strict=False))


class VersionChoice(Frozen):
    """Who may choose the version that answers, by `X-Facemodels-Version` or a version's address.

    Whoever may do it can send all of his requests to a canary, and so condemn or promote it.

    Attributes:
        addresses: addresses and networks of clients, for example `10.0.0.0/8`. Behind another
            proxy every client has the address of the proxy.
        tokens: the file with bearer tokens that may, one a line, relative to the root.
    """

    addresses: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    tokens: str = ""


class Environment(Frozen):
    """All settings of conf/deploy/<environment>.yaml.

    Attributes:
        address: the address on which the router listens for clients.
        control: the address of the controller's own metrics and of the webhook for alerts.
        state: the state folder, relative to the root; "" means .facemodels/<environment>.
        replicas: the number of servers of each version.
        threads: the number of threads of each server.
        serving: the file with limits and batching of the servers, relative to the root.
        tokens: the file that says which token may do what, relative to the root; without one the
            servers answer requests from this machine only.
        galleries: names of the galleries in which the systems identify people; a version is not
            deployed before all of them have faces of its embedding space.
        start_s: seconds in which a new server must become ready.
        hang_s: seconds without an answer to a health check after which a server is killed.
        backoff_s: seconds before a server that died is started again; each further quick death
            doubles them, up to `backoff_max_s`.
        backoff_max_s: the longest such pause in seconds.
        drain_s: seconds between the last request to a version and the end of its servers.
        fetch_interval_s: seconds between two fetches from the Git remote.
        scrape_interval_s: seconds between two scrapes of the servers' metrics.
        prometheus: the base URL of a Prometheus server that scrapes the servers; if it is empty,
            the controller scrapes them itself.
        prometheus_access: the files with the token, the headers and the certificates for it.
        canary_percent: the share of a canary where the command names none, in percent.
        steps: the rising percentages of a progressive rollout; all of the traffic comes after.
        sticky_cookie: the cookie that keeps a client with one version; if it is empty, each
            request is routed by itself.
        sticky_s: seconds for which it keeps it; then the client is given a version by the shares
            of that moment, so that clients move with the shares.
        user_header: the header that names the user, for the strategy `ab`.
        version_choice: who may choose the version that answers; nobody, unless it says so.
        defaults: the model that answers a task's plain addresses, where a task has several.
        price_per_hour: the price of one server for one hour, in any currency.
        price_per_core_hour: the price of one processor core for one hour; with it or the next one
            the cost of an inference is that of the processor and GPU time that was used.
        price_per_gpu_hour: the price of one GPU for one hour.
        policy: who may deploy, and under which conditions.
        verdict: the bounds of the sequential test between two versions.
        probes: the golden set that is replayed.
        flags: the feature flags.
        backend: where the servers run: `local` as processes of this machine, `kubernetes` as pods.
        kubernetes: the cluster's part; needed there.
    """

    address: Address
    control: Address
    state: str = ""
    replicas: Count = 1
    threads: Count = 1
    serving: str = "conf/serving.yaml"
    tokens: str = ""
    galleries: tuple[Annotated[str, AfterValidator(_gallery)], ...] = ()
    start_s: Seconds = 120.0
    hang_s: Seconds = 5.0
    backoff_s: Seconds = 1.0
    backoff_max_s: Seconds = 60.0
    drain_s: Wait = 5.0
    fetch_interval_s: Seconds = 5.0
    scrape_interval_s: Seconds = 1.0
    prometheus: str = ""
    prometheus_access: PrometheusAccess = PrometheusAccess()
    canary_percent: Percent = 10
    steps: tuple[Percent, ...] = (10, 25, 50)
    sticky_cookie: str = ""
    sticky_s: Annotated[int, Field(ge=1)] = 600
    user_header: str = "X-User-Id"
    version_choice: VersionChoice = VersionChoice()
    defaults: dict[Task, str] = Field(default_factory=dict)
    price_per_hour: Wait = 0.0
    price_per_core_hour: Wait = 0.0
    price_per_gpu_hour: Wait = 0.0
    policy: DeploymentPolicy = DeploymentPolicy()
    verdict: VerdictSettings = VerdictSettings()
    probes: ProbeSettings = ProbeSettings()
    flags: tuple[Flag, ...] = ()
    backend: Literal["local", "kubernetes"] = "local"
    kubernetes: KubernetesSettings | None = None

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if any(after <= before for before, after in pairwise((0, *self.steps))):
            raise ValueError("the steps of a progressive rollout rise, from 1 percent at least")
        return self

    @model_validator(mode="after")
    def _cluster_can(self) -> Self:
        """Refuse what objects of Kubernetes cannot express."""
        if self.backend == "kubernetes" and self.kubernetes is None:
            raise ValueError("backend: kubernetes needs the section kubernetes")
        if self.kubernetes is None:
            return self
        if self.kubernetes.max_replicas < self.replicas:
            raise ValueError("kubernetes.max_replicas is below replicas")
        if self.galleries and not self.kubernetes.galleries_claim:
            raise ValueError("on Kubernetes, galleries need kubernetes.galleries_claim")
        if self.sticky_cookie and self.backend == "kubernetes":
            raise ValueError("the standard Gateway API keeps no client by a cookie: sticky_cookie")
        if self.version_choice != VersionChoice() and self.backend == "kubernetes":
            raise ValueError("the standard Gateway API cannot tell clients apart: version_choice")
        return self


def load(root: Path, environment: str, path: Path | None = None) -> Environment:
    """Read the settings of an environment.

    Args:
        root: the root folder of the repository.
        environment: `staging` or `production`.
        path: the file to read; None reads conf/deploy/<environment>.yaml.

    Raises:
        InputError: there is no such environment.
        ParamsError: the file is missing or does not fit the schema.
    """
    if environment not in ENVIRONMENTS:
        raise InputError(
            f"{environment!r} is no environment.", f"Choose one of {', '.join(ENVIRONMENTS)}."
        )
    chosen = path or root / FOLDER / f"{environment}.yaml"
    return parse(Environment, load_yaml(chosen), str(chosen))


def load_or_last_good(
    root: Path, environment: str, path: Path | None = None
) -> Settled[Environment]:
    """Read the settings of an environment; where the file is broken, the last good ones.

    Args:
        root: the root folder of the repository.
        environment: `staging` or `production`.
        path: the file to read; None reads conf/deploy/<environment>.yaml.

    Raises:
        InputError: there is no such environment, or no good settings are known.
    """
    chosen = path or root / FOLDER / f"{environment}.yaml"
    return read_or_last_good(root, chosen, lambda one: load(root, environment, one))


def serving_or_last_good(root: Path, settings: Environment) -> Settled[Serving]:
    """Read the settings of the servers; where the file is broken, the last good ones.

    Without a file they are the defaults.

    Raises:
        InputError: the file is broken and no good content of it is known.
    """
    path = root / settings.serving
    if not os.path.lexists(path):
        return Settled(Serving(), path)
    return read_or_last_good(root, path, load_serving)


def state_folder(root: Path, environment: str, settings: Environment) -> Path:
    """The folder for the files that a restarted controller reads again; it is not in Git."""
    return root / (settings.state or f".facemodels/{environment}")
