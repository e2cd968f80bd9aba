"""Environments as real processes: a controller, Traefik and model servers each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.deployment.site import Environment, EnvironmentSite


class Up:
    """Starts environments; what is left of them is ended."""

    def __init__(self) -> None:
        self.started: list[Environment] = []

    def __call__(self, site: EnvironmentSite, environment: str = "production") -> Environment:
        self.adopt(site.up(environment))
        return self.started[-1]

    def adopt(self, environment: Environment) -> None:
        """End this one too."""
        self.started.append(environment)

    def end(self) -> None:
        """End what is left of them."""
        for one in self.started:
            one.end()


@pytest.fixture
def site(tmp_path: Path) -> EnvironmentSite:
    """A clone and its remote, without versions."""
    return EnvironmentSite.make(tmp_path)


@pytest.fixture
def up() -> Iterator[Up]:
    """Start environments; what is left of them is ended."""
    found = Up()
    yield found
    found.end()
