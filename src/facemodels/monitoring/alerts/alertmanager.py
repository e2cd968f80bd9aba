"""Alertmanager's configuration, and what its webhook tells. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from facemodels.errors import InputError
from facemodels.monitoring.alerts.rules import ACTIONS, duration
from facemodels.names import ModelName, Version

PATH = "/alerts"
MOST = 1_000_000  # bytes of a body
_RECEIVER = "facemodels-controller"
_TEXT = 1000  # characters of a label


def alertmanager(
    *, control: str, token_file: str = "", wait_s: float = 1.0, repeat_s: float = 300.0
) -> dict[str, Any]:
    """alertmanager.yml, as plain values: every alert goes to the controller.

    Add receivers for people beside it, with `continue: true` on the controller's route.

    Args:
        control: `host:port` of the controller.
        token_file: holds the bearer token that the controller asks for; "" sends none.
        wait_s: for more alerts of the same version, before the first is told.
        repeat_s: until one that still holds is told again; the controller may have been away.
    """
    access = (
        {"http_config": {"authorization": {"credentials_file": token_file}}} if token_file else {}
    )
    return {
        "route": {
            "receiver": _RECEIVER,
            "group_by": ["alertname", "model_name", "model_version"],
            "group_wait": duration(wait_s),
            "group_interval": duration(max(wait_s, 5.0)),
            "repeat_interval": duration(repeat_s),
        },
        "receivers": [
            {
                "name": _RECEIVER,
                "webhook_configs": [
                    {"url": f"http://{control}{PATH}", "send_resolved": True, **access}
                ],
            }
        ],
    }


@dataclass(frozen=True, slots=True)
class Alert:
    """What Alertmanager told of one alert.

    Attributes:
        model_name: "" if it is about no model.
        model_version: likewise.
        alertname: of the rule.
        status: `firing` or `resolved`.
    """

    model_name: str
    model_version: str
    alertname: str
    status: Literal["firing", "resolved"]

    @property
    def rolls_back(self) -> bool:
        """Whether a version is to be taken back: one of our triggers fires and names it."""
        asked = self.status == "firing" and ACTIONS.get(self.alertname) == "rollback"
        return asked and bool(self.model_name and self.model_version)


class _Labels(BaseModel):
    """Labels are the rule's and the series'; those that we do not know do not matter."""

    model_config = ConfigDict(strict=True)
    alertname: str = Field(min_length=1, max_length=_TEXT)
    model_name: str = Field(default="", max_length=_TEXT)
    model_version: str = Field(default="", max_length=_TEXT)


class _Told(BaseModel):
    model_config = ConfigDict(strict=True)
    status: Literal["firing", "resolved"]
    labels: _Labels


class _Body(BaseModel):
    model_config = ConfigDict(strict=True)
    version: Literal["4"]
    alerts: list[_Told] = Field(max_length=1000)


def read_alert(body: bytes) -> list[Alert]:
    """The alerts in a webhook's body (Alertmanager's format, version 4).

    Raises:
        InputError: another format, or a model or version that cannot be.
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
    return Alert(labels.model_name, labels.model_version, labels.alertname, told.status)
