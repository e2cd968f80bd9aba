"""Environments as real processes: a controller, Traefik and model servers each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.rollout.site import Environment, Site

Up = Callable[..., Environment]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A clone and its remote, without versions."""
    return Site.make(tmp_path)


@pytest.fixture
def up() -> Iterator[Up]:
    """Start environments; what is left of them is ended."""
    started: list[Environment] = []

    def start(site: Site, environment: str = "production") -> Environment:
        started.append(site.up(environment))
        return started[-1]

    yield start
    for one in started:
        one.end()
