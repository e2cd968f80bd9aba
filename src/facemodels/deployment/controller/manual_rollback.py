"""What `facemodels rollback` does: traffic changes first, the event follows.

Where a controller runs on this machine, the rollback is written as a pending rollback before any
network act, and the controller changes traffic by it within a turn of its loop. Then the command
itself adds the event, so that the tag names the operator. A remote, a proxy, a credential helper
or a hook that hangs costs the command seconds and delays no traffic; the controller then adds the
event when it can.

Where an environment was left without its controller, nobody moves traffic. The rollback is decided
and recorded all the same, for the next controller, and `RollbackOutcome.stuck` says what to do.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from facemodels.deployment.controller.lock import NAME as LOCK
from facemodels.deployment.controller.lock import is_held
from facemodels.deployment.controller.pending_rollbacks import (
    PendingRollback,
    PendingRollbacks,
    decide,
)
from facemodels.deployment.deploy import require_deployer
from facemodels.deployment.history import DECIDED_BY, in_words, last_change
from facemodels.deployment.rollback import Rollback, find_rollback
from facemodels.deployment.servers.process import running_processes
from facemodels.deployment.settings import DECISIONS, STATUS, Environment, state_folder
from facemodels.errors import (
    ConflictError,
    FacemodelsError,
    InputError,
    IntegrityError,
    RuleError,
    ToolError,
)
from facemodels.git import Git
from facemodels.registry.events import Event
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.registry import Registry
from facemodels.registry.state import State
from facemodels.registry.tag_store import TagStore

_ENVIRONMENT = "production"
_RESTART_S = 5.0
_POLL_S = 0.1
_SILENT_S = 10.0  # a controller writes its status twice a second; one so late hangs
_FIRST_ANSWER = {"ls-remote": 5.0}  # seconds; then the remote counts as away
_WITH_CONTROLLER = {**_FIRST_ANSWER, "fetch": 30.0, "push": 30.0}  # the controller tries longer


@dataclass(frozen=True)
class RollbackRequest:
    """A rollback that an operator asks for.

    Attributes:
        model_type: a task, a model or a prefix: `recognition`, `recognition-facenet`, `det`, …
        to_version: a version number such as `2.1.3`; None chooses the previous version.
        reason: why; it is recorded in the tag.
        re_enrolment: how galleries get their embeddings back, where the embedding space changes.
        expect: the tag of the last change of the model's traffic that the operator knows of; ""
            if he states none. If another change came since, nothing is done and he is told.
    """

    model_type: str
    to_version: str | None
    reason: str
    re_enrolment: str = ""
    expect: str = ""

    def find(self, state: State) -> Rollback:
        """What the rollback changes in a state.

        Raises:
            ConflictError: something happened to the model that the operator does not know of.
            FacemodelsError: the errors of `find_rollback`.
        """
        found = find_rollback(
            state, self.model_type, self.to_version, re_enrolment=self.re_enrolment
        )
        last = last_change(state, found.model)
        if self.expect and last is not None and last.tag != self.expect:
            raise ConflictError(
                f"{found.model} has changed: {in_words(state, last)} ({last.tag}).",
                f"Nothing was changed. Decide anew; then add --expect '{last.tag}'.",
            )
        return found

    def proposal(self) -> Proposal:
        """The event of the rollback, decided on the state in which it is added."""

        def proposal(state: State) -> ProposedEvent:
            return self.find(state).proposal(self.reason)(state)

        return proposal


@dataclass(frozen=True)
class RollbackOutcome:
    """What became of a rollback.

    Attributes:
        to: the version that serves from now on.
        event: the event that records it; None if the controller has yet to add it.
        why: the error that kept the command from adding the event; None without one.
        stuck: why no traffic moves, as the controller of this machine is dead or hangs; "" if it
            moves.
    """

    to: str
    event: Event | None
    why: FacemodelsError | None = None
    stuck: str = ""


def roll_back(
    registry: Registry, settings: Environment, request: RollbackRequest
) -> RollbackOutcome:
    """Roll production back.

    Args:
        registry: the registry of the Git repository in which the command runs.
        settings: the settings of production.
        request: what the operator asks for.

    Raises:
        InputError, RuleError: there is nothing to roll back to, or the user may not do it.
        ConflictError: somebody else was faster.
        ToolError: no controller runs here, and the Git remote cannot be reached.
    """
    require_deployer(registry, settings.policy, _ENVIRONMENT)
    folder = state_folder(registry.root, _ENVIRONMENT, settings)
    if not is_held(folder) and not why_nothing_moves(folder):
        event = _limited(registry, _FIRST_ANSWER).act(request.proposal())
        return RollbackOutcome(registry.repository.state().id_of(event) or "", event)
    outcome = _with_controller(registry, PendingRollbacks(folder / DECISIONS), request)
    return replace(outcome, stuck=_still_stuck(folder))


def _still_stuck(folder: Path) -> str:
    """Why nothing moves, after the time in which whoever watches over a controller restarts it."""
    deadline = time.monotonic() + _RESTART_S
    while (stuck := why_nothing_moves(folder)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return stuck


def why_nothing_moves(folder: Path) -> str:
    """Why no decision reaches the traffic of an environment of this machine.

    Args:
        folder: the state folder of the environment.

    Returns:
        "" if a controller works, or if no environment was left here: then another machine's
        controller follows the tags.
    """
    if is_held(folder):
        silent_s = time.time() - max(_changed(folder / STATUS), _changed(folder / LOCK))
        hangs = silent_s > _SILENT_S
        return f"the controller has said nothing for {silent_s:.0f} s" if hangs else ""
    # An orderly end deletes the status.
    left = (folder / STATUS).exists() or bool(running_processes(folder))
    return "no controller runs on what was left here" if left else ""


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def propose_rollback(
    registry: Registry, settings: Environment, request: RollbackRequest
) -> ProposedEvent:
    """Fetch, and show the event that a rollback would make; nothing is written.

    Raises:
        FacemodelsError: the errors of `roll_back`.
    """
    require_deployer(registry, settings.policy, _ENVIRONMENT)
    repository = _limited(registry, _FIRST_ANSWER).repository
    repository.sync()
    return request.proposal()(repository.state())


def _with_controller(
    registry: Registry, pending: PendingRollbacks, request: RollbackRequest
) -> RollbackOutcome:
    state = registry.repository.state()
    found = request.find(state)
    record = {DECIDED_BY: _operator(registry.git)}  # the controller may be who records it
    one = decide(state, found, reason=request.reason, time=int(time.time()), record=record)
    with pending.claim(found.model) as ours:
        pending.add(one)  # traffic changes by this file, before any network act
        if not ours:
            why = ToolError("another event of this model is being added.", "")
            return RollbackOutcome(found.to, None, why)
        try:
            event = _limited(registry, _WITH_CONTROLLER).act(one.proposal())
        except (RuleError, InputError, ConflictError) as error:
            added = _added_by_controller(registry.repository.state(), one)
            if added is not None:
                return RollbackOutcome(found.to, added)
            if not isinstance(error, ConflictError):
                pending.remove(found.model, one)  # refused: traffic follows the tags again
            raise
        except (ToolError, IntegrityError) as error:
            return RollbackOutcome(found.to, None, error)
    # The controller deletes the file, once it has read the tag.
    return RollbackOutcome(found.to, event)


def _added_by_controller(state: State, one: PendingRollback) -> Event | None:
    """The event of a pending rollback, if a controller that knows no claims was faster."""
    last = state.last(one.model)
    if last is None or last.object == one.seen or last.reason != one.reason:
        return None
    return last if last.act in ("rollback", "withdraw") else None


def _operator(git: Git) -> str:
    """`Name <mail>` of whoever runs the command; "" if Git knows no name, which stops nothing."""
    try:
        return git.text("var", "GIT_COMMITTER_IDENT").rpartition(">")[0] + ">"
    except FacemodelsError:
        return ""


def _limited(registry: Registry, limits_s: Mapping[str, float]) -> Registry:
    """The same registry with time limits for git's network commands."""
    git = Git(registry.root, limits_s=limits_s)
    return Registry(TagStore(git, registry.repository.policy))
