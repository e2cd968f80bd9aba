"""What runs in a pod: the server of a version, after a container has pulled its package. Pure.

The pod fits the Pod Security Standard `restricted`: no root, no capabilities, a root file system
that cannot be written. It has no account of the cluster. What it writes lies in two volumes of its
own, the package and /tmp.
"""

from __future__ import annotations

import math
from typing import Any

from facemodels.deployment.kubernetes.target import (
    INSTANCE,
    MANAGER,
    PORT,
    ClusterTarget,
    Object,
    object_name,
    version_annotations,
    version_labels,
)
from facemodels.names import ModelId
from facemodels.registry.state import Entry
from facemodels.routes import LIVE, READY

PULL, SERVER = "pull", "server"  # the names of the containers
USER = 10001  # of the image, see Containerfile
_PACKAGES, _SERVING, _ABOUT = "/packages", "/etc/facemodels/serving", "/etc/facemodels/about"
_TOKENS, _CREDENTIALS = "/etc/facemodels/tokens", "/etc/facemodels/credentials"
_GALLERIES = "/galleries"
SERVING_KEY, ABOUT_KEY = "serving.yaml", "about.json"
_READY_EVERY_S, _START_EVERY_S = 1, 2
_LIVE_FAILURES = 3
_LAST_LINES = "FallbackToLogsOnError"  # the status of a pod tells of what a container died
_SPARE_S = 5  # between the end of a server's own patience and SIGKILL


def pod_template(entry: Entry, target: ClusterTarget, serving_config: str) -> Object:
    """The template of a version's pods.

    Args:
        entry: the version as the registry has it.
        target: the environment and its cluster.
        serving_config: the name of the ConfigMap with conf/serving.yaml; "" for the defaults.
    """
    return {
        "metadata": {
            "labels": {**version_labels(entry.id), **target.labels()},
            "annotations": {
                **version_annotations(entry.id),
                "kubectl.kubernetes.io/default-container": SERVER,
            },
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "terminationGracePeriodSeconds": _grace_s(target),
            "topologySpreadConstraints": [_spread(entry.id, target)],
            **_pull_secrets(target),
            "initContainers": [_pull(entry, target)],
            "containers": [_server(entry, target, serving_config)],
            "volumes": _volumes(entry, target, serving_config),
        },
    }


def selector(identity: str, target: ClusterTarget) -> dict[str, str]:
    """The labels that choose the pods of one version; they never change."""
    return {
        INSTANCE: object_name(identity),
        "facemodels/environment": target.environment,
    }


def _spread(identity: str, target: ClusterTarget) -> Object:
    """Pods of a version go to different nodes where there are some."""
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector(identity, target)},
    }


def _pull_secrets(target: ClusterTarget) -> Object:
    names = target.cluster.pull_secrets
    return {"imagePullSecrets": [{"name": name} for name in names]} if names else {}


def _grace_s(target: ClusterTarget) -> int:
    limits = target.serving.limits
    return math.ceil(target.settings.drain_s + limits.drain_s + limits.grace_s) + _SPARE_S


# --- containers --------------------------------------------------------------------------


def _pull(entry: Entry, target: ClusterTarget) -> Object:
    """The container that fetches the package through Git and DVC, and verifies every byte."""
    digest = entry.evidence.get("package")
    cluster = target.cluster
    container: Object = {
        "name": PULL,
        "image": cluster.image,
        "command": ["facemodels"],
        "args": [
            "pull", entry.id, "--repository", cluster.repository, "--output", _folder(entry.id),
            *(["--digest", str(digest)] if digest else []),
        ],
        "env": _environment(),
        "terminationMessagePolicy": _LAST_LINES,
        "resources": _resources(target),
        "securityContext": _security(),
        "volumeMounts": [_mount("packages", _PACKAGES, write=True), _mount("tmp", "/tmp", write=True)],  # noqa: E501, S108
    }  # fmt: skip
    if cluster.credentials_env:
        container["envFrom"] = [{"secretRef": {"name": cluster.credentials_env}}]
    if cluster.credentials_files:
        container["volumeMounts"].append(_mount("credentials", _CREDENTIALS))
    return container


def _server(entry: Entry, target: ClusterTarget, serving_config: str) -> Object:
    settings, cluster = target.settings, target.cluster
    arguments = ["serve", _folder(entry.id), "--host", "0.0.0.0", "--port", str(PORT)]  # noqa: S104
    arguments += ["--threads", str(settings.threads), "--about", f"{_ABOUT}/{ABOUT_KEY}"]
    mounts = [
        _mount("packages", _PACKAGES),
        _mount("tmp", "/tmp", write=True),  # noqa: S108
        _mount("about", _ABOUT),
    ]
    if serving_config:
        arguments += ["--config", f"{_SERVING}/{SERVING_KEY}"]
        mounts.append(_mount("serving", _SERVING))
    if cluster.tokens_secret:
        arguments += ["--tokens", f"{_TOKENS}/tokens.yaml"]
        mounts.append(_mount("tokens", _TOKENS))
    else:
        arguments.append("--no-auth")
    if _galleries(entry, target):
        for name in settings.galleries:
            arguments += ["--gallery", f"{name}={_GALLERIES}/{name}"]
        mounts.append(_mount("galleries", _GALLERIES))
    return {
        "name": SERVER,
        "image": cluster.image,
        "command": ["facemodels"],
        "args": arguments,
        "env": _environment(),
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        **_probes(target),
        "lifecycle": {"preStop": {"sleep": {"seconds": max(1, math.ceil(settings.drain_s))}}},
        "terminationMessagePolicy": _LAST_LINES,
        "resources": _resources(target),
        "securityContext": _security(),
        "volumeMounts": mounts,
    }


def _probes(target: ClusterTarget) -> Object:
    """Start, readiness and life, in the times that the settings of the environment give."""
    settings = target.settings
    alive_every = max(1, math.floor(settings.hang_s / _LIVE_FAILURES))
    return {
        "startupProbe": {
            **_get(READY.path),
            "periodSeconds": _START_EVERY_S,
            "timeoutSeconds": _START_EVERY_S,
            "failureThreshold": math.ceil(settings.start_s / _START_EVERY_S),
        },
        "readinessProbe": {
            **_get(READY.path),
            "periodSeconds": _READY_EVERY_S,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            **_get(LIVE.path),
            "periodSeconds": alive_every,
            "timeoutSeconds": max(1, math.ceil(settings.hang_s / 2)),
            "failureThreshold": _LIVE_FAILURES,
        },
    }


def _get(path: str) -> Object:
    return {"httpGet": {"path": path, "port": "http"}}


def _environment() -> list[dict[str, str]]:
    """Everything that libraries keep for themselves goes to /tmp."""
    values = {
        "HOME": "/tmp",  # noqa: S108
        "LOGNAME": MANAGER,  # DVC asks for a name, and a cluster may choose a user without one
        "DVC_NO_ANALYTICS": "true",
        "DVC_SITE_CACHE_DIR": "/tmp/dvc",  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return [{"name": name, "value": value} for name, value in values.items()]


def _resources(target: ClusterTarget) -> Object:
    wanted = target.cluster.resources
    return {
        "requests": {"cpu": wanted.cpu, "memory": wanted.memory, "ephemeral-storage": wanted.disk},
        "limits": {"memory": wanted.memory, "ephemeral-storage": wanted.disk},
    }


def _security() -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


# --- volumes -----------------------------------------------------------------------------


def _folder(identity: str) -> str:
    return f"{_PACKAGES}/{ModelId.parse(identity).folder.name}"


def _galleries(entry: Entry, target: ClusterTarget) -> bool:
    """Only systems identify people."""
    return bool(target.settings.galleries) and ModelId.parse(entry.id).name.task == "system"


def _mount(name: str, path: str, *, write: bool = False) -> Object:
    return {"name": name, "mountPath": path} | ({} if write else {"readOnly": True})


def _volumes(entry: Entry, target: ClusterTarget, serving_config: str) -> list[dict[str, Any]]:
    cluster = target.cluster
    disk = {"emptyDir": {"sizeLimit": cluster.resources.disk}}
    volumes: list[dict[str, Any]] = [
        {"name": "packages", **disk},
        {"name": "tmp", **disk},
        {"name": "about", "configMap": {"name": about_name(entry.id)}},
    ]
    if serving_config:
        volumes.append({"name": "serving", "configMap": {"name": serving_config}})
    if cluster.tokens_secret:
        items = [{"key": "tokens.yaml", "path": "tokens.yaml"}]
        tokens = {"secretName": cluster.tokens_secret, "items": items}
        volumes.append({"name": "tokens", "secret": tokens})
    if cluster.credentials_files:
        credentials = {"secretName": cluster.credentials_files, "defaultMode": 0o440}
        volumes.append({"name": "credentials", "secret": credentials})
    if _galleries(entry, target):
        claim = {"claimName": cluster.galleries_claim, "readOnly": True}
        volumes.append({"name": "galleries", "persistentVolumeClaim": claim})
    return volumes


def about_name(identity: str) -> str:
    """The name of the ConfigMap with what the registry says of a version."""
    return f"{object_name(identity)}-about"
