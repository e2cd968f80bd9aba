"""Sites are built once and copied, since each costs some twenty git commands."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .site import RegistrySite, build


@pytest.fixture(autouse=True)
def no_host_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites have a time of their own (`CLOCK`), which a folder's host does not know."""
    monkeypatch.setattr("facemodels.registry.dates.read_clock", lambda *_: None)


_TEMPLATE: list[RegistrySite] = []


@pytest.fixture
def template(isolated: None, tmp_path_factory: pytest.TempPathFactory) -> RegistrySite:
    """Never to be changed: take a copy."""
    if not _TEMPLATE:
        _TEMPLATE.append(build(tmp_path_factory.mktemp("template") / "site"))
    return _TEMPLATE[0]


@pytest.fixture
def site(template: RegistrySite, tmp_path: Path) -> RegistrySite:
    return template.copy(tmp_path / "site")


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[Callable[[RegistrySite], RegistrySite]]:
    """Copies of a site, one after the other; each is removed with the next."""
    made: list[Path] = []

    def another(original: RegistrySite) -> RegistrySite:
        for old in made:
            shutil.rmtree(old, ignore_errors=True)
        target = tmp_path / f"copy-{len(made)}"
        made.append(target)
        return original.copy(target)

    yield another
    for old in made:
        shutil.rmtree(old, ignore_errors=True)
