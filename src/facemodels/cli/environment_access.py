"""Opens an environment for a command: its registry, its settings and its state folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from facemodels.deployment.settings import Environment
    from facemodels.registry.registry import Registry


@dataclass(frozen=True)
class EnvironmentAccess:
    """What a command on an environment works with.

    Attributes:
        registry: the registry of the clone that the command runs in.
        settings: the settings of the environment.
        folder: its state folder.
        problems: what is wrong with files of conf/ whose last good content counts.
    """

    registry: Registry
    settings: Environment
    folder: Path
    problems: tuple[str, ...] = ()


def open_environment(environment: str, config: Path | None) -> EnvironmentAccess:
    """Open an environment for a command that asks for valid settings.

    Raises:
        InputError: a file of conf/ is broken.
    """
    from facemodels.deployment import settings
    from facemodels.registry.registry import open_registry

    registry = open_registry(Path.cwd())
    found = settings.load(registry.root, environment, config)
    folder = settings.state_folder(registry.root, environment, found)
    return EnvironmentAccess(registry, found, folder)


def open_in_emergency(environment: str, config: Path | None) -> EnvironmentAccess:
    """Open an environment for a command that must work at night: a broken file stops it not.

    What is wrong is said on standard error, and the last good content counts.

    Raises:
        InputError: a file is broken, and no good content of it is known.
    """
    from facemodels.deployment import settings
    from facemodels.deployment.last_good import read_or_last_good
    from facemodels.git import find_root
    from facemodels.registry import policy
    from facemodels.registry.registry import open_registry

    root = find_root(Path.cwd())
    rules = read_or_last_good(root, root / policy.PATH, lambda path: policy.load(root, path))
    found = settings.load_or_last_good(root, environment, config)
    problems = tuple(text for text in (rules.problem, found.problem) if text)
    for text in problems:
        click.echo(f"Warning: {text}", err=True)
    folder = settings.state_folder(root, environment, found.value)
    return EnvironmentAccess(open_registry(root, rules.value), found.value, folder, problems)
