"""What the pods of a version tell: how often a server died and of what, and why one is not ready.

Pure. The kubelet writes it into a pod's status; the last lines of a container that failed are in
its message, as the pods ask for (`terminationMessagePolicy`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from facemodels.deployment.kubernetes.pods import PULL, SERVER
from facemodels.deployment.kubernetes.target import Object

_LONGEST = 300  # characters of a container's last words
_LINES = 4


def restarts(pod: Object) -> int:
    """How often the server of a pod ended and was started again."""
    return sum(int(one.get("restartCount", 0)) for one in _statuses(pod, SERVER))


def last_death(pod: Object) -> str:
    """Why the server of a pod ended the last time; "" if it never did."""
    for one in _statuses(pod, SERVER):
        for state in (one.get("lastState", {}), one.get("state", {})):
            if "terminated" in state:
                return _ended(state["terminated"])
    return ""


def why_not_ready(pods: Iterable[Object]) -> str:
    """Why pods are not ready, with the name of one; "" if nothing is known against any."""
    for pod in sorted(pods, key=lambda one: str(one["metadata"]["name"])):
        for why in _reasons(pod):
            return f"{pod['metadata']['name']}: {why}"
    return ""


def _reasons(pod: Object) -> Iterator[str]:
    status = pod.get("status", {})
    for one in status.get("conditions", ()):
        if (one.get("type"), one.get("status")) == ("PodScheduled", "False"):
            yield _sentence(one.get("reason", ""), one.get("message", ""))
    for name in (PULL, SERVER):
        for one in _statuses(pod, name):
            yield from (f"{name}: {why}" for why in _waits(one))


def _waits(container: Object) -> Iterator[str]:
    """Why a container does not run. One that waits for its turn has no fault."""
    waiting = container.get("state", {}).get("waiting", {})
    ended = container.get("state", {}).get("terminated", {})
    before = container.get("lastState", {}).get("terminated", {})
    if ended.get("exitCode"):
        yield _ended(ended)
    if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
        # Of a pause after a failure the failure says more.
        yield _ended(before) if before else _sentence(waiting["reason"], waiting.get("message", ""))


def _ended(terminated: Object) -> str:
    reason = terminated.get("reason", "")
    code = terminated.get("exitCode")
    head = f"{reason or 'Ended'} (exit code {code})" if code is not None else reason
    return _sentence(head, terminated.get("message", ""))


def _sentence(reason: str, message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return ": ".join(filter(None, (reason, " ".join(lines[-_LINES:])[-_LONGEST:])))


def _statuses(pod: Object, name: str) -> Iterator[Object]:
    status = pod.get("status", {})
    for kind in ("initContainerStatuses", "containerStatuses"):
        yield from (one for one in status.get(kind, ()) if one.get("name") == name)
