"""`facemodels manifests`."""

from __future__ import annotations

from pathlib import Path

import click

from facemodels.cli.environment_options import config_option, environment_option
from facemodels.cli.options import json_option, output


@click.command()
@environment_option
@config_option
@click.option("--kserve", is_flag=True, help="One InferenceService a version, for KServe.")
@json_option
def manifests(environment: str, config: Path | None, kserve: bool, as_json: bool) -> None:
    """Print the objects of Kubernetes for what the tags say of an environment, as YAML.

    Per version a Deployment, Service, PodDisruptionBudget, HorizontalPodAutoscaler; per model an
    HTTPRoute with the shares as weights, NetworkPolicy, ServiceMonitor. Equal tags and settings
    give equal bytes. `facemodels registry sync` fetches the tags of others before.

    \b
    Example:
      facemodels manifests --environment production > deploy/production.yaml
      facemodels manifests --environment production --json | kubectl diff -f -
    """
    from facemodels.deployment import settings
    from facemodels.deployment.kubernetes.manifests import as_list, as_yaml, cluster_target, objects
    from facemodels.deployment.kubernetes.plan import plan
    from facemodels.registry.registry import open_registry

    registry = open_registry(Path.cwd())
    loaded = settings.load(registry.root, environment, config)
    target = cluster_target(registry.root, environment, loaded, kserve=kserve)
    found = objects(plan(registry.repository.state(), target), target)
    output(as_list(found), as_yaml(found), as_json=as_json)
