"""Talks to an API server: lists, watches, applies and deletes the objects of an environment.

lightkube is the extra `facemodels[kubernetes]`; this is the only module that imports it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from facemodels.deployment.kubernetes.target import Object
from facemodels.errors import FacemodelsError, InputError, ToolError

if TYPE_CHECKING:
    from lightkube import Client

# Plural and group by kind, in the order in which objects are applied.
KINDS = {
    "ConfigMap": ("configmaps", "", "v1"),
    "NetworkPolicy": ("networkpolicies", "networking.k8s.io", "v1"),
    "ServiceMonitor": ("servicemonitors", "monitoring.coreos.com", "v1"),
    "Deployment": ("deployments", "apps", "v1"),
    "Service": ("services", "", "v1"),
    "PodDisruptionBudget": ("poddisruptionbudgets", "policy", "v1"),
    "HorizontalPodAutoscaler": ("horizontalpodautoscalers", "autoscaling", "v2"),
    "HTTPRoute": ("httproutes", "gateway.networking.k8s.io", "v1"),
}
_OTHERS = {"Pod": ("pods", "", "v1"), "Lease": ("leases", "coordination.k8s.io", "v1")}
_WATCH_S = 60.0  # after so long the server ends a watch, and a new one begins


@dataclass(frozen=True)
class Seen:
    """An event of a watch.

    Attributes:
        object: the object as it is now, or was when it was deleted.
        deleted: whether it is gone.
    """

    object: Object
    deleted: bool


class ClusterClient:
    """The objects of one environment in one namespace.

    Args:
        namespace: the namespace.
        labels: the labels of every object of the environment; nothing else is listed.
        manager: the name under which fields are owned.
        kubeconfig: the configuration of the connection; None reads $KUBECONFIG, ~/.kube/config or
            the account of the pod.
        watch_s: the seconds after which the server ends a watch.

    Raises:
        InputError: lightkube is not installed, or there is no configuration.
    """

    def __init__(
        self,
        namespace: str,
        labels: dict[str, str],
        manager: str,
        kubeconfig: dict[str, Any] | None = None,
        *,
        watch_s: float = _WATCH_S,
    ) -> None:
        self._namespace = namespace
        self._labels: dict[str, Any] = dict(labels)
        self._client = _connect(kubeconfig, manager)
        self._watch_s = watch_s
        # lightkube reads a watch without a timeout, so one whose peer went away silently would be
        # believed for ever.
        self._client._client._watch_timeout.read = 1.25 * watch_s

    def list(self, kind: str) -> tuple[list[Object], str]:
        """The objects of a kind, and the version of the list, from which a watch goes on.

        Raises:
            ToolError: the server refused, or does not answer.
        """
        with _errors(f"list {kind}"):
            found = self._client.list(
                _resource(kind), namespace=self._namespace, labels=self._labels
            )
            objects = [_plain(one) for one in found]
            return objects, str(found.resourceVersion)

    def watch(self, kind: str, version: str) -> Iterator[Seen]:
        """What happens to the objects of a kind from a version on; never ends by itself.

        Raises:
            ToolError: the server refused (410: the version is too old, list anew), or is away.
        """
        with _errors(f"watch {kind}"):
            events = self._client.watch(
                _resource(kind),
                namespace=self._namespace,
                labels=self._labels,
                resource_version=version,
                server_timeout=math.ceil(self._watch_s),
            )
            for what, found in events:
                yield Seen(_plain(found), deleted=what == "DELETED")

    def get(self, kind: str, name: str) -> Object:
        """One object as it is now.

        Raises:
            ToolError: there is none, the server refused, or does not answer.
        """
        with _errors(f"read {kind} {name}"):
            return _plain(self._client.get(_resource(kind), name, namespace=self._namespace))

    def apply(self, wanted: Object, *, ours: bool, manager: str | None = None) -> Object:
        """Make an object's named fields what they must be.

        Server-side apply with a field manager of our own: fields that are not named, such as the
        number of replicas, stay with whoever owns them. Fields of an object of the environment are
        taken over from others; a stranger's object of that name is left as it is.

        Args:
            wanted: the object.
            ours: whether the cluster is known to have it with the labels of the environment.
            manager: the name under which the fields are owned, if it is another one.

        Returns:
            The object as the server has it now.

        Raises:
            ToolError: the server refused, or does not answer.
        """
        kind, name = key_of(wanted)
        with _errors(f"apply {kind} {name}"):
            made = self._client.apply(_resource(kind)(wanted), field_manager=manager, force=ours)
            return _plain(made)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; one that is gone already is no error.

        Raises:
            ToolError: the server refused, or does not answer.
        """
        try:
            with _errors(f"delete {kind} {name}"):
                self._client.delete(_resource(kind), name, namespace=self._namespace)
        except ToolError as error:
            if status_of(error) != 404:
                raise

    def close(self) -> None:
        """Close the connections. No thread may be in a call of this client any more."""
        self._client.close()


def key_of(one: Object) -> tuple[str, str]:
    """Kind and name of an object."""
    return one["kind"], one["metadata"]["name"]


@cache
def _resource(kind: str) -> Any:
    from lightkube.generic_resource import create_namespaced_resource

    plural, group, version = (KINDS | _OTHERS)[kind]
    return create_namespaced_resource(group, version, kind, plural)


def _plain(found: Any) -> Object:
    """The JSON of an object of lightkube."""
    plain: Object = found.to_dict()
    return plain


def _connect(kubeconfig: dict[str, Any] | None, manager: str) -> Client:
    try:
        from lightkube import Client
        from lightkube.config.kubeconfig import KubeConfig
        from lightkube.core.exceptions import ConfigError
    except ImportError as error:
        raise InputError(
            "backend: kubernetes needs lightkube.", "pip install 'facemodels[kubernetes]'"
        ) from error
    try:
        config = KubeConfig.from_dict(kubeconfig) if kubeconfig else KubeConfig.from_env()
        return Client(config=config, field_manager=manager, trust_env=kubeconfig is None)
    except ConfigError as error:
        raise InputError(
            f"no cluster is configured: {error}.", "Set KUBECONFIG, or run in a pod."
        ) from error


def status_of(error: FacemodelsError) -> int:
    """The status of HTTP with which the server refused; 0 if it did not answer."""
    refusal = error.__cause__
    if isinstance(refusal, _api_error()):
        return int(refusal.status.code or refusal.response.status_code)
    # The answer to a watch, or that of a proxy, whose text is no Status.
    return int(getattr(getattr(refusal, "response", None), "status_code", 0))


def retry_after_s(error: FacemodelsError) -> float:
    """The seconds after which the server asks to come back; 0 if it does not."""
    response = getattr(error.__cause__, "response", None)
    text = response.headers.get("retry-after", "") if response is not None else ""
    return float(text) if text.isascii() and text.isdigit() else 0.0


@cache
def _api_error() -> Any:
    from lightkube.core.exceptions import ApiError

    return ApiError


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Turn the errors of lightkube into ours; the functions above read the cause."""
    try:
        yield
    except _api_error() as error:
        taken = error.status.code == 409
        raise ToolError(
            f"cannot {what}: {error}.",
            "If the object is somebody else's, rename or delete it; nothing of it was changed."
            if taken
            else "`kubectl auth can-i --list` shows what the controller may do.",
        ) from error
    # Whatever it is (a connection, a plugin for credentials, half a line of JSON): a thread that
    # ended by it would leave a kind of objects unseen for ever.
    except Exception as error:
        raise ToolError(
            f"cannot {what}: the API server does not answer ({error}).",
            "What serves goes on; it is tried again.",
        ) from error
