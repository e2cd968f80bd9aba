"""The tag store of a clone: the only module that writes tags.

Adding an event is a compare-and-swap. The tag object is made first, without a ref; one atomic
push then gives it its tag and moves the head from the event it follows, or nothing happens;
only what the remote took gets a ref here. A kill at any moment leaves the event done or not
done, never a tag of ours that blocks the next fetch. Without a remote the same swap is made on
the clone's own refs.

Every event is later than the one before by a second at least, since GTO and DVC know the
order of tags by their dates alone.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from facemodels.errors import ConflictError, IntegrityError, RuleError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry import reading, signatures, state, sync
from facemodels.registry.events import FORMAT, Event, to_text, write_record
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.state import State

_NOBODY = "0" * 40
# Whatever the user's configuration adds to a push of his own is not part of ours.
_PUSH = ("--quiet", "--atomic", "--no-follow-tags")
_ATTEMPTS = 32  # others who were faster on other models, before we give up
_AHEAD_S = 24 * 3600  # dates may run ahead of a clock: clocks differ, bursts of events add some


class TagStore:
    """The events of a clone.

    Args:
        git: runs commands in the clone.
        policy: the policy of the repository.
        clock: gives seconds since 1970.
    """

    def __init__(
        self, git: Git, policy: RegistryPolicy, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.git = git
        self.policy = policy
        self._clock = clock

    @property
    def remote(self) -> str | None:
        """The remote that decides who was first; None if this clone has none."""
        name = self.policy.remote
        return name if name and self.git.config(f"remote.{name}.url") else None

    def state(self, *, until: int | None = None) -> State:
        """What the tags of this clone add up to, or added up to at a time in seconds since 1970."""
        return state.fold(reading.read_events(self.git), until=until)

    def sync(self, *, publish: bool = False) -> int:
        """Fetch the events that others made.

        Args:
            publish: whether events that are here and not on the remote are sent.

        Returns:
            How many tags came.

        Raises:
            IntegrityError: the remote has lost, moved or rewritten an event that is known here.
            ToolError: the remote cannot be reached.
        """
        remote = self.remote
        if remote is None:
            sync.catch_up(self)
            return 0
        return sync.follow(self, remote, publish=publish)

    # --- writing what a sync found -------------------------------------------------------

    def fetch(self, remote: str, tags: Mapping[str, str]) -> None:
        """Fetch tags from a remote, all or none.

        Args:
            remote: the name of the remote.
            tags: object ids by tag name.

        Raises:
            GitError: git failed.
        """
        specs = "".join(f"refs/tags/{tag}:refs/tags/{tag}\n" for tag in tags)
        options = ("--quiet", "--no-tags", "--atomic", "--no-write-fetch-head", "--stdin")
        try:
            self.git.text("fetch", *options, remote, stdin=specs)
        except GitError:
            if not tags.items() <= reading.read_objects(self.git).items():
                raise  # it was not another process of this clone that fetched the same

    def publish(self, remote: str, theirs: str | None, missing: Sequence[Event], to: str) -> None:
        """Send events to a remote and move its head.

        Args:
            remote: the name of the remote.
            theirs: the head that the remote has now; None if it has none.
            missing: events that the remote lacks.
            to: the object id that its head names afterwards.

        Raises:
            GitError: git failed, or the remote's head has moved.
        """
        specs = [f"{event.object}:refs/tags/{event.tag}" for event in missing]
        lease = f"--force-with-lease={reading.HEAD}:{theirs or ''}"
        self.git.text("push", *_PUSH, lease, remote, *specs, f"{to}:{reading.HEAD}")

    def move_head(self, to: str, head: str | None) -> None:
        """Move the head of this clone, unless another process of this clone did.

        Args:
            to: an object id.
            head: the object id that the head names now; None if there is no head.
        """
        try:
            self.git.text("update-ref", reading.HEAD, to, head or _NOBODY)
        except GitError:
            if reading.read_head(self.git) == head:
                raise

    # --- adding an event -----------------------------------------------------------------

    def add(
        self, plan: Proposal, *, check: Callable[[State, ProposedEvent], None] | None = None
    ) -> Event:
        """Make the event that `plan` gives for the present state.

        `plan` is asked again when somebody else was faster on another model; on the same
        model it is not, since what its user saw is no longer so. The remote is asked once
        unless somebody was faster.

        Args:
            plan: gives the event for a state.
            check: is called once, before anything is written, and may refuse the event.

        Raises:
            ConflictError: somebody else changed the same model first; nothing is left of ours.
            IntegrityError: see `sync`.
            ToolError: git failed, or the remote cannot be reached.
            FacemodelsError: what `plan` or `check` refuses with.
        """
        head, now = self._look()
        change = plan(now)
        model = str(change.model.name)
        seen = now.last(model)
        if check is not None:
            check(now, change)
        self._authorise(change)
        for _ in range(_ATTEMPTS):
            event = self._try(change, now, head)
            if event is not None:
                return event
            head, now = self._look()
            if _object(now.last(model)) != _object(seen):
                raise _too_late(model, now)
            change = plan(now)
        raise ConflictError(
            f"others changed the registry {_ATTEMPTS} times in the meantime.", "Run it again."
        )

    def _authorise(self, change: ProposedEvent) -> None:
        if self.policy.signatures == "required":
            who = signatures.own_principal(self.git, self.git.root, self.policy)
            self.policy.require(who, change.role)

    def _look(self) -> tuple[str | None, State]:
        """The head and the state, which is of the head's time or later, never earlier."""
        self.sync()
        head = reading.read_head(self.git)
        return head, self.state()

    def _try(self, change: ProposedEvent, now: State, head: str | None) -> Event | None:
        """The event, or None if the head has moved in the meantime."""
        before = sync.event_at(self.git, head, now.events)
        oid = self._make(change, before, now)
        remote = self.remote
        if remote is None:
            done = self._swap(change.tag, oid, head)
        else:
            done = self._push(remote, change.tag, oid, head)
            if done:
                self._adopt(remote, change.tag, oid, head)
        if not done:
            return None
        return next(event for event in reading.read_events(self.git) if event.tag == change.tag)

    def _push(self, remote: str, tag: str, oid: str, head: str | None) -> bool:
        """Give the object its tag and move the head, at once; False if the head has moved."""
        lease = f"--force-with-lease={reading.HEAD}:{head or ''}"
        refs = (f"{oid}:refs/tags/{tag}", f"{oid}:{reading.HEAD}")
        try:
            self.git.text("push", *_PUSH, lease, remote, *refs)
        except GitError as error:
            theirs = self._refs_after(remote, tag, error)
            if oid in (theirs.get(tag), theirs.get(reading.HEAD)):
                return True  # the answer was lost, the push was not
            if theirs.get(reading.HEAD) != head or tag in theirs:
                return False
            raise ToolError(
                f"{remote} did not take the tag {tag}: {error.stderr}",
                error.remedy or "Nothing was changed; check your access and run it again.",
            ) from error
        return True

    def _refs_after(self, remote: str, tag: str, push: GitError) -> dict[str, str]:
        try:
            return sync.remote_refs(self.git, remote)
        except GitError:
            raise ToolError(
                f"{remote} was lost while it was sent {tag}, which may be done or not: "
                f"{push.stderr}",
                "`facemodels registry sync` fetches the tag if it is done; if not, run it again.",
            ) from push

    def _swap(self, tag: str, oid: str, head: str | None) -> bool:
        """Give the object its tag and move the head in a clone that has no remote."""
        commands = f"create refs/tags/{tag} {oid}\nupdate {reading.HEAD} {oid} {head or _NOBODY}\n"
        try:
            self.git.text("update-ref", "--stdin", stdin=commands)
        except GitError:
            if reading.read_head(self.git) == head and tag not in reading.read_objects(self.git):
                raise
            return False
        return True

    def _adopt(self, remote: str, tag: str, oid: str, head: str | None) -> None:
        """Give the refs in this clone too to an event that the remote took."""
        try:
            self.git.text("update-ref", f"refs/tags/{tag}", oid)
            self.move_head(oid, head)
        except GitError as error:
            raise ToolError(
                f"{tag} is done on {remote}, but this clone could not note it: {error.stderr}",
                f"{error.remedy} `facemodels registry sync` fetches the tag.".lstrip(),
            ) from error

    def _make(self, change: ProposedEvent, before: Event | None, now: State) -> str:
        """Write the tag object of an event, signed where the policy asks, and no ref to it.

        Args:
            change: the event.
            before: the event that it follows; None for the first.
            now: the state it is made in.

        Returns:
            The object's id.

        Raises:
            IntegrityError: a tag is dated so far ahead that everything would follow it there.
            RuleError: the signer is not allowed to do this.
            ToolError: git failed, or has no key to sign with.
        """
        git = self.git
        moment = _moment(now, int(self._clock()))
        record = _record(git, change, before, moment)
        date = {"GIT_COMMITTER_DATE": f"@{moment} +0000"}
        objects = git.text("rev-parse", "--path-format=absolute", "--git-path", "objects")
        config = git.text("rev-parse", "--path-format=absolute", "--git-path", "config")
        sign = "--sign" if self.policy.signatures == "required" else "--annotate"
        # `git tag` always makes a ref; in a repository of its own, over our objects, it is
        # gone with the folder, while signing follows the user's configuration.
        with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
            (Path(scratch) / "refs").mkdir()
            (Path(scratch) / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
            inside = {"GIT_DIR": scratch, "GIT_OBJECT_DIRECTORY": objects, **date}
            options = ("-c", f"include.path={config}", "-c", "tag.gpgSign=false")
            words = ("tag", sign, "--cleanup=verbatim", "--file=-", change.tag, change.commit)
            git.text(*options, *words, stdin=write_record(record), environment=inside)
            oid = git.text("rev-parse", f"refs/tags/{change.tag}", environment=inside)
        if self.policy.signatures == "required":
            _check_signature(git, self.policy, oid, change)
        return oid


def _object(event: Event | None) -> str | None:
    return event.object if event else None


def _too_late(model: str, now: State) -> ConflictError:
    last = now.last(model)
    assert last is not None  # noqa: S101  (something new is there)
    return ConflictError(
        f"{last.tagger} was faster: {last.tag} ({last.reason or last.act}).",
        f"Nothing was changed. See `facemodels registry history --name {model}` and decide anew.",
    )


def _moment(now: State, clock: int) -> int:
    """The time of the next event: after all others, as GTO and DVC go by dates alone.

    Raises:
        IntegrityError: a tag is dated so far ahead that everything would follow it there.
    """
    last = max(now.events, key=lambda event: event.time, default=None)
    if last is None:
        return clock
    if last.time > clock + _AHEAD_S:
        raise IntegrityError(
            f"{last.tag} is dated {to_text(last.time)}, far ahead of this machine's clock.",
            "Correct the clock; or, if the tag is none of the registry's, delete it.",
        )
    return max(clock, last.time + 1)


def _check_signature(git: Git, policy: RegistryPolicy, oid: str, change: ProposedEvent) -> None:
    """Check the new tag's signature as the audit will, before the tag is pushed."""
    who = signatures.principal(git, git.root, policy, oid)
    if who is None:
        raise RuleError(
            "your signature is not of an allowed signer, or the key's time is over.",
            f"See {policy.allowed_signers}; nothing was changed.",
        )
    policy.require(who, change.role)


def _record(git: Git, change: ProposedEvent, before: Event | None, moment: int) -> dict[str, Any]:
    identity = git.text("var", "GIT_COMMITTER_IDENT")
    return {
        "format": FORMAT,
        "sequence": before.sequence + 1 if before else 1,
        "previous": {"tag": before.tag, "object": before.object} if before else None,
        "tag": change.tag,
        "commit": change.commit,
        "act": change.act,
        "model_id": str(change.model),
        "status": change.status,
        "actor": identity.rsplit(" ", 2)[0],
        "time": to_text(moment),
        "reason": change.reason,
        "nonce": secrets.token_hex(8),  # no two events are the same object
        "evidence": dict(change.evidence),
        **change.extra,
    }
