"""What pods tell of themselves, and what of it counts against a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.unit.registry.conftest import V1, V2

from facemodels.deployment.kubernetes.capacity import least_pods
from facemodels.deployment.kubernetes.conduct import PodConduct
from facemodels.deployment.kubernetes.pod_states import why_not_ready
from facemodels.deployment.kubernetes.target import Object
from facemodels.monitoring.analysis.conduct import ServerConduct

KILLED = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
DIGEST = "pulling\n\nfaces-v1 is not what was registered.\nNothing was written.\n"


def pod(identity: str = V1, uid: str = "u1", restarts: int = 0, **status: Any) -> Object:
    server = {"name": "server", "restartCount": restarts, "state": {"running": {}}}
    return {
        "kind": "Pod",
        "metadata": {"name": uid, "uid": uid, "annotations": {"facemodels/model-id": identity}},
        "status": {
            "containerStatuses": [server | ({"lastState": KILLED} if restarts else {})], **status
        },
    }  # fmt: skip


def container(name: str, state: Object, before: Object | None = None) -> list[Object]:
    return [{"name": name, "state": state, "lastState": before or {}}]


WAITS = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting"}}
FAILED = {"terminated": {"reason": "Error", "exitCode": 3, "message": DIGEST}}
NO_ROOM = {
    "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
    "message": "0/3 nodes are available: insufficient memory.",
}  # fmt: skip
NO_IMAGE = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}


@pytest.mark.parametrize(
    ("status", "why"),
    [
        ({}, ""),
        (
            {"containerStatuses": container("server", {"waiting": {"reason": "PodInitializing"}})},
            "",
        ),
        (
            {"conditions": [NO_ROOM], "containerStatuses": []},
            "u1: Unschedulable: 0/3 nodes are available: insufficient memory.",
        ),
        (
            {"initContainerStatuses": container("pull", WAITS, FAILED)},
            "u1: pull: Error (exit code 3): pulling faces-v1 is not what was registered. "
            "Nothing was written.",
        ),
        (
            {"initContainerStatuses": container("pull", NO_IMAGE)},
            "u1: pull: ImagePullBackOff: not found",
        ),
        (
            {"containerStatuses": container("server", KILLED)},
            "u1: server: OOMKilled (exit code 137)",
        ),
    ],
)
def test_a_pod_that_is_not_ready_says_why(status: Object, why: str) -> None:
    assert why_not_ready([pod(**status)]) == why


def test_every_death_in_a_term_counts_once_also_while_no_controller_runs(tmp_path: Path) -> None:
    terms = {V1: "tag 1", V2: "tag 2"}
    book = PodConduct(tmp_path)
    book.note(terms, [pod(restarts=4)], {V1}, 1.0)  # before this term
    book.note(terms, [pod(restarts=5), pod(V2, "u2")], {V1}, 1.0)
    assert book.all()[V1] == ServerConduct(1, "OOMKilled (exit code 137)")
    assert book.all()[V2].not_ready_s == 2.0
    again = PodConduct(tmp_path)  # after a restart, in which two more died, one in a new pod
    now = [pod(restarts=6), pod(uid="u3", restarts=1), pod(V2, "u2")]
    for _ in range(2):
        again.note(terms, now, {V1, V2}, 1.0)
    assert again.all()[V1].deaths == 3
    again.note({V1: "tag 3"}, now, {V1}, 1.0)  # deployed anew
    assert again.all() == {V1: ServerConduct()}


@pytest.mark.parametrize(
    ("shares", "pods", "percent", "kept"),
    [
        ({V1: 100}, {V1: 8, V2: 1}, 100, {V2: 8}),  # it may be promoted, or rolled back to
        ({V1: 90, V2: 10}, {V1: 8, V2: 1}, 100, {V2: 9}),
        ({V1: 90, V2: 10}, {V1: 8, V2: 1}, 50, {V2: 4}),
        ({V1: 10, V2: 90}, {V1: 8, V2: 20}, 100, {V1: 20}),  # no more than may be
        ({V1: 50, V2: 50}, {V1: 4, V2: 4}, 100, {V2: 8}),
        ({V1: 90, V2: 10}, {V1: 1}, 100, {V2: 1}),
        ({V1: 100}, {V1: 8}, 0, {}),
        ({V1: 100}, {}, 100, {}),
        ({}, {V1: 8}, 100, {}),
    ],
)
def test_versions_follow_the_one_that_serves_most(
    shares: dict[str, int], pods: dict[str, int], percent: int, kept: dict[str, int]
) -> None:
    assert least_pods([V1, V2], shares, pods, percent=percent, most=20) == kept
