"""What retention would do now: read from the registry, the stores, Git and the working tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from facemodels.dvc_files import recorded_ids
from facemodels.errors import FacemodelsError, IntegrityError
from facemodels.names import ModelId
from facemodels.params import load_yaml
from facemodels.registry.state import Entry, State
from facemodels.storage.retention.archive_store import recorded_archive
from facemodels.storage.retention.context import RetentionContext
from facemodels.storage.retention.plan import RetentionDecision, RetentionPlan, decide, plan
from facemodels.storage.retention.reachable import FolderLists, find_reachable
from facemodels.storage.stores.object_store import FolderFile
from facemodels.storage.stores.objects import VersionObjects, folder_of

_FLAGS = Path("conf", "deploy")
_PARAMS = Path("params.yaml")
_LOCK = Path("dvc.lock")


@dataclass(frozen=True)
class RetentionSurvey:
    """What retention would do, and what it saw.

    Attributes:
        plan: what would be done.
        objects: the objects of the versions, by version id, where their lists are anywhere.
        pointers: the files of the working tree that name a package which is or was archived;
            `dvc pull` would look for it in vain.
        unread: the ids of folders that revisions name and whose list is nowhere.
        broken: the ids of versions that should be archived and whose list is nowhere.
    """

    plan: RetentionPlan
    objects: Mapping[str, VersionObjects]
    pointers: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def survey(
    context: RetentionContext, state: State, now: float, lists: FolderLists
) -> RetentionSurvey:
    """Find out what retention would do; nothing is changed.

    Args:
        context: the clone and the remote.
        state: the state of the registry.
        now: the time in seconds since 1970.
        lists: reads the lists of folders.

    Raises:
        IntegrityError: the list of a version that is kept is nowhere, so that nobody knows what
            it shares with one that is archived.
        InputError: conf/retention.yaml lists a version that is not registered.
        ToolError: Git or the remote cannot be reached.
    """
    decisions = decide_now(context, state, now)
    sizes = _sizes(context)
    folders = {one: folder_of(entry) or "" for one, entry in state.entries.items()}
    objects = _objects(state, folders, lists)
    loose = {one.id for one in decisions if one.action != "keep" and one.id in objects}
    candidates = {oid for one in loose for oid in objects[one].oids}
    if not candidates & sizes.keys():
        return RetentionSurvey(_plan(context, state, now, objects, sizes, ()), objects)
    _require_lists(decisions, folders, objects)
    found = find_reachable(
        context.registry.git,
        lists,
        {folders[one]: package_path(state.entries[one]) for one in loose},
        candidates,
        [event.tag for event in state.events if state.id_of(event) in loose],
    )
    return RetentionSurvey(
        _plan(context, state, now, objects, sizes, found.oids),
        objects,
        tuple(sorted(found.pointers)),
        tuple(sorted(found.unread)),
        tuple(one.id for one in decisions if one.action == "archive" and one.id not in objects),
    )


def decide_now(
    context: RetentionContext, state: State, now: float
) -> tuple[RetentionDecision, ...]:
    """Decide what to do with every version by the settings and by what the working tree names.

    Raises:
        InputError: conf/retention.yaml lists a version that is not registered.
    """
    return decide(state, context.settings, now, named_elsewhere(context.registry.root, state))


def _plan(
    context: RetentionContext,
    state: State,
    now: float,
    objects: Mapping[str, VersionObjects],
    sizes: Mapping[str, int],
    needed: Collection[str],
) -> RetentionPlan:
    named = named_elsewhere(context.registry.root, state)
    return plan(state, context.settings, now, objects, sizes, needed=needed, named=named)


def _sizes(context: RetentionContext) -> dict[str, int]:
    """The bytes of everything in the cache or the remote; where they differ, the remote's."""
    return {**context.cache.sizes(), **context.remote.sizes()}


def _objects(
    state: State, folders: Mapping[str, str], lists: FolderLists
) -> dict[str, VersionObjects]:
    """The objects of each version whose list is anywhere, or in the record of its archive."""
    read = lists.read(folder for folder in folders.values() if folder)
    objects = {one: left for one in state.archived if (left := _recorded_objects(state, one))}
    objects |= {
        one: VersionObjects(one, folder, read[folder])
        for one, folder in folders.items()
        if folder in read
    }
    return objects


def _recorded_objects(state: State, identity: str) -> VersionObjects | None:
    """What an archived version was made of, also when its list was deleted long ago."""
    oids = (recorded_archive(state, identity) or {}).get("objects")
    folder = folder_of(state.entries[identity])
    if not isinstance(oids, list) or folder is None:
        return None
    files = tuple(FolderFile(str(oid), "") for oid in oids if oid != folder)
    return VersionObjects(identity, folder, files)


def _require_lists(
    decisions: tuple[RetentionDecision, ...],
    folders: Mapping[str, str],
    objects: Mapping[str, VersionObjects],
) -> None:
    """Stop where it is not known which objects a kept version needs."""
    lost = [
        one.id
        for one in decisions
        if one.action == "keep" and folders[one.id] and one.id not in objects
    ]
    if lost:
        raise IntegrityError(
            "nothing can be deleted: of versions that are kept, the lists of files are nowhere",
            "Push them from a clone that has them; see `facemodels storage audit --repair`.",
            missing=tuple(lost),
        )


def named_elsewhere(root: Path, state: State) -> dict[str, str]:
    """The versions that a file of the working tree asks for, by id, with the reason.

    These are flags of conf/deploy, which have a version kept ready, the baselines of comparisons
    in params.yaml, and what dvc.lock says that the pipeline builds: `dvc pull` asks for it.

    Raises:
        ParamsError: one of the files cannot be read.
    """
    named: dict[str, str] = {}
    for path in sorted((root / _FLAGS).glob("*.yaml")):
        for flag in load_yaml(path).get("flags") or ():
            try:
                named[str(ModelId.parse(str(flag["model_id"])))] = f"a flag of {_FLAGS}/{path.name}"
            except (FacemodelsError, KeyError, TypeError):
                continue  # `facemodels up` says what is wrong with it
    if (root / _PARAMS).is_file():
        compare = load_yaml(root / _PARAMS).get("compare") or {}
        folders = {str(folder).rstrip("/") for folder in (compare.get("baselines") or {}).values()}
        for entry in state.entries.values():
            if package_path(entry) in folders:
                named[entry.id] = f"a baseline of {_PARAMS}"
    if (root / _LOCK).is_file():
        built = recorded_ids((root / _LOCK).read_bytes())
        named |= {
            one: f"what {_LOCK} builds"
            for one, entry in state.entries.items()
            if folder_of(entry) in built
        }
    return named


def package_path(entry: Entry) -> str:
    """The path of a version's package in the repository."""
    return str(entry.facts.get("path") or ModelId.parse(entry.id).folder)
