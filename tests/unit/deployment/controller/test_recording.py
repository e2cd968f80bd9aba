"""Reactions are carried out in order: traffic first, the event when the remote takes it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import structlog
from tests.unit.deployment.plans import MODEL, promote, roll_out, rolled_out
from tests.unit.registry.conftest import V1, V2, Ledger

from facemodels.deployment.controller.alarms import Alarms
from facemodels.deployment.controller.git_worker import GitWorker
from facemodels.deployment.controller.pending_rollbacks import (
    PendingRollback,
    PendingRollbacks,
    decide,
)
from facemodels.deployment.controller.reaction import Reaction
from facemodels.deployment.controller.recording import EventRecorder
from facemodels.deployment.rollback import find_rollback
from facemodels.errors import FacemodelsError, RuleError, ToolError
from facemodels.git import Git
from facemodels.registry.events import Event
from facemodels.registry.proposals import Proposal
from facemodels.registry.state import State


class SlowRegistry:
    """A registry whose remote answers when the test says so."""

    git = Git(Path("/nowhere"))  # its refs cannot be watched, so the state is read each time

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.repository = self
        self.answer = threading.Event()
        self.error: FacemodelsError | None = None

    def state(self) -> State:
        return self.ledger.state

    def act(self, proposal: Proposal) -> Event:
        assert self.answer.wait(30)
        if self.error is not None:
            raise self.error
        return self.ledger.add(proposal)


class Bench:
    """A recorder with its real worker and files, over a registry that waits."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.registry = SlowRegistry(ledger)
        self.worker = GitWorker(self.registry, 60)  # type: ignore[arg-type]
        self.pending = PendingRollbacks(folder)
        self.alarms = Alarms(structlog.get_logger())
        self.recorder = EventRecorder(self.worker, self.pending, self.alarms, retry_s=0.0)

    def rollback(self) -> PendingRollback:
        state = self.registry.state()
        found = find_rollback(state, MODEL)
        return decide(state, found, reason="it fails", time=1, record={})

    def answer(self) -> None:
        self.registry.answer.set()
        deadline = time.monotonic() + 30
        while self.worker.busy():
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def last(self) -> str:
        return self.registry.state().events[-1].object

    def acts(self) -> list[str]:
        return [event.act for event in self.registry.state().events]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    ledger = rolled_out()
    return Bench(tmp_path / "decisions", ledger)


def test_a_rollback_is_decided_while_a_step_of_the_same_model_hangs(bench: Bench) -> None:
    step = Reaction(proposal=roll_out(V2, 25, "progressive"))
    assert not bench.recorder.carry_out(MODEL, step)
    assert bench.worker.busy() == {MODEL}
    assert bench.recorder.carry_out(MODEL, Reaction(rollback=bench.rollback()))
    bench.recorder.record_pending()  # the step is still being added, so nothing more happens
    [before] = bench.pending.all()
    bench.answer()  # the step comes into the chain after all
    [after] = bench.pending.all()
    assert before.seen != after.seen
    assert after.holds(bench.registry.state())
    assert (after.to, after.withdrawn) == (V1, V2)
    bench.recorder.record_pending()
    bench.answer()
    assert bench.acts()[-2:] == ["rollout", "withdraw"]
    assert bench.pending.all() == []


def test_a_rollback_holds_also_where_the_last_step_made_the_version_production(
    bench: Bench,
) -> None:
    bench.recorder.carry_out(MODEL, Reaction(proposal=promote(V2)))
    bench.recorder.carry_out(MODEL, Reaction(rollback=bench.rollback()))
    bench.answer()
    [one] = bench.pending.all()
    assert (one.to, one.withdrawn, one.taken_back) == (V1, None, V2)
    bench.recorder.record_pending()
    bench.answer()
    assert bench.acts()[-2:] == ["promote", "rollback"]


def test_a_rollback_on_what_others_did_meanwhile_is_dropped(bench: Bench) -> None:
    bench.recorder.carry_out(MODEL, Reaction(rollback=bench.rollback()))
    bench.registry.ledger.add(promote(V2))
    bench.recorder.record_pending()
    assert bench.pending.all() == []
    assert bench.worker.busy() == set()


def test_without_the_remote_the_rollback_stays_and_is_tried_again(bench: Bench) -> None:
    bench.recorder.carry_out(MODEL, Reaction(rollback=bench.rollback()))
    bench.registry.error = ToolError("the remote is away.")
    bench.recorder.record_pending()
    bench.answer()
    assert len(bench.pending.all()) == 1
    assert "not in the chain yet" in bench.alarms.all()[f"decision {MODEL}"]
    bench.registry.error = None
    bench.recorder.record_pending()
    bench.answer()
    assert bench.acts()[-1] == "withdraw"
    assert (bench.pending.all(), bench.alarms.all()) == ([], {})


def test_what_the_rules_refuse_is_not_tried_again(bench: Bench) -> None:
    decided = bench.rollback()
    bench.registry.ledger.add(promote(V2))
    bench.recorder.carry_out(MODEL, Reaction(rollback=replace(decided, seen=bench.last())))
    bench.recorder.record_pending()
    bench.answer()  # it withdraws a version that is not on its way
    assert bench.pending.all() == []


def test_traffic_stays_away_from_a_bad_version_whose_rollback_nobody_may_record(
    bench: Bench,
) -> None:
    bench.recorder.carry_out(MODEL, Reaction(rollback=bench.rollback()))
    bench.registry.error = RuleError("your signature is not of an allowed signer.")
    bench.recorder.record_pending()
    bench.answer()
    assert len(bench.pending.all()) == 1
    assert "allowed signer" in bench.alarms.all()[f"decision {MODEL}"]


def test_while_the_command_adds_the_event_the_controller_does_not(bench: Bench) -> None:
    bench.recorder.carry_out(MODEL, Reaction(rollback=bench.rollback()))
    bench.registry.answer.set()
    with bench.pending.claim(MODEL) as ours:
        assert ours
        bench.recorder.record_pending()
        bench.answer()
        assert bench.acts()[-1] == "rollout"
        assert len(bench.pending.all()) == 1
    bench.recorder.record_pending()
    bench.answer()
    assert bench.acts()[-1] == "withdraw"


def test_an_alarm_of_a_reaction_ends_with_it(bench: Bench) -> None:
    bench.recorder.carry_out(MODEL, Reaction(alarm="it is slow"))
    assert bench.alarms.all() == {f"reaction {MODEL}": "it is slow"}
    bench.recorder.carry_out(MODEL, Reaction())
    assert bench.alarms.all() == {}
