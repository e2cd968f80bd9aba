"""The processes of one training: they share out the pieces of a step, and outlive each other.

A piece is a pure function of what every process knows, and lands in memory that all of them see.
So it does not matter who computes it, and what a process that died has left undone is done by
the first one. Processes of one machine are forked where the loop begins: they then have the
network, the optimizer and the data without a byte sent, and step along with the first one.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from torch import Tensor

Fill = Callable[[int], None]
_DONE = b"done"


class Team(Protocol):
    """What a training step asks of the processes that work on it."""

    @property
    def leads(self) -> bool:
        """Whether this process validates, saves and reports; one of them does."""

    @property
    def size(self) -> int:
        """The number of processes at the start."""

    def share(self, rows: Sequence[Sequence[Tensor]], fill: Fill, *, parted: bool = False) -> None:
        """Have every piece done by some process, and return when all are.

        Args:
            rows: for each piece the tensors that it writes; afterwards all processes see them.
            fill: computes piece i and writes `rows[i]`; it may be called again for a piece.
            parted: the row of each piece has `size` tensors, of which the next call, with as many
                pieces, reads number j in piece j alone. No other process need see it.
        """

    def agreed(self, decision: bool) -> bool:
        """Return what the process that leads decides; every process asks after the same step."""


class Alone:
    """A team of one process."""

    leads = True
    size = 1

    def share(self, rows: Sequence[Sequence[Tensor]], fill: Fill, *, parted: bool = False) -> None:
        """Do every piece."""
        for index in range(len(rows)):
            fill(index)

    def agreed(self, decision: bool) -> bool:
        """Return the decision."""
        return decision


class ForkedTeam:
    """This process and copies of it on this machine, which share memory.

    In a round each one does its pieces, says so to the first one and waits; the first one waits
    for all, does what the dead have left, and tells who is alive, from which everyone knows the
    pieces of the next round. Whoever finds the first one gone ends.
    """

    def __init__(self, size: int) -> None:
        """Fork `size` - 1 processes, which return from here too."""
        self._size = size
        self._rank = 0
        self._alive = list(range(size))
        self._links: dict[int, Connection] = {}  # of the first process to each other one
        self._children: dict[int, int] = {}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        for rank in range(1, size):
            ours, theirs = Pipe()
            child = os.fork()
            if child == 0:
                # A copy of the first one's end would keep a link open when the first one is gone.
                for link in (ours, *self._links.values()):
                    link.close()
                self._rank, self._links, self._leader = rank, {}, theirs
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first one's
                break
            theirs.close()
            self._links[rank], self._children[rank] = ours, child
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    @property
    def leads(self) -> bool:
        """Whether this is the process that forked the others."""
        return self._rank == 0

    @property
    def size(self) -> int:
        """The number of processes at the start, the present one included."""
        return self._size

    def share(self, rows: Sequence[Sequence[Tensor]], fill: Fill, *, parted: bool = False) -> None:
        """Do this process's pieces and wait for the others; see `Team.share`."""
        for index in pieces(len(rows), self._alive, self._rank):
            fill(index)
        if self.leads:
            self._gather(len(rows), fill)
        else:
            self._report()

    def agreed(self, decision: bool) -> bool:
        """Return the decision of the process that leads, which ends the others if it is to stop."""
        return decision and self.leads

    def fail(self, error: BaseException) -> NoReturn:
        """End this process, which is not the first one, and tell that one why."""
        with suppress(OSError):
            self._leader.send_bytes(f"{type(error).__name__}: {error}".encode())
        leave()

    def close(self) -> None:
        """End the other processes; they hold nothing that is needed."""
        for rank in list(self._links):
            self._bury(rank)

    def _gather(self, count: int, fill: Fill) -> None:
        answers = {rank: _answer(link) for rank, link in self._links.items()}
        lost = {rank: answer for rank, answer in answers.items() if answer != _DONE}
        for rank, answer in lost.items():
            cause = self._bury(rank)
            for index in pieces(count, self._alive, rank):
                fill(index)  # an error that is not the worker's own is raised here again
            sys.stderr.write(
                f"Warning: worker {rank} of {self._size - 1} {answer.decode() or cause}; the "
                "others go on with its work. The result is the same.\n"
            )
        self._alive = [rank for rank in self._alive if rank not in lost]
        for link in self._links.values():
            with suppress(OSError):  # it died meanwhile, which the next round finds
                link.send(self._alive)

    def _report(self) -> None:
        try:
            self._leader.send_bytes(_DONE)
            self._alive = self._leader.recv()
        except (EOFError, OSError):
            leave()

    def _bury(self, rank: int) -> str:
        """End and reap a process; say how it had ended."""
        self._links.pop(rank).close()
        child = self._children.pop(rank)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"


def pieces(count: int, alive: Sequence[int], rank: int) -> range:
    """The pieces of one process: neighbours, and as many as the others have, or one more.

    Args:
        count: the number of pieces.
        alive: the ranks of the processes that are alive, ascending.
        rank: the process, one of them.
    """
    place, of = alive.index(rank), len(alive)
    return range(count * place // of, count * (place + 1) // of)


@contextmanager
def team(size: int) -> Iterator[Team]:
    """Run the block in `size` processes of this machine; only the first one leaves it.

    Args:
        size: processes, the present one included.
    """
    if size == 1:
        yield Alone()
        return
    forked = ForkedTeam(size)
    try:
        yield forked
    except BaseException as error:
        if not forked.leads:
            forked.fail(error)
        raise
    finally:
        if not forked.leads:
            leave()
        forked.close()


def leave() -> NoReturn:
    """End a process that does not lead: what the first one has open is not its to close."""
    os._exit(0)


def _answer(link: Connection) -> bytes:
    """`_DONE`, or why a process failed; nothing of one that was ended."""
    try:
        return link.recv_bytes()
    except (EOFError, OSError):
        return b""
