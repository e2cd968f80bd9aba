"""Runs a release, step by step. Each step finds what is done already and does the rest."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from facemodels import dvc_files
from facemodels.errors import GateError, InputError, RuleError, ToolError, some
from facemodels.files import write_text
from facemodels.names import ModelId
from facemodels.registry.events import to_text
from facemodels.registry.registry import Registration, Registry
from facemodels.registry.state import Entry
from facemodels.release import branch, card, dvc, facts, frozen, plan, rehearsal
from facemodels.release.plan import ReleaseFacts, ReleasePlan, ReleaseRequest

if TYPE_CHECKING:  # it brings torch along
    from facemodels.registry.bump import Comparison


class Release:
    """One release of one model.

    Args:
        registry: the registry of the Git repository in which the release is made.
        request: the release that the user asks for.
        say: is called with a line of progress for each step.
        before_step: is called with the name of each step before it starts; tests stop there.
        clock: gives the time in seconds since 1970, for the card.
    """

    def __init__(
        self,
        registry: Registry,
        request: ReleaseRequest,
        *,
        say: Callable[[str], None] = lambda line: None,
        before_step: Callable[[str], None] = lambda step: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._registry = registry
        self._git = registry.git
        self._root = registry.root
        self._request = request
        self._say = say
        self._before_step = before_step
        self._clock = clock
        self._facts: ReleaseFacts | None = None
        self._plan: ReleasePlan | None = None
        self._comparison: Comparison | None = None

    def plan(self) -> ReleasePlan:
        """Plan the release. Nothing is changed, and no events are fetched.

        Raises:
            FacemodelsError: the step `check` refuses the release.
        """
        self._facts = facts.read(self._registry, self._request)
        self._plan = plan.make(self._request, self._facts)
        return self._plan

    def run(self) -> Entry:
        """Run all steps; those that an interrupted run has done are not done again.

        Returns:
            The registered version.

        Raises:
            InputError: nothing to release, or the clone is not ready for one.
            RuleError: the bump is too small, accuracy is worse, or the role is missing.
            GateError: a metric does not reach its gate.
            ConflictError: somebody else was faster.
            ToolError: git, DVC or a remote failed.
        """
        acts: Mapping[str, Callable[[], None]] = {
            "freeze": self._freeze,
            "card": self._card,
            "compose": self._compose,
            "rebuild": self._rebuild,
            "judge": self._judge,
            "commit": self._commit,
            "push": self._push,
        }
        self._before_step(plan.STEPS[0])
        self._registry.repository.sync()
        made = self.plan()
        self._registry.repository.rehearse()
        self._rehearse()
        for note in made.notes:
            self._say(note)
        self._announce(1, plan.STEPS[0])
        for number, name in enumerate(plan.STEPS[1:], start=2):
            self._before_step(name)
            self._announce(number, name)
            if name in acts:
                acts[name]()
        return self._register()

    def _rehearse(self) -> None:
        """Try what can refuse the release at its end."""
        here = branch.read(self._git, self._registry.repository.remote())
        subject = plan.subject(self._request.name, self._target.version)
        message = f"{subject}\n\n{self._request.message.strip()}\n"
        rehearsal.rehearse_branch(self._git, here, message)
        if self._known.dvc_remote:
            rehearsal.rehearse_weights(self._root, self._known.dvc_remote)

    def _announce(self, number: int, name: str) -> None:
        step = next(step for step in self._made.steps if step.name == name)
        self._say(f"[{number}/{len(plan.STEPS)}] {name}: {step.text}")

    @property
    def _made(self) -> ReleasePlan:
        assert self._plan is not None  # noqa: S101  (run() plans first)
        return self._plan

    @property
    def _known(self) -> ReleaseFacts:
        assert self._facts is not None  # noqa: S101  (likewise)
        return self._facts

    @property
    def _target(self) -> ModelId:
        return self._made.target

    @property
    def _previous_entry(self) -> Entry | None:
        old = self._made.previous
        return self._registry.repository.state().entry(old.id) if old else None

    # --- 2 to 5: the working tree ------------------------------------------------------------

    def _freeze(self) -> None:
        """Write the `.dvc` file of the version before, and restore its package.

        This comes before the card is edited. Until then both the `.dvc` file and the stage own
        the folder, so DVC must not be called on the working tree here.
        """
        old, entry = self._made.previous, self._previous_entry
        if old is None or entry is None:
            return
        text = frozen.read_dvc_file(self._git, old.commit, old.path)
        self._write(old.dvc_file, text)
        # Before the rebuild: `compare` depends on the folder, this file included.
        self._ignore(add=[old.path.rpartition("/")[2]])
        if frozen.restore(self._root, entry, old.path):
            self._say(f"Brought back the released {old.path}.")

    def _card(self) -> None:
        old = self._made.previous
        if old is None:
            return
        current = self._known.model
        if current.version not in (old.id.version, self._target.version):
            self._drop(current)  # an interrupted release is continued under another number
        words = card.CardWords(
            version=str(self._target.version),
            created_at=to_text(int(self._clock())),
            changelog=self._request.message,
            parent_version=str(old.id.version),
        )
        path = plan.card_file(self._target.name)
        config = self._read(plan.CONFIG)
        task = self._target.name.task
        # The card goes last: by its version the next run knows that the rest is done.
        self._write(plan.CONFIG, card.edit_baseline(config, task, old.path, plan.CONFIG))
        self._write(path, card.edit_card(self._read(path), words, path))

    def _drop(self, model: ModelId) -> None:
        """Remove the package of a version that was given up; DVC's cache keeps it."""
        shutil.rmtree(self._root / model.folder, ignore_errors=True)
        self._ignore(drop=[model.folder.name])
        self._say(f"Gave up {model}: {model.folder} is removed.")

    def _ignore(self, *, add: list[str] | None = None, drop: list[str] | None = None) -> None:
        path = f"models/{self._target.name.task}/.gitignore"
        here = self._root / path
        before = self._read(path) if here.is_file() else ""
        self._write(path, frozen.ignore(before, add=add or (), drop=drop or ()))

    def _compose(self) -> None:
        from facemodels.params import load
        from facemodels.pipeline.compose import compose

        output = self._root / plan.PARAMS
        compose(self._root / "conf", output, [], dry_run=False)
        composed = load(output).candidate(self._request.name).id
        if composed != self._target:
            raise InputError(
                f"conf/ composes to {composed}, not to {self._target}: something other than "
                f"{plan.card_file(self._target.name)} sets the version.",
                "Let that file alone set version and variant.",
            )

    def _rebuild(self) -> None:
        name, task = self._request.name, self._target.name.task
        # What was only not pulled is fetched, not trained again; otherwise no remote is asked.
        ask = self._known.dvc_remote and not facts.is_pulled(self._root, name, task)
        try:
            dvc.run(self._root, "repro", *(["--pull"] if ask else []), *plan.targets(name, task))
        except ToolError as error:
            raise ToolError(
                f"{error.what} Nothing was committed, tagged or pushed.",
                "Mend what it names above and run the same command again: stages that are done "
                f"stay done. {self._way_out()}",
            ) from error

    # --- 6: the judgement --------------------------------------------------------------------

    def _registration(self) -> Registration:
        from facemodels.package.load import open_package

        package = open_package(self._root / self._target.folder)
        return Registration(
            package,
            labels=self._request.labels,
            reason=self._request.message,
            accept_regression=self._request.accept_regression,
            comparison=self._comparison,
        )

    def _judge(self) -> None:
        try:
            self._require_gates()
            before = self._previous_entry
            if before is not None:
                self._comparison = self._registry.judge(before, self._registration())
                ruling = self._comparison.ruling
                self._say(f"{ruling.level} or more is due: {'; '.join(ruling.reasons)}.")
        except (RuleError, GateError) as error:
            raise type(error)(error.what, self._go_on(error)) from error

    def _require_gates(self) -> None:
        from facemodels.evaluate.gates import judge, require
        from facemodels.params import load

        gates = load(self._root / plan.PARAMS).candidate(self._request.name).gates
        package = self._registration().package
        require(judge(package.metadata["accuracy_metrics"], gates), str(self._target))

    def _go_on(self, error: RuleError | GateError) -> str:
        """Say what a refusal leaves behind, and the two ways to continue."""
        parts = [error.remedy, "Nothing was committed, tagged or pushed."]
        if isinstance(error, RuleError):
            parts.append(
                "The same command with a bigger --bump, or with --accept-regression, goes on from "
                "here without training again."
            )
        return " ".join([*parts, self._way_out()])

    def _way_out(self) -> str:
        commands = branch.abandon(
            branch.changes(self._git),
            self._made.files,
            str(self._target.folder),
            plan.stages(self._request.name, self._target.name.task),
        )
        return f"To give the release up: {commands}" if commands else ""

    # --- 7 to 9: commit, push, tag -----------------------------------------------------------

    def _commit(self) -> None:
        message = plan.subject(self._request.name, self._target.version)
        body = [self._request.message.strip()]
        if self._comparison is not None:
            ruling = self._comparison.ruling
            against = self._comparison.evidence["against"]
            body.append(f"Against {against} at least {ruling.level}: {'; '.join(ruling.reasons)}.")
            if self._request.accept_regression:
                body.append(f"Worse accuracy was accepted: {self._request.accept_regression}")
        text = "\n\n".join([message, *body]) + "\n"
        if not branch.commit(self._git, set(self._made.files), text):
            self._say("Committed already.")

    def _push(self) -> None:
        """Push the weights and then the branch. The tag is made after both.

        A tag must never name weights or a commit that others cannot get.
        """
        if self._known.dvc_remote:
            self._push_weights()
        here = branch.read(self._git, self._registry.repository.remote())
        if here.remote:
            subject = plan.subject(self._request.name, self._target.version)
            branch.push(self._git, here, subject)

    def _push_weights(self) -> None:
        remedy = (
            "The release is committed here and not tagged. Check `dvc remote list` and your "
            "access, and run the same command again."
        )
        remote = self._known.dvc_remote
        try:
            dvc.run(self._root, "push")
        except ToolError as error:
            raise ToolError(f"The weights did not reach {remote}: {error.what}", remedy) from error
        missing = dvc.missing_on_remote(self._root, self._digests())
        if missing:
            raise ToolError(
                f"`dvc push` says that all is there, but {remote} lacks {some(missing)}.",
                f"Remove the `.dir` objects that name them from the remote. {remedy}",
            )

    def _digests(self) -> list[str]:
        """DVC's digests of the new package and of the one that is kept beside it."""
        old = self._made.previous
        paths = [str(self._target.folder), *([old.path] if old else [])]
        found = [dvc_files.find_hash(self._git, "HEAD", path) for path in paths]
        return [digest for digest in found if digest]

    def _register(self) -> Entry:
        event = self._registry.register(self._registration())
        state = self._registry.repository.state()
        return state.entry(state.id_of(event) or "")

    # --- files -------------------------------------------------------------------------------

    def _read(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path} cannot be read: {error}.", "Restore it.") from error

    def _write(self, path: str, text: str) -> None:
        """Write a file only if it differs: DVC hashes files again whose date has changed."""
        here = self._root / path
        if not here.is_file() or here.read_bytes() != text.encode():
            write_text(here, text)
