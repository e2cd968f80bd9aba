"""`facemodels rollback`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from facemodels.cli.arrival import wait_for_traffic, wait_option
from facemodels.cli.deployment_events import show_event, show_proposed
from facemodels.cli.environment_access import EnvironmentAccess, open_in_emergency
from facemodels.cli.environment_options import config_option
from facemodels.cli.options import json_option, output
from facemodels.cli.registry_options import enrolment_plan
from facemodels.errors import RuleError, ToolError
from facemodels.names import ModelId

if TYPE_CHECKING:
    from facemodels.deployment.controller.manual_rollback import RollbackOutcome, RollbackRequest


@click.command()
@click.option("--model-type", required=True, help="recognition, or recognition-facenet.")
@click.option("--to-version", help="For example 2.1.3; else the one that served before.")
@click.option("--reason", "-m", required=True, help="Why.")
@click.option(
    "--re-enrolment-plan", default="", metavar="TEXT|@FILE",
    help="How galleries get their embeddings back, where the embedding space changes.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Go a second step back, past what was told last.")
@click.option("--expect", default="", metavar="TAG", help="Only if this was the last change.")
@config_option
@click.option("--dry-run", "only_show", is_flag=True, help="Say what would happen.")
@wait_option
@json_option
def rollback(
    model_type: str,
    to_version: str | None,
    reason: str,
    re_enrolment_plan: str,
    yes: bool,
    expect: str,
    config: Path | None,
    only_show: bool,
    wait: float | None,
    as_json: bool,
) -> None:
    """Take production back to the version before, at once.

    A version that is on its way to production is taken back first. Where a controller runs on
    this machine, traffic changes even if the Git remote is away; the event follows later. If a
    version was taken back already, a second step is asked for. A broken file of conf/ does not
    matter: its last good content counts.

    \b
    Example:
      facemodels rollback --model-type recognition --to-version 2.1.3 \\
          --reason "High error rate detected" --wait 60
    """
    from facemodels.deployment.controller.manual_rollback import (
        RollbackRequest,
        propose_rollback,
        roll_back,
    )

    opened = open_in_emergency("production", config)
    plan = enrolment_plan(re_enrolment_plan)
    request = RollbackRequest(model_type, to_version, reason, plan, expect)
    if only_show:
        proposed = propose_rollback(opened.registry, opened.settings, request)
        show_proposed(proposed, "production", as_json=as_json)
        return
    request = _settled(opened, request, yes=yes)
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
    if wait is not None:
        tag = outcome.event.tag if outcome.event is not None else ""
        wait_for_traffic(opened, "production", str(ModelId.parse(outcome.to).name), tag, wait)


def _settled(opened: EnvironmentAccess, request: RollbackRequest, *, yes: bool) -> RollbackRequest:
    """The request, with the last change that the operator knows of filled in.

    A version that was taken back already, by the controller perhaps, is told; another step back
    is asked for. Who states the version, or with `--expect` what happened last, knows it.

    Raises:
        RuleError: a second step back that nobody agreed to.
    """
    from facemodels.deployment import told
    from facemodels.deployment.history import in_words, is_step_back, last_change, number_of

    state = opened.registry.repository.state()
    found = request.find(state)
    last = last_change(state, found.model)
    if last is None or request.expect:
        return request
    if request.to_version is not None or found.withdrawn is not None or not is_step_back(last):
        return replace(request, expect=last.tag) if sys.stdin.isatty() else request
    happened = in_words(state, last)
    click.echo(f"Last change: {happened} ({last.tag}).", err=True)
    click.echo(f"{found.taken_back} is in production; this goes on to {found.to}.", err=True)
    known = told.was_told(opened.folder, found.model, last.tag)
    told.tell(opened.folder, found.model, last.tag)
    agreed = yes and known
    if not yes and sys.stdin.isatty():
        agreed = click.confirm("Go a second step back?", err=True)
    if not agreed:
        raise RuleError(
            f"A version was taken back already: {happened}.",
            f"Nothing was changed. To go on to {found.to}: --to-version {number_of(found.to)}, or "
            f"--expect '{last.tag}', or run it again with --yes.",
        )
    return replace(request, expect=last.tag)


def _show_outcome(outcome: RollbackOutcome, *, as_json: bool) -> None:
    if outcome.event is not None:
        show_event(outcome.event, "production", as_json=as_json)
        return
    assert outcome.why is not None  # noqa: S101  (there is an event or a reason)
    moves = "waits for a controller" if outcome.stuck else f"goes back to {outcome.to} now"
    text = (
        f"Traffic {moves}. Its event is not in the chain yet ({outcome.why.what}) "
        "The controller adds it when the remote takes it.\n"
    )
    value = {"act": "decided", "model_id": outcome.to, "tag": None, "dry_run": False}
    output(value, text, as_json=as_json)
