"""Reads what a release has to know of the repository. Nothing is changed."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from facemodels import dvc_files
from facemodels.errors import InputError, some
from facemodels.git import Git
from facemodels.names import ModelId
from facemodels.params import Params, load, load_yaml
from facemodels.pipeline.compose import compose
from facemodels.registry import signatures
from facemodels.registry.registry import Registry
from facemodels.registry.state import Entry, State
from facemodels.release import branch, card, dvc, plan
from facemodels.release.plan import PreviousVersion, ReleaseFacts, ReleaseRequest
from facemodels.sealing.code import CODE_STAGE, edited_code
from facemodels.yaml_text import parse_yaml

_REMEDY = "Commit, stash or remove them first: a release must be what everybody else can build."


def read(registry: Registry, request: ReleaseRequest) -> ReleaseFacts:
    """Read the facts, and check that the repository is ready for a release.

    Raises:
        ParamsError: no model of that name, or conf/ does not compose.
        InputError: no branch, or files that are not the release's are changed.
        ConflictError: the branch is behind its remote.
        RuleError: who runs it may not register, or the licence is not allowed.
        ToolError: git, DVC or a remote failed.
    """
    git, root = registry.git, registry.root
    _require_role(registry)
    composed, values = compose_now(root)
    chosen = composed.candidate(request.name)
    registry.repository.policy.require_origin(request.name, chosen.card.model_dump())
    model = chosen.id
    entry = latest(registry.repository.state(), model)
    previous = None if entry is None else _previous(entry)
    here = branch.read(git, registry.repository.remote())
    branch.require_up_to_date(git, here)
    facts = ReleaseFacts(
        model=model,
        siblings=[one.name for one in composed.candidates(model.name.task)],
        branch=here.name,
        previous=previous,
        contained=previous is None or contains_release(git, previous),
        frozen=previous is not None and _is_new(root, git, previous.dvc_file),
        git_remote=here.remote,
        dvc_remote=dvc_files.default_remote(root),
    )
    lock = dvc_files.read_lock_here(root)
    _require_own(git, root, request.name, facts, values, lock)
    _require_no_strays(root, composed, facts, lock)
    if previous is not None and not facts.started and model.version == previous.id.version:
        found = changes(git, root, request.name, previous, values, lock)
        facts = ReleaseFacts(**{**vars(facts), "changes": found})
    return facts


def compose_now(root: Path) -> tuple[Params, dict[str, Any]]:
    """Compose conf/ as it is now, into typed and into plain values; params.yaml is not written.

    Raises:
        ParamsError: conf/ does not compose, or does not fit the schema.
    """
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        path = Path(scratch, plan.PARAMS)
        compose(root / "conf", path, [], dry_run=False)
        return load(path), load_yaml(path)


def latest(state: State, model: ModelId) -> Entry | None:
    """Find the highest registered version of a model and variant; None if there is none."""
    found = [
        entry
        for entry in state.of_model(str(model.name))
        if ModelId.parse(entry.id).variant == model.variant
    ]
    return found[-1] if found else None


def _previous(entry: Entry) -> PreviousVersion:
    model = ModelId.parse(entry.id)
    path = str(entry.facts.get("path") or model.folder)
    return PreviousVersion(model, path, entry.event.commit)


def contains_release(git: Git, previous: PreviousVersion) -> bool:
    """Whether the branch contains a version's commit or, after a squash, its package."""
    if branch.contains(git, previous.commit):
        return True
    there = dvc_files.find_hash(git, previous.commit, previous.path)
    return there is not None and there == dvc_files.find_hash(git, "HEAD", previous.path)


def _is_new(root: Path, git: Git, path: str) -> bool:
    return (root / path).is_file() and git.file("HEAD", path) is None


def _require_role(registry: Registry) -> None:
    """Check the role before hours of training, and not after."""
    policy = registry.repository.policy
    if policy.signatures == "required":
        who = signatures.own_principal(registry.git, registry.root, policy)
        policy.require(who, "register")


# --- does every change in the working tree belong to the release? ------------------------


def _require_own(
    git: Git,
    root: Path,
    name: str,
    facts: ReleaseFacts,
    values: Mapping[str, Any],
    lock: Mapping[str, Any],
) -> None:
    own = set(plan.files(name, facts))
    found = branch.changes(git)
    deps = _dependencies(lock, name, facts.model.name.task)
    bad = branch.foreign(found, own, deps)
    changed = {change.path for change in found}
    if plan.CONFIG in changed and _config_is_foreign(git, root, facts):
        bad.append(f"{plan.CONFIG} (more than the baseline of the task)")
    if dvc_files.LOCK in changed and (others := _foreign_stages(git, facts, lock)):
        bad.append(f"{dvc_files.LOCK} ({some(others)})")
    if plan.PARAMS in changed and not facts.started and load_yaml(root / plan.PARAMS) != values:
        bad.append(f"{plan.PARAMS} (values that conf/ does not have, of `dvc exp run` perhaps)")
    if bad:
        raise InputError(
            f"These files are changed or new, and not by a release of {name}: {some(bad)}.",
            f"{_REMEDY} `git status` lists them all.",
        )


def _dependencies(lock: Mapping[str, Any], name: str, task: str) -> set[str]:
    """The paths that the stages of a model read, as far as dvc.lock has them."""
    wanted = plan.stages(name, task)
    return {path for stage in wanted for path in dvc_files.paths_of(lock.get(stage, {}), "deps")}


def is_pulled(root: Path, name: str, task: str) -> bool:
    """Whether the workspace has every frozen version and all outputs of the stages.

    The package itself does not count: it gets another version number and is made in no time.
    """
    known = dvc_files.read_lock_here(root)
    outs = [
        root / path
        for stage in plan.stages(name, task)
        if stage != plan.package_stage(name, task)
        for path in dvc_files.paths_of(known.get(stage, {}), "outs")
    ]
    frozen = dvc_files.tracked_in(root / "models" / task)
    return all(path.exists() for path in [*outs, *frozen])


def _config_is_foreign(git: Git, root: Path, facts: ReleaseFacts) -> bool:
    """Whether conf/config.yaml has other changes than the baseline that a release pins."""
    task = facts.model.name.task
    now = (root / plan.CONFIG).read_text(encoding="utf-8")
    before = git.file("HEAD", plan.CONFIG) or ""
    pinned = card.baseline(now, task, plan.CONFIG)
    return card.edit_baseline(before, task, pinned, plan.CONFIG) != now


def _foreign_stages(git: Git, facts: ReleaseFacts, now: Mapping[str, Any]) -> list[str]:
    """The stages of other tasks whose entries in dvc.lock differ from HEAD."""
    own = {*facts.siblings, facts.model.name.task, CODE_STAGE}
    before = dvc_files.read_lock(git, "HEAD")
    return [
        stage
        for stage in sorted(before.keys() | now.keys())
        if before.get(stage) != now.get(stage) and stage.rpartition("@")[2] not in own
    ]


def _require_no_strays(
    root: Path, composed: Params, facts: ReleaseFacts, lock: Mapping[str, Any]
) -> None:
    """Check that the folder of the task has no folder that nothing tracks.

    `compare` depends on the whole folder of the task, so an untracked folder would get into
    dvc.lock, and a fresh clone would not have it.
    """
    task = facts.model.name.task
    folder = root / "models" / task
    known = {Path(one.package).name for one in composed.candidates(task)}
    known |= {path.name for path in dvc_files.tracked_in(folder)}
    known |= {Path(path).name for path in _own_outs(lock, facts)}
    if facts.previous is not None:
        known.add(Path(facts.previous.path).name)
    strays = [
        path.relative_to(root).as_posix()
        for path in sorted(folder.glob("*"))
        if path.is_dir() and path.name not in known
    ]
    if strays:
        raise InputError(
            f"Nothing tracks {some(strays)}, left by an earlier build perhaps; it would "
            "get into the comparison.",
            f"Remove it: rm -r {' '.join(strays)}",
        )


def _own_outs(lock: Mapping[str, Any], facts: ReleaseFacts) -> Collection[str]:
    """The packages of the task in dvc.lock, for example one of an interrupted release."""
    return [
        path
        for name in facts.siblings
        for path in dvc_files.paths_of(
            lock.get(plan.package_stage(name, facts.model.name.task), {}), "outs"
        )
    ]


# --- has anything changed since the previous version? --------------------------------------


def changes(
    git: Git,
    root: Path,
    name: str,
    previous: PreviousVersion,
    values: Mapping[str, Any],
    lock: Mapping[str, Any],
) -> list[str]:
    """List what differs from the previous version.

    Parameters, the words of the card and the entries of dvc.lock are compared. If they are equal,
    `dvc status` is asked for data that was not built yet, and the lists of code for modules.
    """
    task = previous.id.name.task
    kind = "systems" if task == "system" else "models"
    text = git.file(previous.commit, plan.PARAMS) or ""
    before = parse_yaml(text, f"{plan.PARAMS} at {previous.commit[:10]}")
    found = [
        *_differences(_at(before, kind, name), _at(values, kind, name), f"{kind}.{name}"),
        *_differences(_at(before, "data", task), _at(values, "data", task), f"data.{task}"),
    ]
    then = _lock_at(git, root, previous.commit, lock)
    stages = plan.made_of(name, task)
    found += [
        f"{dvc_files.LOCK}: {stage}" for stage in stages if then.get(stage) != lock.get(stage)
    ]
    return found or dvc.stale(root, stages) or edited_code(root, stages)


def _lock_at(git: Git, root: Path, commit: str, now: Mapping[str, Any]) -> Mapping[str, Any]:
    """The stages of dvc.lock at a commit; to parse the same text again would take 0.2 s."""
    text = git.file(commit, dvc_files.LOCK) or ""
    here = root / dvc_files.LOCK
    if here.is_file() and here.read_text(encoding="utf-8") == text:
        return now
    return dvc_files.parse_lock(text, f"{dvc_files.LOCK} at {commit[:10]}")


def _at(values: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        values = values.get(key) or {}
    return values


def _differences(old: Any, new: Any, where: str) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [
            line
            for key in keys
            for line in _differences(old.get(key), new.get(key), f"{where}.{key}")
        ]
    return [] if old == new else [where]
