"""The places of a repository: its cache and its remotes, opened when they are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from facemodels.errors import FacemodelsError, InputError
from facemodels.storage.stores.errors import Patience
from facemodels.storage.stores.object_store import CACHE, Place, open_place, remote_names
from facemodels.storage.stores.proof import LEDGER, Ledger

JOBS = min(16, 4 * (os.cpu_count() or 1))  # transfers at once: they wait for the network most

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stores:
    """The cache and the remotes of a repository.

    Args:
        root: of the repository.
        patience: with remotes that do not answer; None: the usual.
    """

    def __init__(self, root: Path, patience: Patience | None = None) -> None:
        self.root = root
        self._patience = patience
        self._open: dict[str, Place] = {}
        self._broken: set[str] = set()
        self.names = remote_names(root)
        self.ledger = Ledger(root / LEDGER)

    @property
    def cache(self) -> Place:
        """DVC's cache of this clone."""
        return self._place(CACHE)

    def remote(self, name: str | None = None) -> Place:
        """A remote; the default one without a name.

        Raises:
            InputError: there is no such remote.
        """
        from dvc.config import Config

        chosen = name or Config(str(self.root / ".dvc"))["core"].get("remote")
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
        return self._place(str(chosen))

    def others(self, *asked: Place) -> Iterator[Place]:
        """Cache and remotes beside those given; one that cannot be opened is passed over."""
        known = {place.name for place in asked}
        for name in (CACHE, *self.names):
            if name in known or name in self._broken:
                continue
            try:
                yield self._place(name)
            except FacemodelsError:
                self._broken.add(name)

    def all_from(self, *first: Place) -> Iterator[Place]:
        """These, then the others."""
        yield from first
        yield from self.others(*first)

    def _place(self, name: str) -> Place:
        if name not in self._open:
            self._open[name] = open_place(self.root, name, patience=self._patience)
        return self._open[name]


def each(
    act: Callable[[Item], Result], items: Iterable[Item], jobs: int
) -> Iterator[tuple[Item, Result]]:
    """Results in the order in which they come; the first error ends the work.

    Args:
        act: runs in a thread.
        items: one call each.
        jobs: calls at once.
    """
    with ThreadPoolExecutor(max_workers=max(1, jobs)) as pool:
        futures = {pool.submit(act, item): item for item in items}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def find_whole(oid: str, places: Iterable[Place]) -> Place | None:
    """The first place that has an object whole; one that does not answer has nothing."""
    for place in places:
        try:
            if place.is_whole(oid):
                return place
        except FacemodelsError:
            continue
    return None


def total(sizes: Sequence[int]) -> str:
    """Bytes in words, for people."""
    amount = float(sum(sizes))
    for unit in ("B", "KB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
