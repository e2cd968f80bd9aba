"""`facemodels manifests`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facemodels.cli.environment_options import config_option, environment_option
from facemodels.cli.options import FOLDER, json_option, output
from facemodels.errors import InputError


@click.command()
@environment_option
@config_option
@click.option("--kserve", is_flag=True, help="One InferenceService a version, for KServe.")
@click.option("--output", "folder", type=FOLDER, help="Write one file an object there.")
@click.option("--dry-run", is_flag=True, help="With --output: say what would change there.")
@click.option("--allow-empty", is_flag=True, help="Also where the tags name no version.")
@json_option
def manifests(
    environment: str,
    config: Path | None,
    kserve: bool,
    folder: Path | None,
    dry_run: bool,
    allow_empty: bool,
    as_json: bool,
) -> None:
    """Print the objects of Kubernetes for what the tags say of an environment, as YAML.

    Per version a Deployment, Service, PodDisruptionBudget, HorizontalPodAutoscaler; per model an
    HTTPRoute with the shares as weights, NetworkPolicy, ServiceMonitor. Equal tags and settings
    give equal bytes. `facemodels registry sync` fetches the tags of others before.

    With --output a folder gets one file an object and a kustomization.yaml; files that it listed
    there before and that are not wanted any more are removed, and no others.

    \b
    Example:
      facemodels manifests --environment production > deploy/production.yaml
      facemodels manifests --environment production --output deploy/production
      facemodels manifests --environment production --json | kubectl diff -f -
    """
    from facemodels.deployment import settings
    from facemodels.deployment.kubernetes.manifests import as_list, as_yaml, cluster_target, objects
    from facemodels.deployment.kubernetes.plan import plan
    from facemodels.registry.registry import open_registry

    registry = open_registry(Path.cwd())
    loaded = settings.load(registry.root, environment, config)
    target = cluster_target(registry.root, environment, loaded, kserve=kserve)
    planned = plan(registry.repository.state(), target)
    if not planned.versions and not allow_empty:
        raise InputError(
            f"The tags name no version for {environment}; a GitOps tool would end what runs.",
            "`git fetch --tags` brings them (in CI, a clone may lack them); or --allow-empty.",
        )
    found = objects(planned, target)
    if folder is None:
        output(as_list(found), as_yaml(found), as_json=as_json)
    else:
        _write(folder, found, dry_run=dry_run, as_json=as_json)


def _write(folder: Path, found: list[dict[str, Any]], *, dry_run: bool, as_json: bool) -> None:
    from facemodels.deployment.kubernetes import manifest_folder

    changes = manifest_folder.changes(folder, found)
    if not dry_run:
        manifest_folder.write(folder, changes)
    written, removed = sorted(changes.written), list(changes.removed)
    lines = [*(f"write  {name}" for name in written), *(f"remove {name}" for name in removed)]
    head = f"{folder}: {'would change' if dry_run else 'changed'}" if lines else f"{folder}: equal"
    output(
        {"folder": str(folder), "written": written, "removed": removed, "dry_run": dry_run},
        "\n".join([head, *lines]) + "\n",
        as_json=as_json,
    )
