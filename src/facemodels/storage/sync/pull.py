"""Fetch the objects of released versions into the cache, and check each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facemodels.errors import IntegrityError, some
from facemodels.progress import progress
from facemodels.registry.state import State
from facemodels.storage.stores.errors import AccessError, FullError, TransientError
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.objects import (
    is_linked,
    read_lists,
    stored_versions,
    versions_by_object,
)
from facemodels.storage.stores.stores import JOBS, Stores, each
from facemodels.storage.sync.workspace import outputs_with


@dataclass(frozen=True)
class PullReport:
    """What a pull did.

    Attributes:
        remote: the name of the remote that was asked first.
        versions: the ids of the versions that the cache has whole now.
        objects: the number of objects that they have together.
        fetched: the store that each fetched object came from, by object id.
        replaced: the ids of fetched objects that were damaged in the cache.
        refused: the ids of objects that were damaged in a store, by the name of the store.
        linked: how many of the replaced objects have other links: files of a working tree that go
            on to hold the damaged bytes.
        relink: the outputs of this working tree with such files; `dvc checkout --relink --force`
            gives them the whole bytes.
    """

    remote: str
    versions: tuple[str, ...]
    objects: int
    fetched: dict[str, str]
    replaced: tuple[str, ...]
    refused: dict[str, tuple[str, ...]]
    linked: int = 0
    relink: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON."""
        return {
            "remote": self.remote, "versions": list(self.versions), "objects": self.objects,
            "fetched": self.fetched, "replaced": list(self.replaced),
            "refused": {name: list(oids) for name, oids in self.refused.items()},
            "linked": self.linked, "relink": list(self.relink),
        }  # fmt: skip


def pull(
    stores: Stores,
    state: State,
    *,
    remote: str | None = None,
    only: Sequence[str] = (),
    jobs: int = JOBS,
) -> PullReport:
    """Make the cache hold every object of versions, each checked by its md5.

    What the remote lacks or has damaged is fetched from another remote that has it whole.

    Args:
        stores: the stores of the repository.
        state: the state of the registry.
        remote: the name of the remote; None: the default one.
        only: the ids of the versions; empty: all that are not archived.
        jobs: the number of transfers at once.

    Raises:
        InputError: there is no such remote or version.
        IntegrityError: an object is whole in no store; the others are in the cache.
        FullError: the cache has no room; what is there is whole.
        AccessError: the remote refuses access.
        TransientError: the remote did not answer for longer than the stores' patience.
    """
    source = stores.remote(remote)
    asked = [state.entry(identity) for identity in only] or stored_versions(state)
    objects, unknown = read_lists(asked, lambda: stores.all_from(stores.cache, source))
    names = versions_by_object(objects)
    fetch = _PullRun(stores, source)
    with progress(f"pull from {source.name}", len(names)) as advance:
        for _ in each(fetch, names, jobs):
            advance(1)
    if fetch.lost:
        versions = sorted({version for oid in fetch.lost for version in names[oid]})
        raise IntegrityError(
            f"objects of {some(versions)} are whole in no remote",
            "Push them from a clone that has them, or restore the versions "
            "(`facemodels storage restore`). All else is in the cache.",
            missing=tuple(sorted(fetch.lost)),
        )
    if unknown is not None:
        raise unknown
    refused = {name: tuple(sorted(oids)) for name, oids in fetch.refused.items()}
    return PullReport(
        source.name, tuple(one.id for one in objects), len(names),
        dict(sorted(fetch.fetched.items())), tuple(sorted(fetch.replaced)), refused,
        len(fetch.linked), outputs_with(stores.root, fetch.linked, stores.cache),
    )  # fmt: skip


class _PullRun:
    """One pull. Threads call it for one object each; they share only lists that grow."""

    def __init__(self, stores: Stores, first: ObjectStore) -> None:
        self._cache = stores.cache
        self._sources = (first, *stores.others(stores.cache, first))
        self.fetched: dict[str, str] = {}
        self.replaced: list[str] = []
        self.linked: list[str] = []
        self.lost: list[str] = []
        self.refused: dict[str, list[str]] = {store.name: [] for store in self._sources}

    def __call__(self, oid: str) -> None:
        digest = self._cache.digest(oid)
        if digest == oid.removesuffix(".dir"):
            return
        linked = digest is not None and is_linked(self._cache, oid)
        problem: Exception | None = None
        for source in self._sources:
            try:
                self._cache.copy_from(source, oid)
            except FullError:
                raise
            except (AccessError, TransientError) as error:
                problem = problem or error  # another may have it
            except IntegrityError:
                if source.size(oid) is not None:
                    self.refused[source.name].append(oid)
            else:
                self.fetched[oid] = source.name
                if digest is not None:
                    self.replaced.append(oid)
                    self.linked += [oid] if linked else []
                return
        if problem is not None:
            raise problem
        self.lost.append(oid)
