"""The option `--wait`: a command returns when traffic is where its event wants it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from facemodels.errors import GateError, ToolError

if TYPE_CHECKING:
    from facemodels.cli.environment_access import EnvironmentAccess

_USUAL_S = 300.0
_LOOK_S = 0.2
_ALONE_S = 10.0  # in which a controller that died is started anew by whoever watches over it


def wait_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--wait [SECONDS]`; None without it."""
    return click.option(
        "--wait", is_flag=False, flag_value=_USUAL_S, type=click.FloatRange(min=0), default=None,
        metavar="[SECONDS]", help="Until traffic is where it must be; 300 s, if no time is given.",
    )(function)  # fmt: skip


def wait_for_traffic(
    opened: EnvironmentAccess, environment: str, model: str, tag: str, seconds: float
) -> None:
    """Wait until the traffic of a model is where an event wants it, and show how far it is.

    Args:
        opened: the environment.
        environment: its name.
        model: the model's name.
        tag: the event; "" for a rollback that has none yet.
        seconds: the longest wait.

    Raises:
        GateError: the version was taken back meanwhile.
        ToolError: traffic is not there in time, or no controller runs here.
    """
    from facemodels.deployment.controller.arrival import arrival
    from facemodels.deployment.controller.status import read_status

    begun, told = time.monotonic(), ""
    deadline, alone = begun + seconds, begun + _ALONE_S
    while True:
        state = opened.registry.repository.state()
        status = read_status(opened.folder)
        found = arrival(state, environment, model, tag, status)
        if found.words != told:
            told = found.words
            sys.stderr.write(f"{told}\n")
        if found.ended:
            raise GateError(f"It was taken back: {found.ended}.", "`facemodels status` tells more.")
        if found.done:
            return
        if status["controller"] is None and time.monotonic() > alone:
            raise ToolError(
                f"No controller of {environment} runs here, so nobody says where traffic is.",
                "Wait where it runs, or start it: `facemodels up`.",
            )
        if time.monotonic() > deadline:
            raise ToolError(
                f"Not within {seconds:g} s: {told}.", "`facemodels status` says what it waits for."
            )
        time.sleep(_LOOK_S)
