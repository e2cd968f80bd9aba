"""What the tests of Kubernetes' objects share: an environment on a cluster, and schemas."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from facemodels.deployment.kubernetes.manifests import cluster_target, objects
from facemodels.deployment.kubernetes.plan import plan
from facemodels.deployment.kubernetes.target import ClusterTarget, Object
from facemodels.deployment.settings import Environment
from facemodels.registry.state import State

ROOT = Path(__file__).resolve().parents[4]
CRDS = ROOT.parent / "shared" / "crds"
LEAST = {
    "image": "registry.example.org/facemodels:1.0.0",
    "repository": "https://git.example.org/faces.git",
    "gateway": {"name": "public", "namespace": "gateways", "mirrors": True},
    "egress": [{"cidr": "0.0.0.0/0", "ports": [443]}],
    "no_auth": True,
}
FULL = {
    **LEAST,
    "gateway": {
        "name": "public",
        "namespace": "gateways",
        "pods_namespace": "envoy-gateway-system",
        "section": "https",
        "hostnames": ["faces.example.org"],
        "mirrors": True,
    },
    "egress": [{"cidr": "10.20.0.0/16", "ports": [22, 443]}, {"namespace": "storage"}],
    "dns_namespace": "kube-system",
    "no_auth": False,
    "tokens_secret": "tokens",
    "metrics_secret": "metrics-token",
    "monitoring_namespace": "monitoring",
    "credentials_env": "storage",
    "credentials_files": "git-ssh",
    "pull_secrets": ["registry"],
    "galleries_claim": "galleries",
}


def target(
    cluster: dict[str, Any] | None = None, environment: str = "production", **settings: Any
) -> ClusterTarget:
    """An environment of this repository's conf/serving.yaml on a cluster."""
    loaded = Environment.model_validate(
        {
            "address": {"port": 8080},
            "control": {"port": 8081},
            "backend": "kubernetes",
            "kubernetes": cluster or LEAST,
            **settings,
        }
    )
    return cluster_target(ROOT, environment, loaded)


def made(state: State, where: ClusterTarget | None = None) -> list[Object]:
    """All objects of an environment for the time when every version is ready."""
    known = where or target()
    return objects(plan(state, known), known)


def one(found: list[Object], kind: str, name: str) -> Object:
    """The object of this kind and name."""
    return next(o for o in found if (o["kind"], o["metadata"]["name"]) == (kind, name))


# --- the schema of HTTPRoute ---------------------------------------------------------------


@cache
def _schema() -> dict[str, Any]:
    path = CRDS / "gateway.networking.k8s.io_httproutes.yaml"
    if not path.is_file():
        pytest.skip(f"{path} is absent: Gateway API's schemas are not part of the repository")
    crd = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)  # a safe one, in C
    versions = {version["name"]: version for version in crd["spec"]["versions"]}
    return versions["v1"]["schema"]["openAPIV3Schema"]


def faults(route: Object) -> list[str]:
    """What the schema of HTTPRoute and its CEL rules have against an object."""
    from jsonschema import Draft4Validator

    schema = _schema()
    # A structural schema names every key; the API server refuses others in strict mode.
    unknown = list(_unknown(schema, route, ""))
    errors = [f"{e.json_path}: {e.message}" for e in Draft4Validator(schema).iter_errors(route)]
    return [*unknown, *errors, *_broken_rules(schema, route, "")]


def _unknown(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and "properties" in schema:
        for key, inner in value.items():
            if key in schema["properties"]:
                yield from _unknown(schema["properties"][key], inner, f"{path}.{key}")
            elif schema["properties"]:
                yield f"{path}.{key}: no such field"
    for inner in value if isinstance(value, list) else ():
        yield from _unknown(schema.get("items", {}), inner, f"{path}[]")


def _broken_rules(schema: dict[str, Any], value: Any, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        if _compiled(rule["rule"]).execute({"self": _escaped(value)}) is not True:
            yield f"{path}: {rule['message']}"
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _broken_rules(
                schema.get("properties", {}).get(key, {}), inner, f"{path}.{key}"
            )
    for inner in value if isinstance(value, list) else ():
        yield from _broken_rules(schema.get("items", {}), inner, f"{path}[]")


@cache
def _compiled(rule: str) -> Any:
    return pytest.importorskip("cel").compile(rule)


def _escaped(value: Any) -> Any:
    """Kubernetes writes fields that are words of CEL with underscores around them."""
    if isinstance(value, dict):
        return {
            f"__{key}__" if key == "namespace" else key: _escaped(v) for key, v in value.items()
        }
    return [_escaped(v) for v in value] if isinstance(value, list) else value
