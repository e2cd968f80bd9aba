"""Stores as processes: one of each for all tests, a new bucket for each that asks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import botocore.loaders
import pytest

from tests.functional.storage import stores
from tests.functional.storage.stores import Store


@pytest.fixture(scope="session", autouse=True)
def descriptions_of_services() -> Iterator[None]:
    """Every client reads Amazon's JSON of S3 anew, for 40 ms: here it is read once."""
    with pytest.MonkeyPatch.context() as patch:
        read = cache(botocore.loaders.JSONFileLoader().load_file)
        patch.setattr(botocore.loaders.JSONFileLoader, "load_file", lambda _, path: read(path))
        yield


@pytest.fixture(scope="session")
def _moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = stores.moto(tmp_path_factory.mktemp("moto"))
    yield store
    store.kill()


@pytest.fixture(scope="session")
def _seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = stores.seaweed(tmp_path_factory.mktemp("seaweed"))
    yield store
    store.kill()


def _enter(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    from s3fs import S3FileSystem

    if store.process is None or store.process.poll() is not None:
        store.start()
    for name, value in store.credentials.items():
        monkeypatch.setenv(name, value)
    S3FileSystem.clear_instance_cache()  # it keeps clients with the credentials of before
    return store


@pytest.fixture
def moto(_moto: Store, isolated: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    """moto, with its credentials in the environment."""
    return _enter(_moto, monkeypatch)


@pytest.fixture
def seaweed(_seaweed: Store, isolated: None, monkeypatch: pytest.MonkeyPatch) -> Store:
    """SeaweedFS, with its credentials in the environment; a test may kill and start it."""
    return _enter(_seaweed, monkeypatch)
