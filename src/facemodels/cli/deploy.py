"""`facemodels deploy` and `facemodels rollback`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.environment_access import open_environment, open_in_emergency
from facemodels.cli.environment_options import config_option
from facemodels.cli.options import json_option, output
from facemodels.cli.registry_options import complete_ids, enrolment_plan
from facemodels.deployment.strategies import DEPLOYMENT_ACTS, ENVIRONMENTS
from facemodels.errors import ToolError
from facemodels.names import ModelId

if TYPE_CHECKING:
    from facemodels.deployment.controller.manual_rollback import RollbackOutcome
    from facemodels.registry.events import Event
    from facemodels.registry.proposals import ProposedEvent


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
    as_json: bool,
) -> None:
    """Say which version is to serve; the environment's controller makes it so.

    The deployment is a tag. Production takes only what was in staging, from those whom
    the environment's policy names.

    \b
    Example:
      facemodels deploy --model-id rec-facenet-v2.2.0 --environment staging
      facemodels deploy --model-id rec-facenet-v2.2.0 --environment production \\
          --strategy canary --canary-percent 10
      facemodels deploy --model-id rec-facenet-v2.2.0 --environment production \\
          --strategy complete
    """
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
    if only_show:
        _show_proposed(dry_run(opened.registry, proposal), environment, as_json=as_json)
    else:
        _show_event(opened.registry.act(proposal), environment, as_json=as_json)


@click.command()
@click.option("--model-type", required=True, help="recognition, or recognition-facenet.")
@click.option("--to-version", help="For example 2.1.3; else the one that served before.")
@click.option("--reason", "-m", required=True, help="Why.")
@click.option(
    "--re-enrolment-plan", default="", metavar="TEXT|@FILE",
    help="How galleries get their embeddings back, where the embedding space changes.",
)  # fmt: skip
@config_option
@click.option("--dry-run", "only_show", is_flag=True, help="Say what would happen.")
@json_option
def rollback(
    model_type: str,
    to_version: str | None,
    reason: str,
    re_enrolment_plan: str,
    config: Path | None,
    only_show: bool,
    as_json: bool,
) -> None:
    """Take production back to the version before, at once.

    A version that is on its way to production is taken back first. Where a controller runs on
    this machine, traffic changes even if the Git remote is away; the event follows later.

    \b
    Example:
      facemodels rollback --model-type recognition --to-version 2.1.3 \\
          --reason "High error rate detected"
    """
    from facemodels.deployment.controller.manual_rollback import (
        RollbackRequest,
        propose_rollback,
        roll_back,
    )

    opened = open_in_emergency("production", config)
    request = RollbackRequest(model_type, to_version, reason, enrolment_plan(re_enrolment_plan))
    if only_show:
        proposed = propose_rollback(opened.registry, opened.settings, request)
        _show_proposed(proposed, "production", as_json=as_json)
        return
    outcome = roll_back(opened.registry, opened.settings, request)
    _show_outcome(outcome, as_json=as_json)
    if outcome.stuck:
        raise ToolError(
            f"Nothing moves: {outcome.stuck}. The rollback to {outcome.to} is decided and waits.",
            "Run `facemodels up --environment production`: it adopts what serves and goes back at "
            "once. A controller that hangs is ended by `facemodels down --keep-serving` or by "
            "SIGKILL before.",
        )
    if outcome.why is not None and not isinstance(outcome.why, ToolError):
        raise outcome.why  # the tags are not what was signed off: exit code 3


def _show_outcome(outcome: RollbackOutcome, *, as_json: bool) -> None:
    if outcome.event is not None:
        _show_event(outcome.event, "production", as_json=as_json)
        return
    assert outcome.why is not None  # noqa: S101  (there is an event or a reason)
    moves = "waits for a controller" if outcome.stuck else f"goes back to {outcome.to} now"
    text = (
        f"Traffic {moves}. Its event is not in the chain yet ({outcome.why.what}) "
        "The controller adds it when the remote takes it.\n"
    )
    value = {"act": "decided", "model_id": outcome.to, "tag": None, "dry_run": False}
    output(value, text, as_json=as_json)


def _show_proposed(proposed: ProposedEvent, environment: str, *, as_json: bool) -> None:
    words = _words(proposed.act, str(proposed.model), environment, proposed.extra)
    value = {"act": proposed.act, "model_id": str(proposed.model), "tag": proposed.tag}
    output({**value, "dry_run": True}, f"Would {words}.\n", as_json=as_json)


def _show_event(event: Event, environment: str, *, as_json: bool) -> None:
    record = event.record or {}
    text = _words(event.act, record["model_id"], environment, record).capitalize()
    value = {"act": event.act, "model_id": record["model_id"], "tag": event.tag}
    output({**value, "dry_run": False}, f"{text} ({event.tag}).\n", as_json=as_json)


def _words(act: str, model: str, environment: str, record: Any) -> str:
    if act == "rollout":
        terms = record["rollout"]
        part = f", {terms['percent']} %" if terms["percent"] else ""
        return f"roll out {model} by {terms['strategy']}{part}"
    if act == "withdraw":
        return f"take {model} back from its rollout"
    if act == "rollback":
        return f"roll {environment} back to {model}"
    return f"put {model} into {environment}"
