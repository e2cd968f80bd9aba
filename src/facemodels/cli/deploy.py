"""`facemodels deploy` and `facemodels rollback`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from facemodels.cli.options import FILE, json_option, output
from facemodels.cli.registry import complete_ids, enrolment_plan
from facemodels.errors import ToolError
from facemodels.names import ModelId

if TYPE_CHECKING:
    from facemodels.deployment.deploy import Rollback
    from facemodels.deployment.settings import Environment
    from facemodels.registry.registry import Registry
    from facemodels.registry.rules import Proposal

_ASKED = (
    "direct", "canary", "progressive", "blue-green", "shadow", "ab", "complete", "abort",
)  # fmt: skip
_ENVIRONMENTS = ("staging", "production")
_PATIENCE_S = 5.0  # with the Git remote, before a rollback goes its way without it


def environment_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--environment`, or `--env`."""
    return click.option(
        "--environment", "--env", type=click.Choice(_ENVIRONMENTS), default="production",
        show_default=True,
    )(function)  # fmt: skip


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--config`: another file of the environment."""
    return click.option("--config", type=FILE, help="Instead of conf/deploy/<environment>.yaml.")(
        function
    )


@click.command()
@click.option("--model-id", required=True, shell_complete=complete_ids, help="rec-facenet-v2.1.3")
@click.option(
    "--environment", "--env", type=click.Choice(_ENVIRONMENTS), required=True, help="Where to."
)
@config_option
@click.option(
    "--strategy", type=click.Choice(_ASKED), default="direct", show_default=True,
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
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
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
    dry_run: bool,
    as_json: bool,
) -> None:
    """Say that a version shall serve; the environment's controller makes it so.

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
    from facemodels.deployment import deploy as operations

    registry, settings = _open(environment, config)
    asked = operations.DeploymentRequest(
        ModelId.parse(model_id),
        environment,
        strategy,
        percent,
        reason,
        enrolment_plan(re_enrolment_plan),
        emergency,
    )
    plan = operations.deploy(registry, settings, asked)
    _carry_out(registry, plan, environment, dry_run=dry_run, as_json=as_json)


@click.command()
@click.option("--model-type", required=True, help="recognition, or recognition-facenet.")
@click.option("--to-version", help="For example 2.1.3; else the one that served before.")
@click.option("--reason", "-m", required=True, help="Why.")
@click.option(
    "--re-enrolment-plan", default="", metavar="TEXT|@FILE",
    help="How galleries get their embeddings back, where the embedding space changes.",
)  # fmt: skip
@config_option
@click.option("--dry-run", is_flag=True, help="Say what would happen.")
@json_option
def rollback(
    model_type: str,
    to_version: str | None,
    reason: str,
    re_enrolment_plan: str,
    config: Path | None,
    dry_run: bool,
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
    from facemodels.deployment import deploy as operations

    registry, settings = _open("production", config)
    operations.require_deployer(registry, settings.policy, "production")
    away = _sync(registry)
    state = registry.repository.state()
    again = enrolment_plan(re_enrolment_plan)
    found = operations.find_rollback(state, model_type, to_version, re_enrolment=again)
    if away is None or dry_run:
        _carry_out(registry, found.plan(reason), "production", dry_run=dry_run, as_json=as_json)
        return
    if not _decide_here(registry, settings, found, reason):
        raise away
    text = (
        f"The Git remote is away ({away.what}) Traffic goes back to {found.to} now; the "
        "controller adds the event when the remote is back.\n"
    )
    value = {"act": "decided", "model_id": found.to, "tag": None, "dry_run": False}
    output(value, text, as_json=as_json)


def _sync(registry: Registry) -> ToolError | None:
    """Fetch what others did; why it could not be, if it could not.

    A remote that takes the connection and says nothing is away too: traffic must not wait.
    """
    from concurrent.futures import Future
    from threading import Thread

    done: Future[None] = Future()

    def fetch() -> None:
        try:
            registry.repository.sync()
        except BaseException as error:  # noqa: BLE001  (raised again where it is waited for)
            done.set_exception(error)
        else:
            done.set_result(None)

    Thread(target=fetch, name="fetch", daemon=True).start()  # the process ends without it
    try:
        done.result(_PATIENCE_S)
    except TimeoutError:
        return ToolError(
            f"the Git remote gave no answer in {_PATIENCE_S:g} s.", "Check the connection to it."
        )
    except ToolError as error:
        return error
    return None


def _decide_here(registry: Registry, settings: Environment, found: Rollback, reason: str) -> bool:
    """Leave the decision to a controller of this machine; false if none runs."""
    import time

    from facemodels.deployment.controller.lock import is_held
    from facemodels.deployment.controller.pending_rollbacks import PendingRollbacks, decide
    from facemodels.deployment.settings import state_folder

    folder = state_folder(registry.root, "production", settings)
    if not is_held(folder):
        return False
    state = registry.repository.state()
    decision = decide(state, found, reason=reason, time=int(time.time()), record={})
    PendingRollbacks(folder / "decisions").add(decision)
    return True


def _open(environment: str, config: Path | None) -> tuple[Registry, Environment]:
    from facemodels.deployment import settings
    from facemodels.registry.registry import open_registry

    registry = open_registry(Path.cwd())
    return registry, settings.load(registry.root, environment, config)


def _carry_out(
    registry: Registry, plan: Proposal, environment: str, *, dry_run: bool, as_json: bool
) -> None:
    from facemodels.deployment import deploy as operations

    if dry_run:
        change = operations.dry_run(registry, plan)
        text = f"Would {_words(change.act, str(change.model), environment, change.extra)}.\n"
        value = {"act": change.act, "model_id": str(change.model), "tag": change.tag}
        output({**value, "dry_run": True}, text, as_json=as_json)
        return
    event = registry.act(plan)
    record = event.record or {}
    text = f"{_words(event.act, record['model_id'], environment, record).capitalize()}"
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
