"""The objects of a model beside its route: who scrapes its servers, and who may call them. Pure."""

from __future__ import annotations

from facemodels.deployment.kubernetes.target import (
    PORT,
    ClusterTarget,
    Object,
    model_labels,
    object_name,
)
from facemodels.deployment.kubernetes_settings import EgressPeer
from facemodels.routes import METRICS

_NAMESPACE = "kubernetes.io/metadata.name"  # a label that every namespace has


def model_objects(model: str, target: ClusterTarget) -> list[Object]:
    """NetworkPolicy, and ServiceMonitor where somebody scrapes."""
    scraped = bool(target.cluster.monitoring_namespace)
    monitors = [_service_monitor(model, target)] if scraped else []
    return [_network_policy(model, target), *monitors]


def _object(kind: str, api: str, model: str, target: ClusterTarget) -> Object:
    metadata = target.metadata(object_name(model), model_labels(model))
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


def _pods(model: str, target: ClusterTarget) -> dict[str, str]:
    return {**model_labels(model), "facemodels/environment": target.environment}


def _network_policy(model: str, target: ClusterTarget) -> Object:
    """The gateway and Prometheus may call; the pods may look up names, and pull packages."""
    cluster = target.cluster
    callers = [cluster.gateway.pods_namespace or cluster.gateway.namespace]
    callers += [cluster.monitoring_namespace] if cluster.monitoring_namespace else []
    names: Object = {"ports": [{"protocol": one, "port": 53} for one in ("UDP", "TCP")]}
    names |= {"to": [_namespace(cluster.dns_namespace)]} if cluster.dns_namespace else {}
    return _object("NetworkPolicy", "networking.k8s.io/v1", model, target) | {
        "spec": {
            "podSelector": {"matchLabels": _pods(model, target)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [_namespace(one) for one in callers],
                    "ports": [{"protocol": "TCP", "port": PORT}],
                }
            ],
            "egress": [names, *(_egress(peer) for peer in cluster.egress)],
        }
    }


def _egress(peer: EgressPeer) -> Object:
    to: Object = {"ipBlock": {"cidr": peer.cidr}} if peer.cidr else _namespace(peer.namespace)
    return {"to": [to], "ports": [{"protocol": "TCP", "port": port} for port in peer.ports]}


def _namespace(name: str) -> Object:
    return {"namespaceSelector": {"matchLabels": {_NAMESPACE: name}}}


def _service_monitor(model: str, target: ClusterTarget) -> Object:
    """Prometheus Operator's order to scrape, with the labels that our rules and verdicts read."""
    interval = f"{round(target.settings.scrape_interval_s * 1000)}ms"
    endpoint: Object = {
        "port": "http",
        "path": METRICS.path,
        "interval": interval,
        "scrapeTimeout": interval,
        "honorLabels": True,  # the servers' own labels would be renamed to `exported_…`
        "relabelings": [
            _relabel("service_label_app_kubernetes_io_name", "model_name"),
            _relabel("service_label_app_kubernetes_io_version", "model_version"),
            _relabel("pod_name", "instance"),
        ],
    }
    if target.cluster.metrics_secret:
        credentials = {"name": target.cluster.metrics_secret, "key": "token"}
        endpoint["authorization"] = {"type": "Bearer", "credentials": credentials}
    return _object("ServiceMonitor", "monitoring.coreos.com/v1", model, target) | {
        "spec": {"selector": {"matchLabels": _pods(model, target)}, "endpoints": [endpoint]}
    }


def _relabel(source: str, name: str) -> Object:
    return {"sourceLabels": [f"__meta_kubernetes_{source}"], "targetLabel": name}
