"""Which folders beside the controller count as the package that was registered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.unit.registry.conftest import V1, Ledger, commit_of

from facemodels.deployment.servers.packages import Packages
from facemodels.files import sha256
from facemodels.names import ModelId
from facemodels.package.verify import CHECKSUMS, write_checksums
from facemodels.registry import rules
from facemodels.registry.packages import is_registered
from facemodels.registry.state import Entry


def package(folder: Path, text: str = "weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "model.pt").write_text(text)
    write_checksums(folder)
    return folder


def entry_of(folder: Path) -> Entry:
    """The version that was registered with this package."""
    ledger = Ledger()
    evidence = {"package": f"sha256:{sha256(folder / CHECKSUMS)}", "dvc": "md5:0.dir"}
    model = ModelId.parse(V1)
    ledger.add(
        lambda now: rules.register(
            now, model, commit_of(V1), reason="new", evidence=evidence, entry={}
        )
    )
    return ledger.state.entry(model)


def without_digest(entry: Entry) -> Entry:
    """The same version as GTO registers it: without a record."""
    return Entry(replace(entry.event, record=None))


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return package(tmp_path / "source")


@pytest.fixture
def fetched(source: Path, tmp_path: Path) -> Iterator[tuple[Packages, list[str]]]:
    """Packages in a folder, and the ids that were fetched there."""
    ids: list[str] = []

    @contextmanager
    def fetch(root: Path, entry: Entry) -> Iterator[SimpleNamespace]:
        ids.append(entry.id)
        yield SimpleNamespace(folder=source)

    packages = Packages(tmp_path, tmp_path / "packages", fetch)
    yield packages, ids
    packages.close()


def test_a_folder_is_registered_only_by_the_digest_that_was_recorded(
    source: Path, tmp_path: Path
) -> None:
    entry = entry_of(source)
    assert is_registered(source, entry)
    assert not is_registered(package(tmp_path / "other", "other weights"), entry)
    assert not is_registered(tmp_path / "absent", entry)
    assert not is_registered(source, without_digest(entry))


def test_a_package_that_an_earlier_controller_fetched_is_taken_by_its_digest(
    fetched: tuple[Packages, list[str]], source: Path, tmp_path: Path
) -> None:
    packages, ids = fetched
    entry = entry_of(source)
    kept = package(tmp_path / "packages" / entry.id)
    assert packages.folder(entry) == kept
    assert ids == []


def test_a_version_without_a_digest_is_fetched_again_whatever_lies_there(
    fetched: tuple[Packages, list[str]], source: Path, tmp_path: Path
) -> None:
    packages, ids = fetched
    entry = without_digest(entry_of(source))
    kept = package(tmp_path / "packages" / entry.id, "weights of somebody else")
    assert packages.folder(entry) is None
    until(lambda: packages.folder(entry) == kept)
    assert (kept / "model.pt").read_text() == "weights"
    assert ids == [entry.id]
    assert packages.folder(entry) == kept  # and once is enough
    assert ids == [entry.id]
