"""The tag store of a clone: the only module that writes tags.

Adding an event is a compare-and-swap. The tag object is made first, without a ref; one atomic
push then gives it its tag and moves the head from the event it follows, or nothing happens;
only what the remote took gets a ref here. A kill at any moment leaves the event done or not
done, never a tag of ours that blocks the next fetch. Where the policy or the user asks for an
event of this clone alone, the same swap is made on the clone's own refs.

The chain orders events; dates inform (see `dates`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from facemodels.errors import ConflictError, ToolError
from facemodels.git import Git, GitError
from facemodels.registry import dates, diagnosis, reading, signatures, state, sync, tag_objects
from facemodels.registry.events import Event
from facemodels.registry.identity import read_tagger
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.proposals import Proposal, ProposedEvent
from facemodels.registry.remote import RegistryRemote, find
from facemodels.registry.state import State
from facemodels.registry.sync import SyncedEvents

_NOBODY = "0" * 40
# Whatever the user's configuration adds to a push of his own is not part of ours.
# His hooks are for his branches: those of `dvc install` take 17 s to push every object.
# `push.recurseSubmodules=only` would push nothing and say nothing.
_PUSH = (
    "--quiet", "--atomic", "--no-follow-tags", "--no-verify", "--no-signed",
    "--recurse-submodules=no",
)  # fmt: skip
_BATCH = 1000  # refs of one push; the system limits the length of a command line
_TRIAL = "facemodels-trial"  # the tag of a rehearsal, which no ref ever has
_ATTEMPTS = 32  # others who were faster on other models, before we give up


class TagStore:
    """The events of a clone.

    Args:
        git: runs commands in the clone.
        policy: the policy of the repository.
        clock: gives seconds since 1970.
        local: whether events are made in this clone alone, whatever remote it has.
    """

    def __init__(
        self,
        git: Git,
        policy: RegistryPolicy,
        *,
        clock: Callable[[], float] = time.time,
        local: bool = False,
    ) -> None:
        self.git = git
        self.policy = policy
        self._clock = clock
        self._local = local

    @property
    def _signs(self) -> bool:
        return self.policy.signatures == "required"

    def remote(self) -> RegistryRemote | None:
        """The remote that decides who was first; None where this clone alone was asked for.

        Raises:
            ToolError: the clone has no remote, and nobody said that it needs none.
            InputError: it has several, and none that the policy names.
        """
        if self._local or not self.policy.remote:
            return None
        return find(self.git, self.policy.remote)

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
            ToolError: there is no remote, or it cannot be reached.
        """
        return self._sync(self.remote(), publish=publish).new

    def _sync(self, remote: RegistryRemote | None, *, publish: bool = False) -> SyncedEvents:
        if remote is None:
            return sync.catch_up(self)
        return sync.follow(self, remote, publish=publish)

    # --- writing what a sync found -------------------------------------------------------

    def fetch(self, place: str, tags: Mapping[str, str], *, force: bool = False) -> None:
        """Fetch tags from a remote, all or none.

        Args:
            place: the name of the remote, or its URL.
            tags: object ids by tag name.
            force: whether tags that are here are replaced.

        Raises:
            GitError: git failed.
        """
        mark = "+" if force else ""
        specs = "".join(f"{mark}refs/tags/{tag}:refs/tags/{tag}\n" for tag in tags)
        options = ("--quiet", "--no-tags", "--atomic", "--no-write-fetch-head", "--stdin")
        try:
            self.git.text("fetch", *options, place, stdin=specs)
        except GitError:
            if not tags.items() <= reading.read_objects(self.git).items():
                raise  # it was not another process of this clone that fetched the same

    def publish(self, place: str, theirs: str | None, missing: Sequence[Event], to: str) -> None:
        """Send events to a remote and move its head.

        Args:
            place: the name of the remote, or its URL.
            theirs: the head that the remote has now; None if it has none.
            missing: events that the remote lacks.
            to: the object id that its head names afterwards.

        Raises:
            GitError: git failed, or the remote's head has moved.
        """
        specs = [f"{event.object}:refs/tags/{event.tag}" for event in missing]
        lease = f"--force-with-lease={reading.HEAD}:{theirs or ''}"
        while len(specs) > _BATCH:
            self._send(place, *specs[:_BATCH])
            del specs[:_BATCH]
        self._send(place, lease, *specs, f"{to}:{reading.HEAD}")

    def _send(self, place: str, *words: str) -> None:
        """Push to a remote, whatever the user's configuration adds to pushes of his own.

        Args:
            place: the name of the remote, or its URL.
            words: further options, and what is pushed.

        Raises:
            GitError: git failed.
        """
        plain = {"push.pushOption": "", f"remote.{place}.mirror": "false"}
        options = [word for word in words if word.startswith("--")]
        specs = [word for word in words if not word.startswith("--")]
        self.git.text("push", *_PUSH, *options, place, *specs, settings=plain)

    def restore_tags(self, objects: Mapping[str, str]) -> None:
        """Give tag objects that are in this clone their tags back; tags that are there move.

        Args:
            objects: object ids by tag name.

        Raises:
            GitError: git failed.
        """
        commands = "".join(f"update refs/tags/{tag} {oid}\n" for tag, oid in objects.items())
        self.git.text("update-ref", "--stdin", stdin=commands)

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
        remote = self.remote()
        head, now = self._look(remote)
        change = plan(now)
        model = str(change.model.name)
        seen = now.last(model)
        if check is not None:
            check(now, change)
        self._authorise(change)
        for _ in range(_ATTEMPTS):
            event = self._try(remote, change, now, head)
            if event is not None:
                return event
            head, now = self._look(remote)
            if _object(now.last(model)) != _object(seen):
                raise _too_late(model, now)
            change = plan(now)
        raise ConflictError(
            f"others changed the registry {_ATTEMPTS} times in the meantime.", "Run it again."
        )

    def _authorise(self, change: ProposedEvent) -> None:
        if self._signs:
            who = signatures.own_principal(self.git, self.git.root, self.policy)
            self.policy.require(who, change.role)

    def rehearse(self) -> None:
        """Do all of an event but the event: look at the clock, sign, and push for a trial.

        What this refuses would refuse an event, hours of training later. Rules that a host
        applies to a real push alone (protected tags, hooks) cannot be tried.

        Raises:
            InputError: git knows no name, address or key.
            RuleError: the signer is not allowed.
            ToolError: the clock is wrong, git cannot sign, or the remote refuses pushes.
        """
        remote = self.remote()
        tagger = read_tagger(self.git)
        commit = self.git.commit("HEAD")
        head, events = reading.read_chain(self.git)
        before = sync.event_at(self.git, head, events)
        moment = dates.date_next(
            self.git, remote, events, (before,), commit, int(self._clock()), urgent=False
        )
        oid = tag_objects.write(self.git, tagger, _TRIAL, commit, "", moment, sign=self._signs)
        if self._signs:
            signatures.require_known(self.git, self.policy, oid)
        if remote is not None:
            spec = f"{oid}:refs/tags/{_TRIAL}"
            try:
                self._send(remote.place, "--dry-run", spec)
            except GitError as error:
                raise _refused(remote, "a trial push of a tag", error) from error

    def _look(self, remote: RegistryRemote | None) -> tuple[str | None, State]:
        """The head and the state, which is of the head's time or later, never earlier."""
        seen = self._sync(remote)
        return seen.head, state.fold(seen.events)

    def _try(
        self, remote: RegistryRemote | None, change: ProposedEvent, now: State, head: str | None
    ) -> Event | None:
        """The event, or None if the head has moved in the meantime."""
        before = sync.event_at(self.git, head, now.events)
        moment = dates.date_next(
            self.git, remote, now.events, (before, now.last(str(change.model.name))),
            change.commit, int(self._clock()), urgent=change.urgent,
        )  # fmt: skip
        oid = self._make(change, before, moment)
        if remote is None:
            done = self._swap(change.tag, oid, head)
        else:
            done = self._push(remote, change.tag, oid, head)
            if done:
                self._adopt(remote, change.tag, oid, head)
                sync.send_copies(self, remote)
        if not done:
            return None
        return reading.read_event(self.git, change.tag)

    def _push(self, remote: RegistryRemote, tag: str, oid: str, head: str | None) -> bool:
        """Give the object its tag and move the head, at once; False if the head has moved."""
        lease = f"--force-with-lease={reading.HEAD}:{head or ''}"
        refs = (f"{oid}:refs/tags/{tag}", f"{oid}:{reading.HEAD}")
        try:
            self._send(remote.place, lease, *refs)
        except GitError as error:
            theirs = self._refs_after(remote, tag, error)
            if oid in (theirs.get(tag), theirs.get(reading.HEAD)):
                return True  # the answer was lost, the push was not
            if theirs.get(reading.HEAD) != head or tag in theirs:
                return False
            raise _refused(remote, f"the tag {tag}", error) from error
        return True

    def _refs_after(self, remote: RegistryRemote, tag: str, push: GitError) -> dict[str, str]:
        try:
            return sync.remote_refs(self.git, remote.place)
        except GitError:
            if remote.mirror:
                raise ToolError(
                    f"{remote} pushes to {remote.place}, which cannot be reached: {push.stderr}",
                    "Where pushes are switched off on purpose, have somebody do it who may push. "
                    f"To push to where it fetches from: git remote set-url --push {remote} "
                    f"{remote.mirror}",
                ) from push
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

    def _adopt(self, remote: RegistryRemote, tag: str, oid: str, head: str | None) -> None:
        """Give the refs in this clone too to an event that the remote took."""
        new_tag = f"update refs/tags/{tag} {oid}\n"
        new_head = f"update {reading.HEAD} {oid} {head or _NOBODY}\n"
        try:
            try:
                self.git.text("update-ref", "--stdin", stdin=new_tag + new_head)
            except GitError:
                if reading.read_head(self.git) == head:
                    raise
                # Another process of this clone moved the head, perhaps to a later event.
                self.git.text("update-ref", "--stdin", stdin=new_tag)
        except GitError as error:
            raise ToolError(
                f"{tag} is done on {remote}, but this clone could not note it: {error.stderr}",
                f"{error.remedy} `facemodels registry sync` fetches the tag.".lstrip(),
            ) from error

    def _make(self, change: ProposedEvent, before: Event | None, moment: int) -> str:
        """Write the tag object of an event, signed where the policy asks, and no ref to it.

        Args:
            change: the event.
            before: the event that it follows; None for the first.
            moment: its date, in seconds since 1970.

        Returns:
            The object's id.

        Raises:
            InputError: git knows no name or address.
            RuleError: the signer is not allowed to do this.
            ToolError: git failed, or has no key to sign with.
        """
        tagger = read_tagger(self.git)
        record = tag_objects.record(tagger, change, before, moment)
        oid = tag_objects.write(
            self.git, tagger, change.tag, change.commit, record, moment, sign=self._signs
        )
        if self._signs:
            who = signatures.require_known(self.git, self.policy, oid)
            self.policy.require(who, change.role)
        return oid


def _refused(remote: RegistryRemote, what: str, error: GitError) -> ToolError:
    reason, remedy = diagnosis.explain(error.stderr)
    why = f" ({reason})" if reason else ""
    return ToolError(f"{remote} did not take {what}{why}: {error.stderr}", remedy)


def _object(event: Event | None) -> str | None:
    return event.object if event else None


def _too_late(model: str, now: State) -> ConflictError:
    last = now.last(model)
    assert last is not None  # noqa: S101  (something new is there)
    return ConflictError(
        f"{last.tagger} was faster: {last.tag} ({last.reason or last.act}).",
        f"Nothing was changed. See `facemodels registry history --name {model}` and decide anew.",
    )
