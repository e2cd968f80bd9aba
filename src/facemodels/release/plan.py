"""Chooses the next version of a model and plans the steps that release it. Pure.

The repository itself shows how far a release has come: as long as a release is under way, the
version in conf/ is higher than the highest registered one. There is no journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from facemodels import dvc_files
from facemodels.errors import InputError
from facemodels.names import ModelId, ModelName, Version
from facemodels.registry import semver
from facemodels.registry.semver import Level
from facemodels.sealing.code import CODE, CODE_STAGE
from facemodels.sealing.declaration import record_path

PARAMS = "params.yaml"
CONFIG = "conf/config.yaml"
SUBJECT = "Release "  # the first word of the message of every release's commit


@dataclass(frozen=True)
class ReleaseRequest:
    """The release that the user asks for.

    Attributes:
        name: the name of the model.
        bump: the level by which the version rises; None for a first release, or to continue
            with the version that an interrupted release wrote.
        message: what is new, for the card, the commit and the tag.
        accept_regression: who answers for worse accuracy and why; empty if nobody does.
        labels: words for the filters of the registry.
    """

    name: str
    bump: Level | None
    message: str
    accept_regression: str = ""
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class PreviousVersion:
    """The highest registered version of a model.

    Attributes:
        id: the id of the version.
        path: the path of its package, from the root of the repository.
        commit: the id of the commit that it was registered at.
    """

    id: ModelId
    path: str
    commit: str

    @property
    def dvc_file(self) -> str:
        """The path of the `.dvc` file that keeps the version beside the next one."""
        return f"{self.path}.dvc"


@dataclass(frozen=True)
class ReleaseFacts:
    """What a release has to know of the repository.

    Attributes:
        model: the version that conf/ names.
        siblings: the names of all models of its task, itself included; `compare` builds them all.
        branch: the branch that is checked out.
        previous: the highest registered version; None before the first release.
        contained: whether the branch contains the commit of the previous version or, after a
            squash, the same package.
        frozen: whether the `.dvc` file of the previous version exists and is not committed yet.
        changes: what differs from the previous version; read only while conf/ names that version.
        git_remote: the Git remote that the branch is pushed to; "" if there is none.
        dvc_remote: the DVC remote that the weights are pushed to; "" if there is none.
    """

    model: ModelId
    siblings: Sequence[str]
    branch: str
    previous: PreviousVersion | None = None
    contained: bool = True
    frozen: bool = False
    changes: Sequence[str] = ()
    git_remote: str = ""
    dvc_remote: str = ""

    @property
    def started(self) -> bool:
        """Whether a release has changed files already, or somebody wrote the next version."""
        return self.previous is not None and (
            self.frozen or self.model.version > self.previous.id.version
        )


@dataclass(frozen=True)
class Step:
    """One step of a release.

    Attributes:
        name: one of `STEPS`.
        text: what the step does in this release.
    """

    name: str
    text: str


@dataclass(frozen=True)
class ReleasePlan:
    """The plan of a release.

    Attributes:
        target: the version that the release makes.
        previous: the version before it; None for a first release.
        steps: the steps in their order.
        files: the files and folders that its commit may contain, from the root.
        notes: sentences that the user should read before the release starts.
    """

    target: ModelId
    previous: PreviousVersion | None
    steps: Sequence[Step]
    files: Sequence[str]
    notes: Sequence[str] = field(default=())

    def as_json(self) -> dict[str, Any]:
        """The values as JSON has them."""
        return {
            "model_id": str(self.target),
            "previous": str(self.previous.id) if self.previous else None,
            "steps": [{"step": step.name, "text": step.text} for step in self.steps],
            "files": list(self.files),
            "notes": list(self.notes),
        }


def choose(request: ReleaseRequest, facts: ReleaseFacts) -> Version:
    """Choose the version that is released next.

    Raises:
        InputError: no bump where one is needed, nothing to release, or conf/ is behind.
    """
    current, previous = facts.model.version, facts.previous
    if previous is None:
        return current
    released = previous.id.version
    if current < released and facts.contained:
        raise InputError(
            f"{previous.id} is registered at a commit that this branch has, though "
            f"{card_file(facts.model.name)} has version {current}: GTO, perhaps, registered it "
            "without a release.",
            f"Write version {released} there, commit, and release the next one with --bump.",
        )
    if current < released or not facts.contained:
        raise InputError(
            f"{previous.id} is registered, and this branch lacks its release: "
            f"{card_file(facts.model.name)} has version {current}.",
            f"Bring it in first: git merge {previous.commit[:10]}",
        )
    if current == released and not facts.started and not facts.changes:
        raise InputError(
            f"Nothing has changed since {previous.id}, which is registered.",
            f"Change parameters, code, data or the card's words ({card_file(facts.model.name)}) "
            "first; `facemodels registry info` shows what was released.",
        )
    if request.bump is not None:
        return semver.bump(released, request.bump)
    if current > released:
        return current
    raise InputError(
        f"{previous.id} is registered, so the next version needs --bump.",
        "Give --bump patch, minor or major.",
    )


def make(request: ReleaseRequest, facts: ReleaseFacts) -> ReleasePlan:
    """Plan a release.

    Raises:
        InputError: see `choose`; or the message cannot stand in conf/.
    """
    _require_plain(request.message)
    target = ModelId(facts.model.name, choose(request, facts), facts.model.variant)
    notes = []
    if facts.previous is None and request.bump is not None:
        notes.append(f"This is the first release, so --bump {request.bump} says nothing.")
    if not facts.dvc_remote:
        notes.append("No default DVC remote: nobody else can get the weights.")
    if not facts.git_remote:
        notes.append("No Git remote: the release stays in this clone.")
    steps = [Step(name, text) for name, text in _texts(request, facts, target).items()]
    return ReleasePlan(target, facts.previous, steps, files(request.name, facts), notes)


def _require_plain(message: str) -> None:
    if not message.strip():
        raise InputError("The release needs words.", "Say what is new with --message.")
    if "${" in message or message.strip() == "???":
        raise InputError(
            f"The message {message!r} means something else to Hydra, which reads it in conf/.",
            "Write it without ${ and not as ??? alone.",
        )


def _texts(request: ReleaseRequest, facts: ReleaseFacts, target: ModelId) -> dict[str, str]:
    """Describe what each step does, by its name, in the order of the steps."""
    name, task, old = request.name, target.name.task, facts.previous
    card = card_file(target.name)
    freeze, edit, judge = (
        "nothing to freeze: no version is registered",
        f"{card} stays as it is: version {target.version}",
        "gates; no version to compare with",
    )
    if old is not None:
        freeze = f"{old.dvc_file} keeps {old.id} as commit {old.commit[:10]} has it"
        edit = (
            f"{card}: version {facts.model.version} → {target.version}, parent {old.id.version}; "
            f"{CONFIG}: compare.baselines.{task} = {old.path}"
        )
        judge = f"gates; {target} against {old.id} for a {level(target, old)} bump" + (
            f", regression accepted: {request.accept_regression}"
            if request.accept_regression
            else ""
        )
    before = str(old.id) if old else "nothing"
    synced = f"registry in step with {facts.git_remote}, " if facts.git_remote else ""
    weights = f"weights to {facts.dvc_remote}" if facts.dvc_remote else "no DVC remote for weights"
    branch = f"{facts.branch} to {facts.git_remote}" if facts.git_remote else "no Git remote"
    return {
        "check": f"{before} → {target}; {synced}no other change on {facts.branch}",
        "freeze": freeze,
        "card": edit,
        "compose": f"conf/ → {PARAMS}",
        "rebuild": f"dvc repro {' '.join(targets(name, task))}",
        "judge": judge,
        "commit": f'"{subject(name, target.version)}", only what the release touches',
        "push": f"{weights}; {branch}",
        "register": f"tag {tag(target)}"
        + (f", pushed to {facts.git_remote}" if facts.git_remote else ""),
    }


STEPS = (
    "check", "freeze", "card", "compose", "rebuild", "judge", "commit", "push", "register",
)  # fmt: skip


def level(target: ModelId, previous: PreviousVersion) -> Level:
    """Find the level at which the target differs from the version before."""
    return semver.level_between(previous.id.version, target.version)


def tag(target: ModelId) -> str:
    """The name of the tag that the registration makes."""
    from facemodels.registry import tag_names

    return tag_names.register(target)


def subject(name: str, version: Version) -> str:
    """The first line of the release's commit."""
    return f"{SUBJECT}{name} v{version}"


def card_file(name: ModelName) -> str:
    """The path of the file that has the version and card of a model, or of a system."""
    if name.task == "system":
        return f"conf/bundle/{name.architecture}.yaml"
    return f"conf/model/{name}.yaml"


def package_stage(name: str, task: str) -> str:
    """The stage that makes the package of a version."""
    return f"{'bundle' if task == 'system' else 'package'}@{name}"


def targets(name: str, task: str) -> list[str]:
    """The stages that `dvc repro` is asked to build."""
    suite = "benchmark_system" if task == "system" else "benchmark"
    return [package_stage(name, task), f"{suite}@{name}", f"compare@{task}"]


def made_of(name: str, task: str) -> list[str]:
    """The stages that lead to the package of a version; a system's members have their own."""
    own = (
        (f"system@{name}", f"gate_system@{name}")
        if task == "system"
        else (f"train@{name}", f"validate@{name}", f"gate@{name}")
    )
    return [f"prepare@{task}", *own, package_stage(name, task)]


def stages(name: str, task: str) -> list[str]:
    """All stages that a release may run."""
    return [CODE_STAGE, *made_of(name, task), *targets(name, task)[1:]]


def files(name: str, facts: ReleaseFacts) -> tuple[str, ...]:
    """The files in Git, and one folder, that a release writes; its commit contains no others.

    `compare` builds all models of the task, so their reports are among them.
    """
    task = facts.model.name.task
    found = [
        card_file(facts.model.name), CONFIG, PARAMS, dvc_files.LOCK, CODE,
        f"models/{task}/.gitignore",
        f"reports/prepare/{task}.json", "reports/prepare/.gitignore",
        f"reports/suite/{task}/.gitignore",
        f"reports/compare/{task}.md", "reports/compare/.gitignore",
        f"reports/compare-measured/{task}.json",
    ]  # fmt: skip
    for model in facts.siblings:
        found += [
            f"reports/validate/{model}.json", f"reports/validate/{model}/.gitignore",
            f"reports/gate/{model}.json",
            f"reports/benchmark/{model}.json", f"reports/speed/{model}.json",
        ]  # fmt: skip
    runs = {stage for model in (name, *facts.siblings) for stage in stages(model, task)}
    found += sorted(record_path(stage) for stage in runs)
    if facts.previous is not None:
        found.append(facts.previous.dvc_file)
    return tuple(found)
