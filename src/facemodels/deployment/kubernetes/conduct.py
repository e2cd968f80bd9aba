"""Counts how often the servers of each version died on a cluster, and how long none was ready."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from pathlib import Path

from facemodels.deployment.kubernetes.pod_states import last_death, restarts
from facemodels.deployment.kubernetes.target import Object, id_of
from facemodels.deployment.servers.conduct import ConductBook
from facemodels.files import write_json
from facemodels.monitoring.analysis.conduct import ServerConduct


class PodConduct:
    """The conduct of every version, over restarts of the controller.

    A pod tells how often its server was started again. What is counted of it is kept in a file, so
    that no death counts twice, and one that happens while no controller runs counts once.

    Args:
        folder: the state folder of the environment.
    """

    def __init__(self, folder: Path) -> None:
        self._book = ConductBook(folder / "pods" / "conduct")
        self._path = folder / "pods" / "restarts.json"
        self._counted: dict[str, int] = {}  # restarts by the pod's uid
        with suppress(OSError, ValueError):
            self._counted = {str(k): int(n) for k, n in json.loads(self._path.read_bytes()).items()}

    def note(
        self, terms: Mapping[str, str], pods: Iterable[Object], ready: Set[str], passed_s: float
    ) -> None:
        """Note what happened since the last time.

        Args:
            terms: the tag by which a version has its place; its conduct is kept since then.
            pods: all pods of the environment.
            ready: the versions with a ready server.
            passed_s: the seconds since the last time.
        """
        self._book.keep(terms)
        new = {identity for identity, event in terms.items() if self._book.begin(identity, event)}
        counted = {}
        for pod in pods:
            identity, uid = id_of(pod), str(pod["metadata"]["uid"])
            total = restarts(pod)
            if identity in terms and identity not in new:
                for _ in range(total - self._counted.get(uid, 0)):
                    self._book.died(identity, last_death(pod))
            counted[uid] = total
        for identity in terms.keys() - ready:
            self._book.waited(identity, passed_s)
        if counted != self._counted:
            self._counted = counted
            with suppress(OSError):  # nothing is lost as long as this controller runs
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_json(self._path, counted)

    def all(self) -> dict[str, ServerConduct]:
        """The conduct of every version, by id."""
        return self._book.all()
