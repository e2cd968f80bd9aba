"""Making the tag object of an event; who gives it a ref is `repository`."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemodels.errors import IntegrityError, RuleError
from facemodels.git import Git
from facemodels.registry import signatures
from facemodels.registry.events import FORMAT, Event, to_text, write_record
from facemodels.registry.policy import RegistryPolicy
from facemodels.registry.rules import ProposedEvent
from facemodels.registry.state import State

_AHEAD = 24 * 3600  # seconds that dates may run ahead of a clock: clocks differ, bursts add some


def make(
    git: Git,
    policy: RegistryPolicy,
    change: ProposedEvent,
    before: Event | None,
    now: State,
    *,
    clock: Callable[[], float],
) -> str:
    """Write the tag object of an event, signed where the policy asks, and no ref to it.

    Args:
        git: of the clone.
        policy: of the repository.
        change: the event to be.
        before: the one it follows; None for the first.
        now: the state it is made in.
        clock: seconds since 1970.

    Returns:
        The object's id.

    Raises:
        IntegrityError: a tag is dated so far ahead that everything would follow it there.
        RuleError: the signer is not allowed to do this.
        ToolError: git failed, or has no key to sign with.
    """
    moment = _moment(now, int(clock()))
    record = _record(git, change, before, moment)
    date = {"GIT_COMMITTER_DATE": f"@{moment} +0000"}
    objects = git.text("rev-parse", "--path-format=absolute", "--git-path", "objects")
    config = git.text("rev-parse", "--path-format=absolute", "--git-path", "config")
    sign = "--sign" if policy.signatures == "required" else "--annotate"
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
    if policy.signatures == "required":
        _check_signature(git, policy, oid, change)
    return oid


def _moment(now: State, clock: int) -> int:
    """Of the next event: after all others, as GTO and DVC go by dates alone.

    Raises:
        IntegrityError: a tag is dated so far ahead that everything would follow it there.
    """
    last = max(now.events, key=lambda event: event.time, default=None)
    if last is None:
        return clock
    if last.time > clock + _AHEAD:
        raise IntegrityError(
            f"{last.tag} is dated {to_text(last.time)}, far ahead of this machine's clock.",
            "Correct the clock; or, if the tag is none of the registry's, delete it.",
        )
    return max(clock, last.time + 1)


def _check_signature(git: Git, policy: RegistryPolicy, oid: str, change: ProposedEvent) -> None:
    """Look at the new tag as the audit will, before anybody else sees it."""
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
