"""All objects of an environment, in the order in which they are applied. Pure.

Equal tags and settings give equal bytes, so a repository of manifests changes only when the plan
does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from facemodels.deployment.kubernetes.http_routes import model_route, version_routes
from facemodels.deployment.kubernetes.models import model_objects
from facemodels.deployment.kubernetes.plan import ClusterPlan
from facemodels.deployment.kubernetes.pods import SERVING_KEY
from facemodels.deployment.kubernetes.target import ClusterTarget, Object
from facemodels.deployment.kubernetes.versions import version_objects
from facemodels.deployment.settings import Environment
from facemodels.errors import InputError
from facemodels.serving.settings import load as load_serving


def cluster_target(
    root: Path, environment: str, settings: Environment, *, kserve: bool = False
) -> ClusterTarget:
    """The environment and its cluster, with the serving settings of the repository.

    Args:
        root: the root folder of the repository.
        environment: `staging` or `production`.
        settings: the settings of the environment.
        kserve: whether KServe makes Deployments, Services and autoscalers.

    Raises:
        InputError: the settings have no section `kubernetes`.
        ParamsError: conf/serving.yaml does not fit its schema.
    """
    if settings.kubernetes is None:
        raise InputError(
            f"conf/deploy/{environment}.yaml has no section `kubernetes`.",
            "docs/kubernetes.md shows the least of it: image, repository, gateway, egress.",
        )
    path = root / settings.serving
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    serving = load_serving(path if text else None)
    return ClusterTarget(environment, settings, settings.kubernetes, serving, text, kserve)


def objects(plan: ClusterPlan, target: ClusterTarget) -> list[Object]:
    """The objects of a plan: what servers need, the servers, then what leads to them."""
    config = serving_config(target)
    versions = [
        one
        for entry in plan.versions.values()
        for one in version_objects(entry, target, config["metadata"]["name"] if config else "")
    ]
    models = [one for model in sorted(plan.wanted) for one in model_objects(model, target)]
    return [*([config] if config else []), *models, *versions, *route_objects(plan, target)]


def route_objects(plan: ClusterPlan, target: ClusterTarget) -> list[Object]:
    """The HTTPRoutes of a plan: of every model, then of every version."""
    of_models = [
        model_route(route, target, default=route.model == plan.default) for route in plan.routes
    ]
    of_versions = [one for route in plan.routes for one in version_routes(route, target)]
    return [*of_models, *of_versions]


def serving_config(target: ClusterTarget) -> Object | None:
    """The ConfigMap with conf/serving.yaml; None where the defaults hold.

    Its name changes with its content, so that new limits reach servers by a rolling update and an
    update that does not become ready leaves the old servers with the old limits.
    """
    if not target.serving_file:
        return None
    digest = hashlib.sha256(target.serving_file.encode()).hexdigest()[:8]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": target.metadata(f"facemodels-serving-{digest}", {}),
        "immutable": True,
        "data": {SERVING_KEY: target.serving_file},
    }


def as_yaml(found: list[Object]) -> str:
    """The objects as one YAML stream, which `kubectl apply -f -` and GitOps tools take."""
    return yaml.dump_all(
        found, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100, explicit_start=True
    )


def as_list(found: list[Object]) -> Object:
    """The objects as one `List`, which is what `kubectl get -o json` prints."""
    return {"apiVersion": "v1", "kind": "List", "items": found}


class _Dumper(yaml.SafeDumper):
    """Writes equal values twice instead of an anchor, long texts as blocks, digits in quotes."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML 1.1 and 1.2 differ on what is a number, for example `1e3`.
    style = "|" if "\n" in text else "'" if text[:1] in "+-.0123456789" else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
