"""Sites are built once and copied, since each costs some twenty git commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .site import Site, build

_TEMPLATE: list[Site] = []


@pytest.fixture
def template(isolated: None, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Never to be changed: take a copy."""
    if not _TEMPLATE:
        _TEMPLATE.append(build(tmp_path_factory.mktemp("template") / "site"))
    return _TEMPLATE[0]


@pytest.fixture
def site(template: Site, tmp_path: Path) -> Site:
    return template.copy(tmp_path / "site")


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[[Site], Site]]:
    """Copies of a site, one after the other; each is removed with the next."""
    made: list[Path] = []

    def another(original: Site) -> Site:
        for old in made:
            shutil.rmtree(old, ignore_errors=True)
        target = tmp_path / f"copy-{len(made)}"
        made.append(target)
        return original.copy(target)

    yield another
    for old in made:
        shutil.rmtree(old, ignore_errors=True)
