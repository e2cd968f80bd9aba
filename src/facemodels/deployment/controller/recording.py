"""Carries out reactions: a rollback changes traffic first, its event is added afterwards.

The order is the point of this module. `EventRecorder.carry_out` writes the file of a pending
rollback, and the loop changes traffic by it. `EventRecorder.record_pending` adds the event in
the thread of `git_worker`, and tries again until the Git remote takes it.
"""

from __future__ import annotations

import math
import socket
import time
from dataclasses import replace
from functools import partial

import structlog

from facemodels.deployment.controller.alarms import Alarms
from facemodels.deployment.controller.git_worker import Done, GitWorker
from facemodels.deployment.controller.pending_rollbacks import PendingRollback, PendingRollbacks
from facemodels.deployment.controller.reaction import Reaction
from facemodels.deployment.history import AUTOMATIC
from facemodels.errors import FacemodelsError, InputError, RuleError
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import State


class EventRecorder:
    """Adds the controller's decisions to the registry's tags.

    Args:
        worker: adds events in a thread of its own.
        pending: the rollbacks that no tag records yet.
        alarms: gets the errors.
        retry_s: seconds between two attempts for one model.

    Attributes:
        retry_s: the same; it may change while the controller runs.
    """

    def __init__(
        self, worker: GitWorker, pending: PendingRollbacks, alarms: Alarms, retry_s: float
    ) -> None:
        self._worker = worker
        self._pending = pending
        self._alarms = alarms
        self.retry_s = retry_s
        self._tries: dict[str, float] = {}  # the last attempt by model, monotonic
        self._log = structlog.get_logger("facemodels.deployment")

    def carry_out(self, model: str, reaction: Reaction) -> bool:
        """Begin what a reaction asks for.

        Returns:
            Whether a rollback was decided, so that the loop must change traffic now.
        """
        self._alarms.put(f"reaction {model}", reaction.alarm)
        if reaction.rollback is not None:
            record = {**reaction.rollback.record, AUTOMATIC: socket.gethostname()}
            self._pending.add(replace(reaction.rollback, record=record))
            self._log.warning("rolling back", model=model, reason=reaction.rollback.reason)
        if reaction.proposal is not None and self._due(model):
            self._worker.act(model, _automatic(reaction.proposal), self._step_added(model))
        return reaction.rollback is not None

    def record_pending(self) -> None:
        """Begin to add the events of pending rollbacks; delete those that no longer hold."""
        busy = self._worker.busy()
        pending = self._pending.all()
        state = self._worker.state()
        for one in pending:
            if one.holds(state):
                if self._due(one.model):
                    claim = partial(self._pending.claim, one.model)
                    self._worker.act(one.model, one.proposal(), self._rollback_added(one), claim)
            elif one.model not in busy and not one.holds(self._worker.read_state()):
                self._pending.remove(one.model, one)
                self._alarms.clear(f"decision {one.model}")

    def _due(self, model: str) -> bool:
        """Whether to try now: at once, and then every `retry_s` seconds."""
        now = time.monotonic()
        if model in self._worker.busy() or now - self._tries.get(model, -math.inf) < self.retry_s:
            return False
        self._tries[model] = now
        return True

    def _step_added(self, model: str) -> Done:
        def done(error: FacemodelsError | None) -> None:
            self._alarms.put(f"event {model}", str(error or ""))
            if error is None:
                # A rollback may have been decided while the event was being added.
                self._pending.follow(model, self._worker.read_state())

        return done

    def _rollback_added(self, one: PendingRollback) -> Done:
        name = f"decision {one.model}"

        def done(error: FacemodelsError | None) -> None:
            if error is None or (isinstance(error, RuleError | InputError) and not self._fits(one)):
                # The tags have the event, or no state will take it any more. After any other error
                # (a remote, a missing key or right) the file stays, or the bad version would get
                # its traffic back.
                self._pending.remove(one.model, one)
            self._alarms.put(
                name, f"{one.reason}: not in the chain yet. {error}" if error is not None else ""
            )

        return done

    def _fits(self, one: PendingRollback) -> bool:
        """Whether the event of a rollback fits the present state, whoever may write it."""
        try:
            one.proposal()(self._worker.read_state())
        except (RuleError, InputError):
            return False
        return True


def _automatic(proposal: Proposal) -> Proposal:
    """The same event, with the host of the controller that decided it in its record."""

    def marked(state: State) -> ProposedEvent:
        event = proposal(state)
        return replace(event, extra={**event.extra, AUTOMATIC: socket.gethostname()})

    return marked
