"""Finds what the working tree names beside released versions and a remote lacks: other data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from facemodels.storage.stores.object_info import Listing
from facemodels.storage.stores.object_store import ObjectStore
from facemodels.storage.stores.objects import with_children
from facemodels.storage.sync.findings import ObjectFinding


def unpushed(
    root: Path,
    store: ObjectStore,
    listing: Listing,
    sources: Sequence[ObjectStore],
    known: Collection[str],
    archived: Mapping[str, str],
) -> list[ObjectFinding]:
    """Find the outputs of the working tree that a remote has not, or not whole.

    No version needs them, so they are no damage; but `dvc pull` of a fresh clone fails on them.

    Args:
        root: the folder of the repository.
        store: the remote.
        listing: what lies there.
        sources: the stores that may have the lists of folders.
        known: the objects of released versions, which are looked at elsewhere.
        archived: the ids of archived versions, by the object id of their folder.
    """
    found = []
    for path, oid in sorted(_outputs(root).items()):
        if oid in known:
            continue
        lacking = with_children([oid], sources) - listing.objects.keys()
        if lacking and oid in archived:
            found.append(ObjectFinding(store.name, "archived", path, (archived[oid],)))
        elif lacking:
            found.append(ObjectFinding(store.name, "unpushed", path))
    return found


def outputs_with(root: Path, oids: Collection[str], source: ObjectStore) -> tuple[str, ...]:
    """The paths of the outputs of the working tree that hold one of some objects, sorted.

    Args:
        root: the folder of the repository.
        oids: ids of objects; empty: nothing is looked up.
        source: the store that has the lists of folders.
    """
    if not oids:
        return ()
    found = _outputs(root).items()
    return tuple(
        sorted(path for path, oid in found if not with_children([oid], [source]).isdisjoint(oids))
    )


def _outputs(root: Path) -> dict[str, str]:
    """The object id of each output that DVC keeps in its cache, by its path."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            return {
                str(out): out.hash_info.value
                for out in repo.index.outs
                if out.use_cache and out.hash_info and out.hash_info.name == "md5"
            }
    except DvcException:
        return {}  # a tree that does not parse says nothing; DVC itself tells why
