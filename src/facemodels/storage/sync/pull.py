"""Bring the objects of released versions into the cache; nothing comes in that is not checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from facemodels.errors import IntegrityError
from facemodels.progress import progress
from facemodels.registry.state import State
from facemodels.storage.stores.errors import AccessError, FullError, TransientError
from facemodels.storage.stores.object_store import Place
from facemodels.storage.stores.objects import kept, lists_of, users
from facemodels.storage.stores.stores import JOBS, Stores, each


@dataclass(frozen=True)
class Pull:
    """What a pull did.

    Attributes:
        remote: that was asked first.
        versions: ids of the versions that the cache has whole now.
        objects: how many objects they have together.
        fetched: the place each object came from that the cache did not have whole, by id.
        replaced: ids of those that lay broken in the cache.
        refused: for each place that gave something else than was asked, the ids.
    """

    remote: str
    versions: tuple[str, ...]
    objects: int
    fetched: dict[str, str]
    replaced: tuple[str, ...]
    refused: dict[str, tuple[str, ...]]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "remote": self.remote, "versions": list(self.versions), "objects": self.objects,
            "fetched": self.fetched, "replaced": list(self.replaced),
            "refused": {name: list(oids) for name, oids in self.refused.items()},
        }  # fmt: skip


def pull(
    stores: Stores,
    state: State,
    *,
    remote: str | None = None,
    only: Sequence[str] = (),
    jobs: int = JOBS,
) -> Pull:
    """Make the cache hold every object of the kept versions, each checked by its md5.

    What the remote lacks or has broken comes from another remote that has it whole.

    Args:
        stores: of the repository.
        state: of the registry.
        remote: name; None: the default one.
        only: ids of the versions; none: all that are kept.
        jobs: transfers at once.

    Raises:
        InputError: there is no such remote or version.
        IntegrityError: an object is whole in no place; the others are in the cache.
        FullError: the cache has no room; what is there is whole.
        AccessError: the remote does not let us in.
        TransientError: it did not answer for longer than the stores' patience.
    """
    place = stores.remote(remote)
    asked = [state.entry(identity) for identity in only] or kept(state)
    objects, unknown = lists_of(asked, lambda: stores.all_from(stores.cache, place))
    names = users(objects)
    fetch = _Fetch(stores, place)
    with progress(f"pull from {place.name}", len(names)) as advance:
        for _ in each(fetch, names, jobs):
            advance(1)
    if fetch.lost:
        versions = sorted({version for oid in fetch.lost for version in names[oid]})
        raise IntegrityError(
            f"objects of {', '.join(versions)} are whole in no remote",
            "Push them from a clone that has them, or restore the versions "
            "(`facemodels storage restore`). All else is in the cache.",
            missing=tuple(sorted(fetch.lost)),
        )
    if unknown is not None:
        raise unknown
    refused = {name: tuple(sorted(oids)) for name, oids in fetch.refused.items()}
    return Pull(
        place.name, tuple(one.id for one in objects), len(names),
        dict(sorted(fetch.fetched.items())), tuple(sorted(fetch.replaced)), refused,
    )  # fmt: skip


class _Fetch:
    """Gets one object after the other; used by several threads, which share only what grows."""

    def __init__(self, stores: Stores, place: Place) -> None:
        self._cache = stores.cache
        self._sources = (place, *stores.others(stores.cache, place))
        self.fetched: dict[str, str] = {}
        self.replaced: list[str] = []
        self.lost: list[str] = []
        self.refused: dict[str, list[str]] = {place.name: [] for place in self._sources}

    def __call__(self, oid: str) -> None:
        digest = self._cache.digest(oid)
        if digest == oid.removesuffix(".dir"):
            return
        problem: Exception | None = None
        for source in self._sources:
            try:
                self._cache.take(oid, source)
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
                return
        if problem is not None:
            raise problem
        self.lost.append(oid)
