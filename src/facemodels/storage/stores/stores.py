"""The object stores of a repository: its cache and its remotes, opened when they are needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar

from facemodels import dvc_files
from facemodels.errors import FacemodelsError, InputError
from facemodels.storage.stores.object_store import CACHE, ObjectStore
from facemodels.storage.stores.proof import LEDGER, ProofLedger
from facemodels.storage.stores.retries import Patience, Retries

STORAGE, BACKUP = "storage", "backup"  # the remotes that `facemodels storage init` sets up
_SILENCE_S = 30  # of a store in the middle of a body; s3fs then goes on from there
JOBS = min(16, 4 * (os.cpu_count() or 1))  # transfers at once; they wait for the network most

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stores:
    """The cache and the remotes of a repository.

    Args:
        root: the folder of the repository.
        patience: how long a remote may be away; None: the defaults of `Patience`.

    Raises:
        InputError: DVC's configuration cannot be read.
    """

    def __init__(self, root: Path, patience: Patience | None = None) -> None:
        self.root = root
        self._patience = patience
        self._open: dict[str, ObjectStore] = {}
        self._broken: set[str] = set()
        self.names = dvc_files.read_remotes(root).names
        self.ledger = ProofLedger(root / LEDGER)

    @property
    def cache(self) -> ObjectStore:
        """DVC's cache of this clone."""
        return self._store(CACHE)

    def remote(self, name: str | None = None) -> ObjectStore:
        """Open a remote; without a name, the default one.

        Raises:
            InputError: there is no such remote.
        """
        chosen = name or dvc_files.default_remote(self.root)
        if not chosen:
            raise InputError(
                "There is no default remote.",
                "Give --remote, or run `facemodels storage init --url …`.",
            )
        if chosen not in self.names:
            raise InputError(
                f"There is no remote {chosen}.",
                f"There are: {', '.join(self.names) or 'none'}. See `dvc remote list`.",
            )
        return self._store(chosen)

    def others(self, *asked: ObjectStore) -> Iterator[ObjectStore]:
        """Open the cache and the remotes that are not among those given.

        A store that cannot be opened is left out.
        """
        known = {store.name for store in asked}
        for name in (CACHE, *self.names):
            if name in known or name in self._broken:
                continue
            try:
                yield self._store(name)
            except FacemodelsError:
                self._broken.add(name)

    def all_from(self, *first: ObjectStore) -> Iterator[ObjectStore]:
        """Yield the stores given, then the others."""
        yield from first
        yield from self.others(*first)

    def _store(self, name: str) -> ObjectStore:
        if name not in self._open:
            self._open[name] = open_store(self.root, name, patience=self._patience)
        return self._open[name]


def open_store(
    root: Path,
    name: str | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    patience: Patience | None = None,
) -> ObjectStore:
    """Open the cache or a remote of a repository.

    Args:
        root: the folder of the repository.
        name: `cache`, or the name of a remote; None: the default remote.
        config: settings that replace those of .dvc/config, as `dvc.repo.Repo` takes them.
        patience: how long the remote may be away; None: the defaults of `Patience`.

    Raises:
        InputError: there is no such remote.
    """
    from dvc.config import ConfigError, RemoteNotFoundError
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        repo = Repo(str(root), config=dict(config) if config else None)
        if name == CACHE:
            return ObjectStore(CACHE, repo.cache.local)
        chosen = name or dvc_files.default_remote(root)
        if not chosen:
            raise InputError(
                "There is no default remote.", "Run `facemodels storage init --url …`."
            )
        odb = repo.cloud.get_remote_odb(name=chosen)
        _leave_retries_to_us(odb.fs)
        return ObjectStore(str(chosen), odb, Retries(patience))
    except (ConfigError, RemoteNotFoundError, DvcException) as error:
        raise InputError(
            f"{name or 'the default remote'} cannot be used: {error}.",
            "See `dvc remote list`; `facemodels storage init` sets remotes up.",
        ) from error


def _leave_retries_to_us(filesystem: Any) -> None:
    """Let botocore try each call once.

    It tries five times, and s3fs five times that, which takes a minute and a half for a store
    that is gone, whatever patience the user asked for.
    """
    if filesystem.protocol == "s3":
        settings = filesystem.fs_args.setdefault("config_kwargs", {})
        settings.setdefault("retries", {"total_max_attempts": 1})
        settings.setdefault("read_timeout", _SILENCE_S)


def each(
    act: Callable[[Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[tuple[Item, Result]]:
    """Call a function for every item in threads, and yield the results as they come.

    The first error ends the work.

    Args:
        act: the function, which runs in several threads.
        items: its arguments, one call for each.
        jobs: the number of threads.
    """
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = {pool.submit(act, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def find_whole(oid: str, stores: Iterable[ObjectStore]) -> ObjectStore | None:
    """Find the first store that has an object whole; one that does not answer is passed over."""
    for store in stores:
        try:
            if store.is_whole(oid):
                return store
        except FacemodelsError:
            continue
    return None
