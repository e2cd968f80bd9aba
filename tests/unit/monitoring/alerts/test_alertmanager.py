"""What Alertmanager's webhook tells, and everything that it never would."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.monitoring.alerts.alertmanager import MOST, Alert, read_alert
from facemodels.monitoring.alerts.rules import ACTIONS


def body(*alerts: dict[str, Any], **more: Any) -> bytes:
    """As Alertmanager 0.25 writes it."""
    return json.dumps(
        {
            "receiver": "facemodels-controller",
            "status": "firing",
            "alerts": list(alerts),
            "groupLabels": {"alertname": "ModelErrorRateHigh"},
            "commonLabels": {},
            "commonAnnotations": {},
            "externalURL": "http://host:9093",
            "version": "4",
            "groupKey": '{}:{alertname="ModelErrorRateHigh"}',
            "truncatedAlerts": 0,
            **more,
        }
    ).encode()


def alert(status: str = "firing", **labels: str) -> dict[str, Any]:
    labels = {
        "alertname": "ModelErrorRateHigh",
        "model_name": "recognition-facenet",
        "model_version": "2.2.0",
        "severity": "critical",
        **labels,
    }
    return {
        "status": status,
        "labels": labels,
        "annotations": {"summary": "It fails."},
        "startsAt": "2026-01-02T03:04:05.678Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "",
        "fingerprint": "0123456789abcdef",
    }


def test_alerts_are_read_as_told() -> None:
    read = read_alert(body(alert(), alert("resolved", model_version="2.1.3")))
    assert read == [
        Alert("recognition-facenet", "2.2.0", "ModelErrorRateHigh", "firing"),
        Alert("recognition-facenet", "2.1.3", "ModelErrorRateHigh", "resolved"),
    ]
    assert [one.rolls_back for one in read] == [True, False]


def test_only_our_own_triggers_take_a_version_back() -> None:
    names = [*ACTIONS, "SomebodyElses", "modelerrorratehigh"]
    found = [one.alertname for one in read_alert(body(*(alert(alertname=n) for n in names)))
             if one.rolls_back]  # fmt: skip
    assert found == [name for name, action in ACTIONS.items() if action == "rollback"]


def test_an_alert_about_no_model_takes_nothing_back() -> None:
    down = {"status": "firing", "labels": {"alertname": "ModelErrorRateHigh"}}
    (read,) = read_alert(body(down))
    assert (read.model_name, read.model_version, read.rolls_back) == ("", "", False)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "the body"),
        (b"\xff", "the body"),
        (b"[]", "the body"),
        (b"[" * 100_000, "the body"),
        (b"x" * (MOST + 1), "bytes"),
        (body(alert(), version="3"), "version"),
        (body(alert("pending")), "alerts.0.status"),
        (body(alert(alertname="")), "alertname"),
        (body({**alert(), "labels": {"alertname": 7}}), "alertname"),
        (body({**alert(), "labels": None}), "labels"),
        (body(alert(model_name="../../etc")), "not a model name"),
        (body(alert(model_version="latest")), "not a version"),
        (body(alert(model_name="a" * 5000)), "model_name"),
        (body(*[alert()] * 1001), "alerts"),
    ],
)
def test_anything_else_is_refused_with_where_it_is_wrong(data: bytes, why: str) -> None:
    with pytest.raises(InputError) as caught:
        read_alert(data)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 7000


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)


@given(st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        read = read_alert(data)
    except InputError:
        return
    assert read == []


@given(
    st.sampled_from(["status", "labels", "annotations", "startsAt", "version", "alerts"]),
    json_values,
    st.booleans(),
)
def test_one_wrong_value_never_makes_another_alert(key: str, value: Any, inside: bool) -> None:
    told = {**alert(), key: value} if inside else alert()
    data = body(told) if inside else body(told, **{key: value})
    try:
        read = read_alert(data)
    except InputError:
        return
    assert all(
        one.model_name in ("", "recognition-facenet") and one.status in ("firing", "resolved")
        for one in read
    )


@given(st.binary(max_size=4), st.integers(0, 2000), st.integers(0, 50))
def test_bytes_that_are_cut_or_swapped_never_break_the_reader(new, at: int, cut: int) -> None:
    data = body(alert())
    try:
        read_alert(data[:at] + new + data[at + cut :])
    except InputError:
        return
