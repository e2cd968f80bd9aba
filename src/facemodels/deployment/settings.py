"""One environment, from conf/deploy/<environment>.yaml."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from facemodels.errors import InputError, NameFormatError
from facemodels.monitoring.settings import ProbeSettings, VerdictSettings
from facemodels.names import ModelId
from facemodels.params import Frozen, Gate, load_yaml, parse

FOLDER = Path("conf", "deploy")
ENVIRONMENTS = ("staging", "production")
Count = Annotated[int, Field(ge=1)]
Percent = Annotated[int, Field(ge=0, le=100)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Wait = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Address(Frozen):
    """Where something listens."""

    host: str = "127.0.0.1"
    port: Port


class DeploymentPolicy(Frozen):
    """Who may deploy, and what a version must have shown before.

    Attributes:
        deployers: e-mail addresses of git's users; empty: whoever may push.
        staging_minutes: how long a version must have been in staging; an emergency goes past it.
        gates: least or most of what was measured at registration (accuracy, size, time of one
            image), beside the gates of the model itself.
    """

    deployers: tuple[str, ...] = ()
    staging_minutes: Wait = 0.0
    gates: dict[str, Gate] = Field(default_factory=dict)


class Flag(Frozen):
    """Requests with a header or a cookie go to one version.

    Attributes:
        name: for people.
        model_id: the version; it is kept ready as long as the flag names it.
        header: its name; or
        cookie: its name.
        value: that it must have.
        enabled: switched without a restart.
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


class Environment(Frozen):
    """All of conf/deploy/<environment>.yaml.

    Attributes:
        address: of the router.
        control: of the controller's own metrics and of the alerts' webhook.
        state: where it keeps processes, samples and logs, from the root.
        replicas: servers a version.
        threads: of each.
        serving: limits and batching of the servers, from the root.
        tokens: who may do what, from the root; "" is for loopback alone.
        start_s: for a server to be ready.
        hang_s: without an answer to a health check, a server is killed.
        backoff_s: before the second, then twice as long, up to `backoff_max_s`.
        drain_s: between a version's last share of the traffic and its end.
        fetch_interval_s: between two looks at the Git remote.
        scrape_interval_s: between two looks at the metrics.
        prometheus: base URL of a server that scrapes; "" scrapes directly.
        canary_percent: where the command names none.
        steps: percentages of a progressive rollout, rising; then all.
        sticky_cookie: how a client stays with its version; "" lets each request choose.
        user_header: says who the user is, for `ab`.
        defaults: the model that answers a task's plain addresses, where a task has several.
        price_per_hour: of one server, in whatever currency.
    """

    address: Address
    control: Address
    state: str = ""
    replicas: Count = 1
    threads: Count = 1
    serving: str = "conf/serving.yaml"
    tokens: str = ""
    start_s: Seconds = 120.0
    hang_s: Seconds = 5.0
    backoff_s: Seconds = 1.0
    backoff_max_s: Seconds = 60.0
    drain_s: Wait = 5.0
    fetch_interval_s: Seconds = 5.0
    scrape_interval_s: Seconds = 1.0
    prometheus: str = ""
    canary_percent: Percent = 10
    steps: tuple[Percent, ...] = (10, 25, 50)
    sticky_cookie: str = ""
    user_header: str = "X-User-Id"
    defaults: dict[Literal["detection", "recognition", "landmarks"], str] = Field(
        default_factory=dict
    )
    price_per_hour: Wait = 0.0
    policy: DeploymentPolicy = DeploymentPolicy()
    verdict: VerdictSettings = VerdictSettings()
    probes: ProbeSettings = ProbeSettings()
    flags: tuple[Flag, ...] = ()

    @model_validator(mode="after")
    def _steps_rise(self) -> Self:
        if any(after <= before for before, after in pairwise((0, *self.steps))):
            raise ValueError("the steps of a progressive rollout rise, from 1 percent at least")
        return self


def load(root: Path, environment: str, path: Path | None = None) -> Environment:
    """The settings of an environment.

    Args:
        root: of the repository.
        environment: `staging` or `production`.
        path: another file than conf/deploy/<environment>.yaml.

    Raises:
        InputError: no such environment.
        ParamsError: the file is missing or does not fit the schema.
    """
    if environment not in ENVIRONMENTS:
        raise InputError(
            f"{environment!r} is no environment.", f"Choose one of {', '.join(ENVIRONMENTS)}."
        )
    chosen = path or root / FOLDER / f"{environment}.yaml"
    return parse(Environment, load_yaml(chosen), str(chosen))


def state_folder(root: Path, environment: str, settings: Environment) -> Path:
    """Where an environment keeps what a restart reads again: never in Git."""
    return root / (settings.state or f".facemodels/{environment}")
