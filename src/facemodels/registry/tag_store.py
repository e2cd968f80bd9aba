"""The registry of one clone: read its events, fetch those of others, add one.

Adding is a compare-and-swap. The tag object is made first, without a ref; one atomic push
then gives it its tag and moves the head from the event it follows, or nothing happens; only
what the remote took gets a ref here. A kill at any moment leaves the event done or not done,
never a tag of ours that blocks the next fetch. Without a remote the same swap is made on the
clone's own refs.

Every event is later than the one before by a second at least, since GTO and DVC know the
order of tags by their dates alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from facemodels.errors import ConflictError, IntegrityError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry import audit as chain
from facemodels.registry import reading, signatures, state, tagging
from facemodels.registry.events import Event
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.rules import Proposal, ProposedEvent
from facemodels.registry.state import State

_NOBODY = "0" * 40
# Whatever the user's configuration adds to a push of his own is none of ours.
_PUSH = ("--quiet", "--atomic", "--no-follow-tags")
_ATTEMPTS = 32  # others who were faster on other models, before we give up


class Repository:
    """The registry of a clone.

    Args:
        git: commands in the clone.
        policy: of the repository.
        clock: seconds since 1970.
    """

    def __init__(
        self, git: Git, policy: RegistryPolicy, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.git = git
        self.policy = policy
        self._clock = clock

    @property
    def remote(self) -> str | None:
        """The remote that decides who was first; None if this clone is on its own."""
        name = self.policy.remote
        return name if name and self.git.config(f"remote.{name}.url") else None

    def state(self, *, until: int | None = None) -> State:
        """What the tags of this clone add up to, or added up to at a time."""
        return state.fold(reading.read_events(self.git), until=until)

    # --- fetch ---------------------------------------------------------------------------

    def sync(self, *, publish: bool = False) -> int:
        """Fetch the events that others made.

        Args:
            publish: send events that are here and not on the remote.

        Returns:
            How many tags came.

        Raises:
            IntegrityError: the remote has lost, moved or rewritten an event that is known here.
            ToolError: the remote cannot be reached.
        """
        remote = self.remote
        if remote is None:
            self._catch_up()
            return 0
        try:
            return self._follow(remote, publish=publish)
        except IntegrityError:
            # A server shows the refs of a push one after the other; a second look sees them all.
            return self._follow(remote, publish=publish)

    def _follow(self, remote: str, *, publish: bool) -> int:
        # Ours first: what is here by now was there before, and is there unless it was lost. What
        # another process of this clone adds from now on is not missed on the remote.
        head, ours = reading.read_head(self.git), self._objects()
        theirs = self._remote_refs(remote)
        moved = sorted(tag for tag in ours.keys() & theirs.keys() if ours[tag] != theirs[tag])
        if moved:
            raise IntegrityError(
                f"tags on {remote} are not what they were when they were fetched",
                "Somebody rewrote them. Find out who; push the right ones back with "
                "`git push --force` from a clone whose `facemodels registry audit` is clean.",
                changed=tuple(moved),
            )
        new = sorted(theirs.keys() - ours.keys() - {reading.HEAD})
        if new:
            self._fetch(remote, {tag: theirs[tag] for tag in new})
        self._advance(remote, head, theirs, ours.keys() | theirs.keys(), publish=publish)
        return len(new)

    def _remote_refs(self, remote: str) -> dict[str, str]:
        """Object ids by tag name (of events alone), and of the head."""
        listed = self.git.text("ls-remote", remote, *reading.patterns(), reading.HEAD)
        refs = {}
        for line in listed.splitlines():
            oid, ref = line.split("\t")
            if ref == reading.HEAD:
                refs[ref] = oid
            elif not ref.endswith("^{}") and reading.is_event(ref.removeprefix("refs/tags/")):
                refs[ref.removeprefix("refs/tags/")] = oid
        return refs

    def _objects(self) -> dict[str, str]:
        return {event.tag: event.object for event in reading.read_events(self.git)}

    def _fetch(self, remote: str, new: Mapping[str, str]) -> None:
        specs = "".join(f"refs/tags/{tag}:refs/tags/{tag}\n" for tag in new)
        options = ("--quiet", "--no-tags", "--atomic", "--no-write-fetch-head", "--stdin")
        try:
            self.git.text("fetch", *options, remote, stdin=specs)
        except GitError:
            if not new.items() <= self._objects().items():
                raise  # it was not another process of this clone that fetched the same

    def _advance(
        self,
        remote: str,
        ours: str | None,
        refs: Mapping[str, str],
        seen: Set[str],
        *,
        publish: bool,
    ) -> None:
        """Move our head to the remote's, if it continues what was seen here."""
        theirs = refs.get(reading.HEAD)
        events = [event for event in reading.read_events(self.git) if event.tag in seen]
        known = chain.link(events, ours or theirs).events
        missing = [event for event in known if event.tag not in refs]
        if theirs is not None and theirs != ours:
            continued = chain.link(events, theirs).events
            names = {event.object for event in continued}
            if theirs not in names or (ours is not None and ours not in names):
                raise IntegrityError(
                    f"the history on {remote} does not continue the one that is known here",
                    "Somebody rewrote it, or two clones worked without a common remote. "
                    "`facemodels registry audit` says what differs.",
                    extra=tuple(event.tag for event in continued if event not in known),
                    missing=tuple(event.tag for event in missing),
                )
        ahead = (
            bool(known)
            and known[-1].object != theirs
            and self._behind(events, theirs, known[-1].object)
        )
        if (missing or ahead) and publish:
            self._publish_all(remote, theirs, missing, known[-1])
            self._move_head(known[-1].object, ours)
        elif missing or ahead:
            raise IntegrityError(
                f"{remote} lacks events that are known here, or its head is behind them",
                "If somebody deleted them, or they were made before there was a remote: "
                "`facemodels registry sync --publish` sends them.",
                missing=tuple(event.tag for event in missing),
            )
        elif theirs is not None and self._behind(events, ours, theirs):
            self._move_head(theirs, ours)

    @staticmethod
    def _behind(events: Sequence[Event], behind: str | None, ahead: str | None) -> bool:
        """Whether one head comes before another; no head comes before any."""
        place = {event.object: event.sequence for event in events}
        return place.get(ahead or "", 0) > place.get(behind or "", 0)

    def _publish_all(
        self, remote: str, theirs: str | None, missing: Sequence[Event], last: Event
    ) -> None:
        specs = [f"{event.object}:refs/tags/{event.tag}" for event in missing]
        lease = f"--force-with-lease={reading.HEAD}:{theirs or ''}"
        self.git.text("push", *_PUSH, lease, remote, *specs, f"{last.object}:{reading.HEAD}")

    def _catch_up(self) -> None:
        """Move the head over events that a plain fetch left ahead of it."""
        head = reading.read_head(self.git)
        events = reading.read_events(self.git)
        self._event_at(head, events)
        known = chain.link(events, head).events
        if known and known[-1].object != head:
            self._move_head(known[-1].object, head)

    def _move_head(self, to: str, head: str | None) -> None:
        """Move our head on, unless another process of this clone did."""
        try:
            self.git.text("update-ref", reading.HEAD, to, head or _NOBODY)
        except GitError:
            if reading.read_head(self.git) == head:
                raise

    def _event_at(self, head: str | None, events: Iterable[Event]) -> Event | None:
        """The event that the head names; None if there is no head.

        Raises:
            IntegrityError: its tag is gone.
        """
        if head is None:
            return None
        found = next((event for event in events if event.object == head), None)
        if found is None:
            original = reading.read_original(self.git, head)
            raise IntegrityError(
                f"the last event that this clone knew ({head[:10]}) has no tag any more",
                "Find out who deleted it; `facemodels registry audit` says what else is wrong.",
                missing=(original.tag,) if original else (),
            )
        return found

    # --- add -----------------------------------------------------------------------------

    def add(self, plan: Proposal) -> Event:
        """Make the event that `plan` gives for the state of now.

        `plan` is asked again when somebody else was faster on another model; on the same
        model it is not, since what its user saw is no longer so.

        Raises:
            ConflictError: somebody else changed the same model first; nothing is left of ours.
            IntegrityError: see `sync`.
            ToolError: git failed, or the remote cannot be reached.
            FacemodelsError: what `plan` refuses with.
        """
        head, now = self._look()
        change = plan(now)
        model = str(change.model.name)
        seen = now.last(model)
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
        before = self._event_at(head, now.events)
        oid = tagging.make(self.git, self.policy, change, before, now, clock=self._clock)
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
            return self._remote_refs(remote)
        except GitError:
            raise ToolError(
                f"{remote} was lost while it was sent {tag}, which may be done or not: "
                f"{push.stderr}",
                "`facemodels registry sync` fetches the tag if it is done; if not, run it again.",
            ) from push

    def _swap(self, tag: str, oid: str, head: str | None) -> bool:
        """The same on this clone's refs."""
        commands = f"create refs/tags/{tag} {oid}\nupdate {reading.HEAD} {oid} {head or _NOBODY}\n"
        try:
            self.git.text("update-ref", "--stdin", stdin=commands)
        except GitError:
            if reading.read_head(self.git) == head and tag not in self._objects():
                raise
            return False
        return True

    def _adopt(self, remote: str, tag: str, oid: str, head: str | None) -> None:
        """Give an event that the remote took its refs here too."""
        try:
            self.git.text("update-ref", f"refs/tags/{tag}", oid)
            self._move_head(oid, head)
        except GitError as error:
            raise ToolError(
                f"{tag} is done on {remote}, but this clone could not note it: {error.stderr}",
                f"{error.remedy} `facemodels registry sync` fetches the tag.".lstrip(),
            ) from error


def _object(event: Event | None) -> str | None:
    return event.object if event else None


def _too_late(model: str, now: State) -> ConflictError:
    last = now.last(model)
    assert last is not None  # noqa: S101  (something new is there)
    return ConflictError(
        f"{last.tagger} was faster: {last.tag} ({last.reason or last.act}).",
        f"Nothing was changed. See `facemodels registry history --name {model}` and decide anew.",
    )
