"""`facemodels deploy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from facemodels.cli.arrival import wait_for_traffic, wait_option
from facemodels.cli.deployment_events import show_event, show_proposed
from facemodels.cli.environment_access import open_environment
from facemodels.cli.environment_options import config_option
from facemodels.cli.options import json_option
from facemodels.cli.registry_options import complete_ids, enrolment_plan
from facemodels.deployment.strategies import DEPLOYMENT_ACTS, ENVIRONMENTS
from facemodels.names import ModelId


@click.command()
@click.option("--model-id", required=True, shell_complete=complete_ids, help="rec-facenet-v2.1.3")
@click.option(
    "--environment", "--env", type=click.Choice(ENVIRONMENTS), required=True, help="Where to."
)
@config_option
@click.option(
    "--strategy", type=click.Choice(DEPLOYMENT_ACTS), default="direct", show_default=True,
    help="How it gets production's traffic; complete and abort end what was begun.",
)  # fmt: skip
@click.option(
    "--canary-percent", "percent", type=click.IntRange(0, 100),
    help="Of the requests (canary, ab) or of the copies (shadow).",
)  # fmt: skip
@click.option("--reason", "-m", default="", help="Why; an emergency needs it.")
@click.option(
    "--re-enrolment-plan", default="", metavar="TEXT|@FILE",
    help="How galleries get new embeddings, where the embedding space changes.",
)  # fmt: skip
@click.option("--emergency", is_flag=True, help="Past staging; stays in the record.")
@click.option("--dry-run", "only_show", is_flag=True, help="Say what would happen.")
@wait_option
@json_option
def deploy(
    model_id: str,
    environment: str,
    config: Path | None,
    strategy: Any,
    percent: int | None,
    reason: str,
    re_enrolment_plan: str,
    emergency: bool,
    only_show: bool,
    wait: float | None,
    as_json: bool,
) -> None:
    """Say which version is to serve; the environment's controller makes it so.

    The deployment is a tag. Production takes only what was in staging, from those whom
    the environment's policy names. With --wait it ends with exit code 4 if the version is
    taken back meanwhile, and with 1 if traffic is not where it must be in time.

    \b
    Example:
      facemodels deploy --model-id rec-facenet-v2.2.0 --environment staging
      facemodels deploy --model-id rec-facenet-v2.2.0 --environment production \\
          --strategy canary --canary-percent 10
      facemodels deploy --model-id rec-facenet-v2.2.0 --environment production \\
          --strategy complete --wait
    """
    from facemodels.deployment.controller.arrival import before_completion
    from facemodels.deployment.controller.status import read_status
    from facemodels.deployment.deploy import DeploymentRequest, dry_run
    from facemodels.deployment.deploy import deploy as propose

    opened = open_environment(environment, config)
    request = DeploymentRequest(
        ModelId.parse(model_id),
        environment,
        strategy,
        percent,
        reason,
        enrolment_plan(re_enrolment_plan),
        emergency,
    )
    proposal = propose(opened.registry, opened.settings, request)
    if strategy == "complete":
        for warning in before_completion(str(request.model), read_status(opened.folder)):
            click.echo(f"Warning: {warning}", err=True)
    if only_show:
        show_proposed(dry_run(opened.registry, proposal), environment, as_json=as_json)
        return
    event = opened.registry.act(proposal)
    show_event(event, environment, as_json=as_json)
    if wait is not None:
        wait_for_traffic(opened, environment, event.name.model, event.tag, wait)
