"""A small API server of Kubernetes in a thread of the tests.

It knows lists with a selector of labels, watches, server-side apply with field managers and
conflicts (409), deletion, and the refusals that a client must bear: 410 for a version that is too
old, 429, a restart. Fields are owned leaf by leaf; a list is one leaf. Controllers and kubelets of
a cluster are the tests' own calls: `set_ready`, `edit`.
"""

from __future__ import annotations

import copy
import json
import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]
Path = tuple[str, ...]
_KINDS = {
    "configmaps": "ConfigMap",
    "networkpolicies": "NetworkPolicy",
    "servicemonitors": "ServiceMonitor",
    "deployments": "Deployment",
    "services": "Service",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "httproutes": "HTTPRoute",
    "pods": "Pod",
    "leases": "Lease",
    # What a Gateway reads beside the routes.
    "backendtlspolicies": "BackendTLSPolicy",
    "endpointslices": "EndpointSlice",
    "gatewayclasses": "GatewayClass",
    "gateways": "Gateway",
    "grpcroutes": "GRPCRoute",
    "namespaces": "Namespace",
    "referencegrants": "ReferenceGrant",
    "secrets": "Secret",
    "tlsroutes": "TLSRoute",
}


class RefusedError(Exception):
    """A request is answered with a Status."""

    def __init__(self, code: int, reason: str, message: str, **headers: str) -> None:
        self.code, self.headers = code, headers
        self.status = {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
            "reason": reason, "message": message,
        }  # fmt: skip


class ApiServer:
    """One namespace of a cluster.

    Attributes:
        requests: method, kind and name of every request that changed something or was refused.
        busy: how many of the next requests that change something get the status 429.
        refused: kinds whose applies are refused with 403.
        gateway: what the Gateway answers to routes, as status and reason; None if there is none.
        mute: whether watches tell nothing any more and stay open, as after a cut of the network.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._objects: dict[tuple[str, str], Object] = {}
        self._version = 100
        self._history: list[tuple[int, str, Object]] = []  # version, what, object
        self._oldest = 100  # the oldest version that a watch may begin with
        self._watchers: list[tuple[str, queue.SimpleQueue[Any]]] = []
        self.requests: list[tuple[str, str, str]] = []
        self.busy = 0
        self.refused: set[str] = set()
        self.gateway: tuple[str, str] | None = ("True", "Accepted")
        self.mute = False
        self._port = 0
        self.start()

    # --- the process ----------------------------------------------------------------------

    def start(self) -> None:
        """Listen, on the same port as before."""
        self._ends = False
        self._server = _Server(("127.0.0.1", self._port), _handler(self))
        self._port = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def stop(self) -> None:
        """End; watches are cut, objects stay."""
        self._ends = True
        self._server.shutdown()
        self._server.server_close()
        self.cut_watches()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def kubeconfig(self) -> dict[str, Any]:
        """What a client needs to connect."""
        return {
            "clusters": [{"name": "t", "cluster": {"server": self.url}}],
            "users": [{"name": "t", "user": {}}],
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "current-context": "t",
        }

    # --- what others do in the cluster ----------------------------------------------------

    def get(self, kind: str, name: str) -> Object | None:
        """A copy of an object; None if there is none."""
        with self._lock:
            return copy.deepcopy(self._objects.get((kind, name)))

    def names(self, kind: str) -> set[str]:
        """The names of all objects of a kind."""
        with self._lock:
            return {name for k, name in self._objects if k == kind}

    def set_ready(self, name: str, pods: int = 1) -> None:
        """Let a Deployment have ready pods; status is no part of what a client applies."""
        with self._lock:
            found = self._objects["Deployment", name]
            found["status"] = {"availableReplicas": pods} if pods else {}
            self._changed("MODIFIED", found)

    def set_gateway(self, status: str, reason: str) -> None:
        """Let the Gateway judge all routes, now and from now on."""
        with self._lock:
            self.gateway = (status, reason)
            for (kind, _), route in self._objects.items():
                if kind == "HTTPRoute":
                    self._judge(route)
                    self._changed("MODIFIED", route)

    def put_pod(self, deployment: str, **status: Any) -> None:
        """Let a Deployment have a pod with this status."""
        found = self.get("Deployment", deployment)
        assert found is not None
        metadata = copy.deepcopy(found["spec"]["template"]["metadata"])
        metadata |= {"name": deployment, "uid": deployment}
        self.put("Pod", deployment, "kubelet", metadata=metadata, status=status)

    def edit(self, kind: str, name: str, manager: str, **fields: Any) -> None:
        """Server-side apply by another manager, forced, as `kubectl edit` in effect is."""
        found = self.get(kind, name)
        assert found is not None
        wanted = {"apiVersion": found["apiVersion"], "kind": kind, "metadata": {"name": name}}
        self.apply(kind, name, wanted | fields, manager, force=True)

    def put(self, kind: str, name: str, manager: str, **fields: Any) -> None:
        """Server-side apply by somebody else of an object that there may not be yet."""
        found = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
        self.apply(kind, name, found | fields, manager, force=True)

    def forget(self) -> None:
        """Compact the history, so that watches from before get 410, and cut those that go on."""
        with self._lock:
            self._version += 1
            self._oldest = self._version
            self._history.clear()
        self.cut_watches()

    def cut_watches(self) -> None:
        """Close the connections of all watches."""
        with self._lock:
            for _, events in self._watchers:
                events.put(None)
            self._watchers.clear()

    # --- requests -------------------------------------------------------------------------

    def list(self, kind: str, labels: dict[str, str], api: str = "v1") -> Object:
        with self._lock:
            items = [
                copy.deepcopy(one)
                for (k, _), one in sorted(self._objects.items())
                if k == kind and labels.items() <= one["metadata"].get("labels", {}).items()
            ]
            return {
                "kind": f"{kind}List",
                "apiVersion": api,
                "items": items,
                "metadata": {"resourceVersion": str(self._version)},
            }

    def watch(self, kind: str, labels: dict[str, str], version: int) -> Iterator[Object]:
        """Events from a version on, until the watch is cut.

        Raises:
            RefusedError: the version is too old.
        """
        events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        with self._lock:
            if self._ends:
                raise RefusedError(503, "ServiceUnavailable", "the server ends")
            if not version:  # a client that wants a list first, and falls back on `list`
                raise RefusedError(422, "Invalid", "sendInitialEvents is not known")
            if version < self._oldest:
                raise RefusedError(410, "Expired", "too old resource version")
            for at, what, one in self._history:
                if at > version and one["kind"] == kind:
                    events.put((what, one))
            self._watchers.append((kind, events))
        return (
            {"type": what, "object": one}
            for what, one in iter(events.get, None)
            if labels.items() <= one["metadata"].get("labels", {}).items()
        )

    def apply(self, kind: str, name: str, wanted: Object, manager: str, *, force: bool) -> Object:
        """Server-side apply: own the named fields, or conflict with who owns other values."""
        with self._lock:
            self._may(kind)
            live = self._objects.get((kind, name)) or {
                "apiVersion": wanted["apiVersion"],
                "kind": kind,
                "metadata": {"name": name, "managedFields": [], "labels": {}},
            }
            live = copy.deepcopy(live)
            owners = _owners(live)
            leaves = dict(
                _leaves({k: v for k, v in wanted.items() if k not in ("apiVersion", "kind")})
            )
            leaves.pop(("metadata", "name"), None)
            taken = [
                path for path, value in leaves.items()
                for owner, paths in owners.items()
                if owner != manager and path in paths and _value(live, path) != value
            ]  # fmt: skip
            if taken and not force:
                raise RefusedError(409, "Conflict", f"conflict with other managers: {taken}")
            for path in taken:
                for owner in owners:
                    owners[owner] -= {path} if owner != manager else set()
            for path in owners.get(manager, set()) - set(leaves):  # no longer named, ours alone
                if not any(path in paths for owner, paths in owners.items() if owner != manager):
                    _remove(live, path)
            for path, value in leaves.items():
                _put(live, path, value)
            owners[manager] = set(leaves)
            live["metadata"]["managedFields"] = [
                {
                    "manager": owner,
                    "operation": "Apply",
                    "fields": sorted("/".join(p) for p in paths),
                }
                for owner, paths in owners.items()
            ]
            known = (kind, name) in self._objects
            if known and _without_version(live) == _without_version(self._objects[kind, name]):
                return live  # nothing changed: no new version
            metadata, before = live["metadata"], self._objects.get((kind, name), {})
            spec_changed = live.get("spec") != before.get("spec")
            metadata["generation"] = metadata.get("generation", 0) + spec_changed
            self._objects[kind, name] = live
            if kind == "HTTPRoute":
                self._judge(live)
            self._changed("MODIFIED" if known else "ADDED", live)
            self._note("apply", kind, name)
            return copy.deepcopy(live)

    def put_status(self, kind: str, name: str, status: Any) -> Object:
        """What a controller writes into the subresource `status`."""
        with self._lock:
            found = self._objects[kind, name]
            if found.get("status") != status:
                found["status"] = status
                self._changed("MODIFIED", found)
            return copy.deepcopy(found)

    def _judge(self, route: Object) -> None:
        """What the controller of the Gateway writes into the status of a route."""
        if self.gateway is None:
            return
        status, reason = self.gateway
        verdict = {"observedGeneration": route["metadata"]["generation"], "reason": reason}
        kinds = (("Accepted", status), ("ResolvedRefs", "True"))
        conditions = [{"type": kind, "status": one, **verdict} for kind, one in kinds]
        parents = route["spec"].get("parentRefs", [])
        route["status"] = {"parents": [{"parentRef": p, "conditions": conditions} for p in parents]}

    def delete(self, kind: str, name: str) -> Object:
        with self._lock:
            self._may(kind)
            if (kind, name) not in self._objects:
                raise RefusedError(404, "NotFound", f"{kind} {name} not found")
            gone = self._objects.pop((kind, name))
            self._changed("DELETED", gone)
            self._note("delete", kind, name)
            return gone

    def _note(self, what: str, kind: str, name: str) -> None:
        if kind != "Lease":  # it is renewed at any time
            self.requests.append((what, kind, name))

    def _may(self, kind: str) -> None:
        if self.busy:
            self.busy -= 1
            self.requests.append(("429", kind, ""))
            raise RefusedError(429, "TooManyRequests", "slow down", **{"Retry-After": "0"})
        if kind in self.refused:
            raise RefusedError(403, "Forbidden", f"cannot patch {kind}")

    def _changed(self, what: str, one: Object) -> None:
        self._version += 1
        one["metadata"]["resourceVersion"] = str(self._version)
        seen = copy.deepcopy(one)
        self._history.append((self._version, what, seen))
        for kind, events in self._watchers:
            if kind == one["kind"] and not self.mute:
                events.put((what, seen))


# --- fields ----------------------------------------------------------------------------------


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _owners(live: Object) -> dict[str, set[Path]]:
    return {
        one["manager"]: {tuple(path.split("/")) for path in one["fields"]}
        for one in live["metadata"].get("managedFields", ())
    }


def _value(live: Any, path: Path) -> Any:
    for key in path:
        live = live.get(key) if isinstance(live, dict) else None
    return live


def _put(live: Object, path: Path, value: Any) -> None:
    for key in path[:-1]:
        live = live.setdefault(key, {})
    live[path[-1]] = copy.deepcopy(value)


def _remove(live: Object, path: Path) -> None:
    for key in path[:-1]:
        live = live.get(key, {})
    live.pop(path[-1], None)


def _without_version(one: Object) -> Object:
    kept = {k: v for k, v in one["metadata"].items() if k != "resourceVersion"}
    return {**one, "metadata": kept}


# --- HTTP ------------------------------------------------------------------------------------


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that died in mid-request is part of the tests."""


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _run(self) -> None:
            parts = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            words = parts.path.strip("/").split("/")
            api = "/".join(words[1 : 2 if words[0] == "api" else 3])
            words = words[2 if words[0] == "api" else 3 :]
            words = words[2 if words[0] == "namespaces" and len(words) > 2 else 0 :]
            kind, name, part = _KINDS[words[0]], *(*words[1:], "", "")[:2]
            pairs = [
                pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair
            ]
            labels = dict(pairs)
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            try:
                if query.get("watch") in ("true", "1"):
                    version = int(query.get("resourceVersion") or 0)
                    self._stream(server.watch(kind, labels, version))
                elif self.command == "GET" and name:
                    found = server.get(kind, name)
                    self._answer(200 if found else 404, found or {"kind": "Status", "code": 404})
                elif self.command == "GET":
                    self._answer(200, server.list(kind, labels, api))
                elif part == "status":
                    self._answer(200, server.put_status(kind, name, json.loads(body)["status"]))
                elif self.command == "PATCH":
                    assert self.headers["content-type"] == "application/apply-patch+yaml"
                    force = query.get("force") == "true"
                    wanted = json.loads(body)
                    self._answer(
                        200, server.apply(kind, name, wanted, query["fieldManager"], force=force)
                    )
                else:
                    self._answer(200, server.delete(kind, name))
            except RefusedError as refusal:
                self._answer(refusal.code, refusal.status, refusal.headers)

        do_GET = do_PATCH = do_PUT = do_DELETE = _run  # noqa: N815

        def _stream(self, events: Iterator[Object]) -> None:
            """Send events until the watch is cut or nobody reads them any more."""
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("connection", "close")
            self.end_headers()
            self.wfile.flush()
            self.close_connection = True
            with suppress(OSError):
                for event in events:
                    self.wfile.write(json.dumps(event).encode() + b"\n")
                self.wfile.write(b'{"type": "MODI')  # it is cut in mid-line

        def _answer(self, code: int, value: Object, headers: dict[str, str] | None = None) -> None:
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for key, text in (headers or {}).items():
                self.send_header(key, text)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing."""

    return Handler
