"""`facemodels up`, `down` and `status`."""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from facemodels.cli.environment_access import EnvironmentAccess, open_in_emergency
from facemodels.cli.environment_options import config_option, environment_option
from facemodels.cli.options import json_option, output
from facemodels.cli.table import print_table
from facemodels.errors import ToolError

if TYPE_CHECKING:
    from facemodels.registry.registry import Registry

_UNHEALTHY = 1  # exit code of `status`
_SILENT_S = 5.0  # a controller touches its status once a second, so this is too long
_EVENTS = 5  # that `status` tells
_START_S = 60.0  # in which a new controller must write its status


@click.command()
@environment_option
@config_option
@click.option("--detach", is_flag=True, help="Return when the controller runs.")
@click.option("--systemd", is_flag=True, help="Print a unit that runs the controller.")
def up(environment: str, config: Path | None, detach: bool, systemd: bool) -> None:
    """Run an environment: its controller, the router, a server for each version.

    The tags say what serves. SIGTERM and Ctrl-C end everything in order; SIGHUP ends the
    controller alone, and the next one takes over what runs. Clients use `address` of
    conf/deploy/<environment>.yaml.

    \b
    Example:
      facemodels up --environment production --detach
      facemodels status --environment production
      facemodels up --systemd > /etc/systemd/system/facemodels-production.service
    """
    if systemd:
        from facemodels.deployment.systemd import unit

        root = open_in_emergency(environment, config).registry.root
        command = Path(sys.argv[0]).resolve()
        click.echo(unit(environment, command, root, config and config.resolve()), nl=False)
        return
    if detach:
        _detach(environment, config)
        return
    from facemodels.deployment.controller import lock
    from facemodels.deployment.controller.loop import Controller
    from facemodels.serving import log

    opened = open_in_emergency(environment, config)  # it must come up again at night
    log.configure()
    _name_controller(opened, environment)
    with lock.held(opened.folder):
        controller = Controller(opened.registry, environment, opened.settings, config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: controller.stop())
        signal.signal(signal.SIGHUP, lambda *_: controller.stop(keep_serving=True))
        controller.run()


def _name_controller(opened: EnvironmentAccess, environment: str) -> None:
    """Let the controller's own events name it, and its host, as who made them.

    Not where GPG finds the key to sign with by the name of the user.
    """
    git = opened.registry.git
    if opened.registry.repository.policy.signatures == "off" or git.config("user.signingkey"):
        name = f"controller of {environment} on {socket.gethostname()}"
        os.environ["GIT_COMMITTER_NAME"] = name


def _detach(environment: str, config: Path | None) -> None:
    """Start the controller as a process of its own, and wait until it writes its status."""
    from facemodels.deployment.controller import lock
    from facemodels.deployment.servers.process import start

    opened = open_in_emergency(environment, config)
    folder = opened.folder
    if lock.is_held(folder):
        click.echo(f"The controller of {environment} runs already (process {lock.holder(folder)}).")
        return
    command = [sys.argv[0], "up", "--environment", environment]
    command += ["--config", str(config.resolve())] if config else []
    before = _written(folder)
    process = start(
        folder / "controller.json",
        command,
        log=folder / "controller.log",
        folder=opened.registry.root,
    )
    deadline = time.monotonic() + _START_S
    while _written(folder) == before:
        if not process.alive():
            raise ToolError(
                f"The controller of {environment} ended at once: {_last_words(folder)}",
                f"See {folder}/controller.log.",
            )
        if time.monotonic() > deadline:
            raise ToolError(
                f"The controller of {environment} has not said how it is for {_START_S:g} s.",
                f"See {folder}/controller.log.",
            )
        time.sleep(0.05)
    click.echo(f"The controller of {environment} runs (process {process.pid}).")


def _written(folder: Path) -> int:
    """Identify the last status that a controller wrote, without a clock that may be set."""
    try:
        return (folder / "status.json").stat().st_ino
    except FileNotFoundError:
        return 0


def _last_words(folder: Path) -> str:
    """The last line of the controller's log."""
    try:
        text = (folder / "controller.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.strip().rpartition("\n")[2]


@click.command()
@environment_option
@config_option
@click.option("--keep-serving", is_flag=True, help="End the controller alone; traffic goes on.")
@click.option("--dry-run", is_flag=True, help="Say what would end.")
def down(environment: str, config: Path | None, keep_serving: bool, dry_run: bool) -> None:
    """End an environment: the controller, then router and servers, each in order.

    Where no environment is named, it asks before it ends production.

    \b
    Example:
      facemodels down --environment staging
      facemodels down --environment production --keep-serving
    """
    from facemodels.deployment.controller import lock
    from facemodels.deployment.servers.process import end_all, running_processes

    folder = open_in_emergency(environment, config).folder
    pid = lock.holder(folder) if lock.is_held(folder) else None
    if dry_run:
        named = [f"controller {pid}"] if pid else []
        named += [] if keep_serving else [one.path.stem for one in running_processes(folder)]
        click.echo(f"Would end: {', '.join(named) or 'nothing'}.")
        return
    _ask_where_none_was_named(environment, keep_serving=keep_serving)
    if pid is not None:
        with suppress(ProcessLookupError):  # it ended meanwhile
            os.kill(pid, signal.SIGHUP if keep_serving else signal.SIGTERM)
        _wait(lambda: not lock.is_held(folder), 60.0, f"the controller {pid} does not end")
    if not keep_serving:
        end_all(folder)
    click.echo(f"{environment} is down." if not keep_serving else "The controller ended.")


def _wait(done: Callable[[], bool], seconds: float, problem: str) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise ToolError(f"{problem}.", "Look at its log; `kill -9` it if it hangs.")
        time.sleep(0.05)


@click.command()
@environment_option
@config_option
@click.option("--wait", type=click.FloatRange(min=0), help="Seconds to wait until all is so.")
@json_option
def status(environment: str, config: Path | None, wait: float | None, as_json: bool) -> None:
    """What serves which share of an environment, how it is, since when and by whom.

    Exit code 0: all is as the tags ask. 1: something is not ready, or somebody has to look.

    \b
    Example:
      facemodels status --environment production
      facemodels status --environment staging --wait 60
    """
    from facemodels.deployment.controller.status import read_status

    opened = open_in_emergency(environment, config)
    deadline = time.monotonic() + (wait or 0)
    while True:
        found = read_status(opened.folder)
        problems = [*opened.problems, *_problems(opened.registry, found, environment)]
        if not problems or time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    found["problems"] = problems
    found["events"] = _last_events(opened, environment)
    found["logs"] = f"{opened.folder}/controller.log, {opened.folder}/servers/<id>-<n>.log"
    if as_json:
        output(found, "", as_json=True)
    else:
        _print(found)
    sys.exit(_UNHEALTHY if problems else 0)


def _problems(registry: Registry, found: Mapping[str, Any], environment: str) -> list[str]:
    """The differences between the status and the tags of this clone; empty if there are none."""
    from facemodels.deployment.desired import desired

    problems = []
    if found["controller"] is None:
        problems.append(
            f"No controller runs here; `facemodels up --environment {environment}` starts one."
        )
    elif silent := _silent_s(found):
        problems.append(
            f"The controller (process {found['controller']}) has not said how it is for "
            f"{silent:.0f} s: it hangs, or cannot write its folder. Its log tells; `kill -9` it "
            f"and start it anew, what serves goes on."
        )
    serving = {one["model"]: one for one in found["models"]}
    here = {one["model"]: one["to"] for one in found["decisions"]}
    for model, one in desired(registry.repository.state(), environment).items():
        told = serving.get(model)
        wanted = {here[model]: 100} if model in here else _with_share(one.shares)
        share = _with_share(told["serving"]) if told else {}
        if share != wanted:
            problems.append(_difference(model, share, wanted))
    problems += [
        f"{one['model']} was rolled back here to {one['to']} ({one['reason']}); the event is not "
        f"in the chain yet."
        for one in found["decisions"]
    ]
    if not found["router"].get("applied"):
        problems.append("The router does not go by its routes yet.")
    for one in found["servers"]:
        if not one["ready"]:
            server = f"{one['model_id']} (server {one['replica']})"
            problems.append(f"{server} is not ready: {_why_not_ready(one)}")
    return problems + [f"{name}: {text}" for name, text in found["alarms"].items()]


def _why_not_ready(server: Mapping[str, Any]) -> str:
    """Its last death or other trouble, how often it died, and when it is started again."""
    found = [server["problem"] or ("it starts" if server["pid"] else "it was not started yet")]
    if server["restarts"]:
        found.append(f"it died {server['restarts']} times")
    if server.get("next_start"):
        found.append(f"the next start is in {max(0, server['next_start'] - time.time()):.0f} s")
    return "; ".join(found) + "."


def _silent_s(found: Mapping[str, Any]) -> float:
    """Seconds since the controller said something; 0 if it works, infinite if none runs."""
    if found["controller"] is None:
        return math.inf
    silent = abs(time.time() - found.get("time", time.time()))
    return silent if silent > _SILENT_S else 0.0


def _last_events(opened: EnvironmentAccess, environment: str) -> list[str]:
    """The last changes of production's traffic in words, latest last; none for staging."""
    from facemodels.deployment.history import changes, in_words

    if environment != "production":
        return []
    state = opened.registry.repository.state()
    return [in_words(state, event) for event in changes(state)[-_EVENTS:]]


def _difference(model: str, serving: Mapping[str, int], wanted: Mapping[str, int]) -> str:
    """The sentence on a model that other versions serve than the tags, or a rollback here, ask."""
    return f"{model} is to be served by {_shares(wanted)}; now it is served by {_shares(serving)}."


def _with_share(shares: Mapping[str, int]) -> dict[str, int]:
    """The versions that answer clients: a shadow, blue-green and a canary at 0 % do not."""
    return {name: share for name, share in shares.items() if share}


def _shares(shares: Mapping[str, int]) -> str:
    return ", ".join(f"{name} ({share} %)" for name, share in shares.items()) or "no version"


def _print(found: Mapping[str, Any]) -> None:
    from facemodels.registry.events import to_text
    from facemodels.text import one_line

    known = not _silent_s(found)  # what a dead controller said last is no news
    rows = []
    for one in found["models"]:
        rollout = one["rollout"] or {}
        ids = dict.fromkeys((*one["serving"], *one["wanted"], *one["warm"]))
        for identity in ids:
            event = rollout if rollout.get("id") == identity else one
            warm = identity in one["warm"] and identity not in one["serving"]
            rows.append(
                (
                    one["model"],
                    identity,
                    f"{one['serving'].get(identity, 0)} %",
                    rollout.get("strategy", "") if event is rollout else "warm" if warm else "",
                    _health(found, identity) if known else "not known",
                    "" if warm else to_text(event["since"]),
                    "" if warm else event["by"],
                    (one["verdict"] or {}).get("answer", "") if event is rollout else "",
                )
            )
    print_table(("model", "version", "share", "as", "health", "since", "by", "verdict"), rows)
    if not known and found.get("time"):
        click.echo(f"This is what was said at {to_text(found['time'])}; it may be old.", err=True)
    for problem in found["problems"]:
        click.echo(one_line(problem), err=True)  # a remote may have said it
    for event in found["events"]:
        click.echo(event)
    click.echo(f"Logs: {found['logs']}")


def _health(found: Mapping[str, Any], identity: str) -> str:
    """Whether a server of a version is ready, and how often they died since its deployment."""
    servers = [one for one in found["servers"] if one["model_id"] == identity]
    word = "ready" if any(one["ready"] for one in servers) else "not ready"
    deaths = max((one.get("restarts", 0) for one in servers), default=0)
    return f"{word}, {deaths} deaths" if deaths else word


def _ask_where_none_was_named(environment: str, *, keep_serving: bool) -> None:
    source = click.get_current_context().get_parameter_source("environment")
    if source is ParameterSource.DEFAULT and not keep_serving:
        click.confirm(f"End {environment} with everything that serves there?", abort=True)
