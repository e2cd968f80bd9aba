"""Keeps the objects of an environment as they must be, in threads beside the controller's loop.

One thread a kind lists and watches what is in the cluster; one more applies what is missing or
differs, and deletes what nobody wants. It works on levels, not on events: what a lost connection, a
restart or an edit by hand changed is found by comparing again.

Routes come first, and each object that the server refuses waits for itself alone: a rollback waits
for no other object, whatever is wrong with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from facemodels.deployment.kubernetes.client import (
    KINDS,
    ClusterClient,
    key_of,
    retry_after_s,
    status_of,
)
from facemodels.deployment.kubernetes.target import INSTANCE, NAME, Object
from facemodels.errors import FacemodelsError
from facemodels.files import canonical_json

Key = tuple[str, str]  # kind and name
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 30.0  # between two tries of an object that is refused
_LONGEST_DEAF_S = 5.0  # between two tries to reach the server, where it asks for no longer pause
_LOOK_AGAIN_S = 5.0  # also where nothing was heard
_ROUTE = "HTTPRoute"


@dataclass(frozen=True)
class MayStay:
    """Which objects of the environment stay although they are not wanted.

    Attributes:
        models: the models whose routes stay.
        versions: the versions, as their objects are called, whose other objects stay.
        everything: whether nothing is deleted.
    """

    models: frozenset[str] = frozenset()
    versions: frozenset[str] = frozenset()
    everything: bool = False

    def __contains__(self, one: Object) -> bool:
        """Whether this object stays."""
        labels = one["metadata"].get("labels", {})
        if one["kind"] == _ROUTE:
            return self.everything or labels.get(NAME) in self.models
        return self.everything or labels.get(INSTANCE) in self.versions


@dataclass(frozen=True)
class _Refusal:
    """Why an object was refused, and when it is tried again, in seconds of a monotonic clock."""

    why: str
    wait_s: float
    again: float


class Reconciler:
    """Reconciles one environment.

    Args:
        client: the objects of the environment.
        kinds: the kinds that are listed and watched, in the order in which they are applied.
        seen_only: further kinds that are listed and watched, and never changed.
        may_act: whether this controller may change objects now.

    Attributes:
        problem: why the cluster is not as it must be; "" if nothing hinders it.
    """

    def __init__(
        self,
        client: ClusterClient,
        kinds: Sequence[str] = tuple(KINDS),
        seen_only: Sequence[str] = (),
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._may_act = may_act
        self._client = client
        self._lock = threading.Lock()
        self._wake, self._stop = threading.Event(), threading.Event()
        self._wanted: dict[Key, Object] = {}
        self._stays = MayStay(everything=True)
        self._live: dict[str, dict[str, Object]] = {}  # by kind and name; no kind before its list
        # What was applied last, and the fields as the server wrote them then.
        self._applied: dict[Key, tuple[str, Any]] = {}
        self._deaf: dict[str, str] = {}  # why a kind cannot be seen
        self._refused: dict[Key, _Refusal] = {}
        self._log = structlog.get_logger("facemodels.deployment")
        self._kinds = kinds
        self._threads = [
            threading.Thread(target=self._see, args=(kind,), name=f"watch {kind}", daemon=True)
            for kind in (*kinds, *seen_only)
        ]
        self._watching = len(self._threads)
        self._threads.append(threading.Thread(target=self._run, name="reconcile", daemon=True))

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop; the objects stay as they are.

        The watches change nothing and end when they hear something, or when the server ends them:
        a connection that is closed under a thread that reads it may read another one's data.
        """
        self._stop.set()
        self._wake.set()
        self._threads[-1].join(2)

    def look_again(self) -> None:
        """Compare now."""
        self._wake.set()

    @property
    def problem(self) -> str:
        """Why the cluster is not as it must be; "" if nothing hinders it."""
        with self._lock:
            refusals = (one.why for one in self._refused.values())
            return next(iter([*self._deaf.values(), *refusals]), "")

    def want(self, objects: Sequence[Object], stays: MayStay) -> None:
        """Set what must be.

        Args:
            objects: all objects, in the order in which they are applied; routes come before them.
            stays: what may stay of the environment beside them.
        """
        wanted = {key_of(one): one for one in objects}
        with self._lock:
            changed = wanted != self._wanted or stays != self._stays
            self._refused = {
                key: one
                for key, one in self._refused.items()
                if wanted.get(key) == self._wanted.get(key)
            }
            self._wanted, self._stays = wanted, stays
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

    def hears(self, kind: str) -> bool:
        """Whether the objects of a kind are known as they are now."""
        with self._lock:
            return kind in self._live and kind not in self._deaf

    def settled(self, kind: str) -> bool:
        """Whether all wanted objects of a kind are in the cluster as they must be."""
        with self._lock:
            wanted = [key for key in self._wanted if key[0] == kind]
            return kind in self._live and not any(self._differs(key) for key in wanted)

    # --- what is there --------------------------------------------------------------------

    def _see(self, kind: str) -> None:
        """List and watch a kind until the end; the last thread to end closes the connections."""
        self._watch_on(kind)
        with self._lock:
            self._watching -= 1
        if not self._watching:
            self._client.close()

    def _watch_on(self, kind: str) -> None:
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
                    self._stop.wait(_pause_s(error, wait))
                    wait = min(2 * wait, _LONGEST_DEAF_S)

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
            overload = self._turn()
            if overload is None:
                wait = _FIRST_WAIT_S
                self._wake.wait(self._rest_s())
            else:
                # A server that is away says nothing about pauses: what is new is tried at once.
                pause = self._stop if status_of(overload) else self._wake
                pause.wait(_pause_s(overload, wait))
                wait = min(2 * wait, _LONGEST_DEAF_S)

    def _rest_s(self) -> float:
        """The time until an object that was refused is tried again, or until the next look."""
        if not self._may_act():
            return _LOOK_AGAIN_S
        now = time.monotonic()
        with self._lock:
            # One whose time has come may not be due for another reason.
            waits = (max(_FIRST_WAIT_S, one.again - now) for one in self._refused.values())
            return min([_LOOK_AGAIN_S, *waits])

    def _turn(self) -> FacemodelsError | None:
        """Apply and delete what is due; the error that hinders all of the rest, if there is one.

        It ends early when there is news, as that may be a route, which waits for nothing.
        """
        for act, key in self._due():
            if self._stop.is_set() or not self._may_act():
                return None
            try:
                act()
            except FacemodelsError as error:
                if not self._stop.is_set():
                    self._log.warning("cluster refuses", object=" ".join(key), problem=str(error))
                self._refuse(key, error)
                if not 400 <= status_of(error) < 500 or status_of(error) == 429:
                    return error  # the others would only add to the load
            else:
                with self._lock:
                    self._refused.pop(key, None)
            if self._wake.is_set():
                return None
        return None

    def _refuse(self, key: Key, error: FacemodelsError) -> None:
        """Note a refusal; the pause until the next try doubles each time."""
        with self._lock:
            before = self._refused.get(key)
            wait = min(2 * before.wait_s, _LONGEST_WAIT_S) if before else _FIRST_WAIT_S
            self._refused[key] = _Refusal(str(error), wait, time.monotonic() + wait)

    def _due(self) -> list[tuple[Callable[[], None], Key]]:
        """What to apply, routes first, and what to delete: nothing before every kind was seen."""
        now = time.monotonic()
        with self._lock:
            self._refused = {k: one for k, one in self._refused.items() if self._is_open(k)}
            wait = {key for key, one in self._refused.items() if one.again > now}
            due = [
                (self._applying(one), key)
                for key, one in self._wanted.items()
                if key[0] in self._live and key not in wait and self._differs(key)
            ]
            due.sort(key=lambda pair: pair[1][0] != _ROUTE)
            seen = all(kind in self._live for kind in self._kinds)
            left = [
                (kind, name)
                for kind in reversed(self._kinds if seen else ())
                for name, one in self._live[kind].items()
                if (kind, name) not in self._wanted
                and (kind, name) not in wait
                and one not in self._stays
                and "deletionTimestamp" not in one["metadata"]
            ]
        return [*due, *((self._deleting(key), key) for key in left)]

    def _is_open(self, key: Key) -> bool:
        """Whether an object that was refused is still to be applied or deleted."""
        return self._differs(key) if key in self._wanted else key[1] in self._live.get(key[0], {})

    def _differs(self, key: Key) -> bool:
        """Whether an object is missing, was never applied so, or was changed since."""
        live = self._live.get(key[0], {}).get(key[1])
        text, written = self._applied.get(key, ("", None))
        wanted = self._wanted[key]
        return live is None or text != canonical_json(wanted) or part_of(live, wanted) != written

    def _applying(self, one: Object) -> Callable[[], None]:
        kind, name = key_of(one)
        ours = name in self._live[kind]

        def act() -> None:
            made = self._client.apply(one, ours=ours)
            with self._lock:  # what is live, the watches alone say: their order is the server's
                self._applied[key_of(one)] = (canonical_json(one), part_of(made, one))

        return act

    def _deleting(self, key: Key) -> Callable[[], None]:
        def act() -> None:
            self._client.delete(*key)
            with self._lock:
                self._applied.pop(key, None)

        return act


def _pause_s(error: FacemodelsError, wait_s: float) -> float:
    """The pause after an error: as the server asks, within reason."""
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
