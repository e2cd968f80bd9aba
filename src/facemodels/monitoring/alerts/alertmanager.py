"""Alertmanager's configuration, and the reader of its webhook's body. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facemodels.errors import InputError
from facemodels.monitoring.alerts.rules import ACTIONS, duration
from facemodels.names import ModelName, Version

PATH = "/alerts"
MOST = 1_000_000  # bytes of one body
_RECEIVER = "facemodels-controller"
_PEOPLE = "people"
_TEXT = 1000  # characters of one label


@dataclass(frozen=True)
class NotifiedPeople:
    """Where alerts reach people.

    Attributes:
        webhooks: URLs of chat or paging services that take Alertmanager's webhook.
        mails: e-mail addresses.
        smtp: `host:port` of the mail server.
        sender: the sender of the mails.
    """

    webhooks: Sequence[str] = ()
    mails: Sequence[str] = ()
    smtp: str = "127.0.0.1:25"
    sender: str = "facemodels@localhost"

    def receiver(self) -> dict[str, Any]:
        """The receiver in Alertmanager's form; without an address it reaches nobody yet."""
        found: dict[str, Any] = {"name": _PEOPLE}
        if self.webhooks:
            found["webhook_configs"] = [{"url": url} for url in self.webhooks]
        if self.mails:
            server = {"smarthost": self.smtp, "from": self.sender, "require_tls": False}
            if not self.smtp.startswith(("127.0.0.1:", "localhost:")):
                server["require_tls"] = True
            found["email_configs"] = [{"to": mail, **server} for mail in self.mails]
        return found


def alertmanager(
    *,
    control: str,
    token_file: str = "",
    people: NotifiedPeople | None = None,
    wait_s: float = 1.0,
    repeat_s: float = 300.0,
) -> dict[str, Any]:
    """The content of alertmanager.yml as plain values.

    Every alert goes to the controller, which rolls back, and to people, who learn of it.

    Args:
        control: `host:port` of the controller.
        token_file: the file with the bearer token for the controller; "" sends none.
        people: where alerts reach people; None leaves that receiver to be filled in.
        wait_s: the time to wait for more alerts of the same version before the first is sent.
        repeat_s: the time after which an alert that still fires is sent again, because the
            controller may have been down. People are told again after four hours.
    """
    access = (
        {"http_config": {"authorization": {"credentials_file": token_file}}} if token_file else {}
    )
    hook = {"url": f"http://{control}{PATH}", "send_resolved": True, **access}
    return {
        "route": {
            "receiver": _PEOPLE,
            "group_by": ["alertname", "model_name", "model_version"],
            "group_wait": duration(wait_s),
            "group_interval": duration(max(wait_s, 5.0)),
            "repeat_interval": "4h",
            "routes": [
                {"receiver": _RECEIVER, "repeat_interval": duration(repeat_s), "continue": True},
                {"receiver": _PEOPLE},
            ],
        },
        "receivers": [
            {"name": _RECEIVER, "webhook_configs": [hook]},
            (people or NotifiedPeople()).receiver(),
        ],
    }


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as Alertmanager sends it.

    Attributes:
        model_name: the model, for example `recognition-facenet`; "" if the alert is about none.
        model_version: the version, for example `2.1.3`; "" if the alert is about none.
        alertname: the name of the alerting rule.
        status: `firing` or `resolved`.
        deployment: the tag by which the version had its place; "" if the alert does not tell.
    """

    model_name: str
    model_version: str
    alertname: str
    status: Literal["firing", "resolved"]
    deployment: str = ""

    @property
    def rolls_back(self) -> bool:
        """Whether it asks for a rollback: a rule of ours fires and names the version."""
        asked = self.status == "firing" and ACTIONS.get(self.alertname) == "rollback"
        return asked and bool(self.model_name and self.model_version)


class _Labels(BaseModel):
    """The labels of the rule and of its series; unknown ones are ignored."""

    model_config = ConfigDict(strict=True)
    alertname: str = Field(min_length=1, max_length=_TEXT)
    model_name: str = Field(default="", max_length=_TEXT)
    model_version: str = Field(default="", max_length=_TEXT)
    deployment: str = Field(default="", max_length=_TEXT)


class _Told(BaseModel):
    model_config = ConfigDict(strict=True)
    status: Literal["firing", "resolved"]
    labels: _Labels


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)
    version: Literal["4"]
    alerts: list[_Told] = Field(max_length=1000)


def read_alert(body: bytes) -> list[Alert]:
    """Read the alerts from the body of a webhook (Alertmanager's format, version 4).

    Raises:
        InputError: the body has another format, or the name of a model or version is not valid.
    """
    if len(body) > MOST:
        raise InputError(f"A webhook of {len(body)} bytes is none.", f"Send at most {MOST}.")
    try:
        told = _Body.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InputError(
            f"This is no webhook of Alertmanager: {where}: {first['msg']}.",
            "Send its version 4 JSON.",
        ) from error
    return [_alert(one) for one in told.alerts]


def _alert(told: _Told) -> Alert:
    labels = told.labels
    if labels.model_name:
        ModelName.parse(labels.model_name)
    if labels.model_version:
        Version.parse(labels.model_version)
    return Alert(
        labels.model_name, labels.model_version, labels.alertname, told.status, labels.deployment
    )
