"""Makes the tag object of an event: its record, and the object in Git's database without a ref."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

from facemodels.errors import ToolError
from facemodels.git import Git, GitError, common_folder
from facemodels.registry.events import FORMAT, Event, to_text, write_record
from facemodels.registry.identity import Tagger
from facemodels.registry.proposals import ProposedEvent


def record(tagger: Tagger, change: ProposedEvent, before: Event | None, moment: int) -> str:
    """The message of an event's tag.

    Args:
        tagger: who makes it.
        change: the event.
        before: the event that it follows; None for the first.
        moment: its date, in seconds since 1970.

    Raises:
        InputError: JSON or UTF-8 cannot express a value.
    """
    return write_record(
        {
            "format": FORMAT,
            "sequence": before.sequence + 1 if before else 1,
            "previous": {"tag": before.tag, "object": before.object} if before else None,
            "tag": change.tag,
            "commit": change.commit,
            "act": change.act,
            "model_id": str(change.model),
            "status": change.status,
            "actor": tagger.actor,
            "time": to_text(moment),
            "reason": change.reason,
            "nonce": secrets.token_hex(8),  # no two events are the same object
            "evidence": dict(change.evidence),
            **change.extra,
        }
    )


def write(
    git: Git, tagger: Tagger, tag: str, commit: str, message: str, moment: int, *, sign: bool
) -> str:
    """Write a tag object and no ref to it.

    `git tag` always makes a ref; in a repository of its own, over our objects, it is gone with the
    folder, while names and keys are those that the clone's configuration resolved to.

    Args:
        git: runs commands in the clone.
        tagger: who makes it, with his keys.
        tag: the name inside the object.
        commit: the id of what it points to.
        message: its message.
        moment: its date, in seconds since 1970.
        sign: whether it is signed.

    Returns:
        The object's id.

    Raises:
        ToolError: git cannot write or sign it.
    """
    with tempfile.TemporaryDirectory(prefix="facemodels-") as scratch:
        (Path(scratch) / "refs").mkdir()
        (Path(scratch) / "HEAD").write_text("ref: refs/heads/none\n", encoding="ascii")
        inside = {
            **tagger.environment(),
            "GIT_DIR": scratch,
            "GIT_OBJECT_DIRECTORY": str(common_folder(git.root) / "objects"),
            "GIT_COMMITTER_DATE": f"@{moment} +0000",
        }
        form = "--sign" if sign else "--annotate"
        words = ("tag", form, "--cleanup=verbatim", "--file=-", tag, commit)
        try:
            git.text(*words, stdin=message, environment=inside)
        except GitError as error:
            raise ToolError(
                f"git could not make the tag {tag}: {error.stderr}",
                "It has to sign it: check `git config gpg.format`, `user.signingKey` and the "
                "program that signs. Nothing was changed."
                if sign
                else "Nothing was changed.",
            ) from error
        oid = (Path(scratch) / "refs" / "tags" / tag).read_text(encoding="ascii").strip()
        if sign and "\n-----BEGIN " not in git.text("cat-file", "tag", oid):
            # git 2.39 makes the tag without one where the SSH agent has no such key.
            raise ToolError(
                f"git did not sign the tag {tag}, though it was told to.",
                "Is the key at hand (`ssh-add -l`)? See `git config user.signingKey`. Nothing was "
                "changed.",
            )
        return oid
