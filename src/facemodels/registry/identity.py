"""Who makes an event, and with which key: one resolution of Git's configuration, in the clone.

Conditions in it (`includeIf` by folder or branch, `git config --worktree`) hold in the clone
alone. A tag is made in a repository of its own (see `tag_store`), where they would not, so what
was resolved here is handed on to there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from facemodels.errors import InputError
from facemodels.git import Git, GitError

# What git reads to name and to sign a tag.
_SECTIONS = ("user.", "committer.", "author.", "gpg.")


@dataclass(frozen=True)
class Tagger:
    """Who makes an event.

    Attributes:
        name: as git has it.
        mail: his address.
        settings: the values of Git's configuration that name and sign, in their order.
    """

    name: str
    mail: str
    settings: tuple[tuple[str, str], ...]

    @property
    def actor(self) -> str:
        """`Name <mail>`, as the tagger of a tag object."""
        return f"{self.name} <{self.mail}>"

    def environment(self) -> dict[str, str]:
        """Variables under which git names and signs so in any repository."""
        pairs = {
            f"GIT_CONFIG_{part}_{number}": setting[place]
            for number, setting in enumerate(self.settings)
            for place, part in enumerate(("KEY", "VALUE"))
        }
        return {
            "GIT_COMMITTER_NAME": self.name,
            "GIT_COMMITTER_EMAIL": self.mail,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_PARAMETERS": "",
            "GIT_CONFIG_COUNT": str(len(self.settings)),
            **pairs,
        }


def read_tagger(git: Git) -> Tagger:
    """Resolve who makes the next event of a clone.

    Raises:
        InputError: git knows no name or address, or the name is no UTF-8.
    """
    try:
        ident = git.raw("var", "GIT_COMMITTER_IDENT")
    except GitError as error:
        raise InputError(
            f"git does not know who you are: {_last_line(error.stderr)}.",
            'Tell it: git config --global user.name "Your Name"; '
            "git config --global user.email you@example.org",
        ) from error
    try:
        actor = ident.decode().rsplit(" ", 2)[0]
    except UnicodeDecodeError as error:
        raise InputError(
            f"your name in Git's configuration is no UTF-8 ({ident.rsplit(b' ', 2)[0]!r}).",
            "`git config --show-origin user.name` shows the file. Write it again, with --global "
            'where it is your own: git config user.name "Your Name"',
        ) from error
    name, _, mail = actor.rpartition(" <")
    listed = git.raw("config", "--list", "-z", "--includes").decode(errors="surrogateescape")
    settings = (item.partition("\n") for item in listed.split("\0") if item)
    return Tagger(
        name,
        mail.removesuffix(">"),
        tuple(
            (key, value if middle else "true")  # a key without a value means true
            for key, middle, value in settings
            if key.startswith(_SECTIONS)
        ),
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("fatal: ") if lines else "no name"
