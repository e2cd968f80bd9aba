"""The objects of a version: what it runs on, and how it is reached inside of the cluster. Pure."""

from __future__ import annotations

import math

from facemodels.deployment.kubernetes.pods import (
    ABOUT_KEY,
    SERVER,
    about_name,
    pod_template,
    selector,
)
from facemodels.deployment.kubernetes.target import (
    ClusterTarget,
    Object,
    object_name,
    version_annotations,
    version_labels,
)
from facemodels.files import canonical_json
from facemodels.registry.state import Entry

_PULL_S = 600  # that the package may take to arrive, before the Deployment says that it fails
_DOWN_S = 300  # of less load before a server is taken away


def version_objects(
    entry: Entry, target: ClusterTarget, serving_config: str, least_pods: int = 0
) -> list[Object]:
    """ConfigMap, Deployment, Service, PodDisruptionBudget and HorizontalPodAutoscaler.

    With KServe an InferenceService stands for all but the first and the budget.

    Args:
        entry: the version as the registry has it.
        target: the environment and its cluster.
        serving_config: the name of the ConfigMap with conf/serving.yaml; "" for the defaults.
        least_pods: the pods that it keeps, where these are more than `replicas`.
    """
    if target.kserve:
        return [
            _about(entry, target),
            _inference_service(entry, target, serving_config),
            _disruption_budget(entry, target),
        ]
    return [
        _about(entry, target),
        _deployment(entry, target, serving_config),
        _service(entry, target),
        _disruption_budget(entry, target),
        _autoscaler(entry, target, least_pods),
    ]


def _object(kind: str, api: str, entry: Entry, target: ClusterTarget, name: str = "") -> Object:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": target.metadata(
            name or object_name(entry.id), version_labels(entry.id), version_annotations(entry.id)
        ),
    }


def _about(entry: Entry, target: ClusterTarget) -> Object:
    """What `GET /api/model/info` says beside the card; a server reads it again when it changes."""
    found = _object("ConfigMap", "v1", entry, target, about_name(entry.id))
    return found | {"data": {ABOUT_KEY: canonical_json(entry.as_json())}}


def _deployment(entry: Entry, target: ClusterTarget, serving_config: str) -> Object:
    """The servers. Their number is the autoscaler's, so it is not named here."""
    return _object("Deployment", "apps/v1", entry, target) | {
        "spec": {
            "selector": {"matchLabels": selector(entry.id, target)},
            "revisionHistoryLimit": 3,
            "progressDeadlineSeconds": _PULL_S + math.ceil(target.settings.start_s),
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": pod_template(entry, target, serving_config),
        }
    }


def _inference_service(entry: Entry, target: ClusterTarget, serving_config: str) -> Object:
    """One InferenceService, in the mode that makes a plain Deployment.

    That mode ignores `canaryTrafficPercent` (kserve#5335), so the shares stay with our HTTPRoute.
    """
    found = _object("InferenceService", "serving.kserve.io/v1beta1", entry, target)
    template = pod_template(entry, target, serving_config)
    (server,) = template["spec"].pop("containers")
    modes = {"serving.kserve.io/deploymentMode": "RawDeployment"}
    found["metadata"]["annotations"] |= modes
    predictor = {
        "minReplicas": target.settings.replicas,
        "maxReplicas": target.cluster.max_replicas,
        "scaleMetric": "cpu",
        "scaleTarget": target.cluster.cpu_percent,
        "containers": [{**server, "name": "kserve-container"}],  # KServe looks for this name
        **template["spec"],
    }
    return found | {"spec": {"predictor": predictor}}


def _service(entry: Entry, target: ClusterTarget) -> Object:
    port = {
        "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP", "appProtocol": "http",
    }  # fmt: skip
    return _object("Service", "v1", entry, target) | {
        "spec": {"type": "ClusterIP", "selector": selector(entry.id, target), "ports": [port]}
    }


def _disruption_budget(entry: Entry, target: ClusterTarget) -> Object:
    """One pod at a time may be evicted; `minAvailable: 1` would block a node with the only one."""
    return _object("PodDisruptionBudget", "policy/v1", entry, target) | {
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(entry.id, target)},
        }
    }


def _autoscaler(entry: Entry, target: ClusterTarget, least_pods: int) -> Object:
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(entry.id)}
    use = {"type": "Utilization", "averageUtilization": target.cluster.cpu_percent}
    return _object("HorizontalPodAutoscaler", "autoscaling/v2", entry, target) | {
        "spec": {
            "scaleTargetRef": scaled,
            "minReplicas": max(target.settings.replicas, least_pods),
            "maxReplicas": target.cluster.max_replicas,
            "metrics": [
                {
                    "type": "ContainerResource",
                    "containerResource": {"name": "cpu", "container": SERVER, "target": use},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": _DOWN_S}},
        }
    }
