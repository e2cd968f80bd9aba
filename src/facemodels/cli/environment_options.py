"""Options that name an environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from facemodels.cli.options import FILE
from facemodels.deployment.strategies import ENVIRONMENTS


def environment_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--environment`, or `--env`."""
    return click.option(
        "--environment", "--env", type=click.Choice(ENVIRONMENTS), default="production",
        show_default=True,
    )(function)  # fmt: skip


def config_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the option `--config`, which names another file for the environment."""
    return click.option("--config", type=FILE, help="Instead of conf/deploy/<environment>.yaml.")(
        function
    )
