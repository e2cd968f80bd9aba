"""Keeps the objects of an environment as they must be, in threads beside the controller's loop.

One thread a kind lists and watches what is in the cluster; one more applies what is missing or
differs, in order, and deletes what nobody wants. It works on levels, not on events: what a lost
connection, a restart or an edit by hand changed is found by comparing again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from facemodels.deployment.kubernetes.client import (
    KINDS,
    ClusterClient,
    key_of,
    retry_after_s,
    status_of,
)
from facemodels.deployment.kubernetes.target import Object
from facemodels.errors import FacemodelsError
from facemodels.files import canonical_json

Key = tuple[str, str]  # kind and name
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 30.0
_LOOK_AGAIN_S = 5.0  # also where nothing was heard


class Reconciler:
    """Reconciles one environment.

    Args:
        client: the objects of the environment.
        kinds: the kinds that are listed and watched.

    Attributes:
        problem: why the cluster is not as it must be; "" if nothing hinders it.
    """

    def __init__(self, client: ClusterClient, kinds: Sequence[str] = tuple(KINDS)) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._wanted: dict[Key, Object] = {}
        self._keep: Callable[[Object], bool] = lambda _: True
        self._live: dict[str, dict[str, Object]] = {}  # by kind and name; no kind before its list
        # What was applied last, and the fields as the server wrote them then.
        self._applied: dict[Key, tuple[str, Any]] = {}
        self._deaf: dict[str, str] = {}  # why a kind cannot be seen
        self._refused: dict[Key, str] = {}
        self._log = structlog.get_logger("facemodels.deployment")
        self._kinds = kinds
        self._threads = [
            threading.Thread(target=self._see, args=(kind,), name=f"watch {kind}", daemon=True)
            for kind in kinds
        ]
        self._threads.append(threading.Thread(target=self._run, name="reconcile", daemon=True))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; the objects stay as they are."""
        self._stop.set()
        self._wake.set()
        self._client.close()
        self._threads[-1].join(2)  # the others wait for the server, and change nothing

    @property
    def problem(self) -> str:
        """Why the cluster is not as it must be; "" if nothing hinders it."""
        with self._lock:
            return next(iter([*self._deaf.values(), *self._refused.values()]), "")

    def want(self, objects: Sequence[Object], keep: Callable[[Object], bool]) -> None:
        """Set what must be.

        Args:
            objects: all objects, in the order in which they are applied.
            keep: whether an object of the environment that is not among them may stay.
        """
        wanted = {key_of(one): one for one in objects}
        with self._lock:
            changed = wanted != self._wanted or list(wanted) != list(self._wanted)
            self._wanted, self._keep = wanted, keep
            self._refused = {key: why for key, why in self._refused.items() if key in wanted}
        if changed:
            self._wake.set()

    def live(self, kind: str) -> list[Object]:
        """The objects of a kind in the cluster, as they were seen last."""
        with self._lock:
            return list(self._live.get(kind, {}).values())

    def has_seen(self, kind: str) -> bool:
        """Whether the objects of a kind were ever listed."""
        with self._lock:
            return kind in self._live

    def settled(self, kind: str) -> bool:
        """Whether all wanted objects of a kind are in the cluster as they must be."""
        with self._lock:
            wanted = [key for key in self._wanted if key[0] == kind]
            return kind in self._live and not any(self._differs(key) for key in wanted)

    # --- what is there --------------------------------------------------------------------

    def _see(self, kind: str) -> None:
        """List and watch a kind, again and again."""
        wait = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                found, version = self._client.list(kind)
                with self._lock:
                    self._live[kind] = {key_of(one)[1]: one for one in found}
                    self._deaf.pop(kind, None)
                self._wake.set()
                wait = _FIRST_WAIT_S
                self._follow(kind, version)
            except FacemodelsError as error:
                if self._stop.is_set():
                    return
                if status_of(error) != 410:
                    with self._lock:
                        self._deaf[kind] = str(error)
                    self._stop.wait(_patience(error, wait))
                    wait = min(2 * wait, _LONGEST_WAIT_S)

    def _follow(self, kind: str, version: str) -> None:
        for seen in self._client.watch(kind, version):
            _, name = key_of(seen.object)
            with self._lock:
                if seen.deleted:
                    self._live[kind].pop(name, None)
                else:
                    self._live[kind][name] = seen.object
            self._wake.set()
            if self._stop.is_set():
                return

    # --- what must be ---------------------------------------------------------------------

    def _run(self) -> None:
        wait = _FIRST_WAIT_S
        while not self._stop.is_set():
            self._wake.clear()
            failed = self._turn()
            if failed is None:
                wait = _FIRST_WAIT_S
                self._wake.wait(_LOOK_AGAIN_S)
            else:
                self._stop.wait(_patience(failed, wait))
                wait = min(2 * wait, _LONGEST_WAIT_S)

    def _turn(self) -> FacemodelsError | None:
        """Apply and delete what is due; an error that hinders the rest, or the last refusal."""
        last: FacemodelsError | None = None
        for act, key in self._due():
            if self._stop.is_set():
                return None
            try:
                act()
            except FacemodelsError as error:
                if not self._stop.is_set():
                    self._log.warning("cluster refuses", object=" ".join(key), problem=str(error))
                with self._lock:
                    self._refused[key] = str(error)
                last = error
                if not 400 <= status_of(error) < 500 or status_of(error) == 429:
                    return error  # the others would only add to the load
            else:
                with self._lock:
                    self._refused.pop(key, None)
        return last

    def _due(self) -> list[tuple[Callable[[], None], Key]]:
        with self._lock:
            if any(kind not in self._live for kind in self._kinds):
                return []  # nothing is applied or deleted before all was seen
            due = [
                (self._applying(one), key)
                for key, one in self._wanted.items()
                if self._differs(key)
            ]
            left = [
                (kind, name)
                for kind in reversed(self._kinds)
                for name, one in self._live[kind].items()
                if (kind, name) not in self._wanted
                and not self._keep(one)
                and "deletionTimestamp" not in one["metadata"]
            ]
        return [*due, *((self._deleting(key), key) for key in left)]

    def _differs(self, key: Key) -> bool:
        """Whether an object is missing, was never applied so, or was changed since."""
        live = self._live.get(key[0], {}).get(key[1])
        text, written = self._applied.get(key, ("", None))
        wanted = self._wanted[key]
        return live is None or text != canonical_json(wanted) or part_of(live, wanted) != written

    def _applying(self, one: Object) -> Callable[[], None]:
        def act() -> None:
            made = self._client.apply(one)
            with self._lock:  # what is live, the watches alone say: their order is the server's
                self._applied[key_of(one)] = (canonical_json(one), part_of(made, one))

        return act

    def _deleting(self, key: Key) -> Callable[[], None]:
        def act() -> None:
            self._client.delete(*key)
            with self._lock:
                self._applied.pop(key, None)

        return act


def _patience(error: FacemodelsError, wait_s: float) -> float:
    """The pause after an error: as the server asks, and longer each time."""
    return min(max(retry_after_s(error), wait_s), _LONGEST_WAIT_S)


def part_of(live: Any, named: Any) -> Any:
    """Those fields of an object that another one names.

    Lists are taken as a whole where their lengths differ; else element by element, so that a
    field that the server filled in does not count as a difference.

    Args:
        live: an object, or a value in it.
        named: the object that names fields, or the value at the same place.
    """
    if isinstance(live, dict) and isinstance(named, dict):
        return {key: part_of(live[key], one) for key, one in named.items() if key in live}
    if isinstance(live, list) and isinstance(named, list) and len(live) == len(named):
        return [part_of(one, other) for one, other in zip(live, named, strict=True)]
    return live
