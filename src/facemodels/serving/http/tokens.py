"""Bearer tokens: they are stored as hashes, and a server reads their file again when it changes."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, NamedTuple

import structlog
import yaml
from pydantic import AwareDatetime, Field

from facemodels.errors import InputError
from facemodels.files import atomic_path
from facemodels.params import Frozen, load_yaml, parse
from facemodels.routes import SCOPES, Scope

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_RACY_NS = 100_000_000  # a file that is younger may change again without a new time stamp


class Earlier(Frozen):
    """A token that another one has replaced.

    Attributes:
        sha256: its hash.
        expires: until when it holds on.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    expires: AwareDatetime


class Token(Frozen):
    """A token as the file stores it.

    A plain SHA-256 is enough: a token has 256 random bits, so nobody can guess it.

    Attributes:
        sha256: the hash of the token, in hexadecimal digits.
        scopes: what the token allows.
        expires: from when on it is void; None for never.
        before: the holder's earlier tokens, which hold on for a while after a rotation.
    """

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    expires: AwareDatetime | None = None
    before: tuple[Earlier, ...] = ()

    def valid(self, now: datetime) -> Iterator[str]:
        """The hashes that open something now."""
        if self.expires is None or now < self.expires:
            yield self.sha256
        yield from (one.sha256 for one in self.before if now < one.expires)


class Holder(NamedTuple):
    """Who holds a token, and what it allows."""

    name: str
    scopes: frozenset[Scope]


class TokenFile(Frozen):
    """The content of a token file.

    Attributes:
        tokens: the tokens by the names of their holders.
    """

    tokens: dict[str, Token] = Field(default_factory=dict)


class Tokens:
    """The tokens in a file, as the file is now.

    If the file does not fit the schema, as in the middle of an edit, the tokens of its last good
    state stay valid, and the log says so. If the file is gone, no token is valid.

    Args:
        path: the YAML file that `add` writes.

    Raises:
        InputError: the file is missing, does not fit the schema, or anyone may write to it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = structlog.get_logger("facemodels.serving")
        self._complaint = ""
        self._stamp = self._look()
        self._tokens = self._load()

    def holder(self, token: bytes) -> Holder | None:
        """Who holds a token; None if nobody does, or not any more.

        The time does not depend on the token.
        """
        self._refresh()
        digest, now = _digest(token), datetime.now(UTC)
        found: Holder | None = None
        for name, known in self._tokens.items():
            for one in known.valid(now):
                if hmac.compare_digest(one, digest):
                    found = Holder(name, frozenset(known.scopes))
        return found

    def _refresh(self) -> None:
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp  # taken before reading: a later write gives another stamp
        try:
            fresh, complaint = (self._load_again() if stamp else {}), ""
        except InputError as error:
            fresh, complaint = self._tokens, str(error)
        if complaint and complaint != self._complaint:
            self._log.warning("tokens unchanged", reason=complaint)
        if fresh != self._tokens:
            self._log.info("tokens read", holders=len(fresh))
        self._tokens, self._complaint = fresh, complaint

    def _look(self) -> tuple[int, ...]:
        """A stamp that differs between one state of the file and the next."""
        try:
            status = self._path.stat()
        except OSError:
            return ()
        young = time.time_ns() - status.st_mtime_ns < _RACY_NS
        found = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
        return (*found, time.monotonic_ns()) if young else found

    def _load_again(self) -> Mapping[str, Token]:
        """Load; a pipe that came in the file's place would hold the server until it ends."""
        if self._path.exists() and not self._path.is_file():
            raise InputError(f"{self._path} is no file.")
        return self._load()

    def _load(self) -> Mapping[str, Token]:
        known = parse(TokenFile, load_yaml(self._path), str(self._path)).tokens
        try:
            mode = self._path.stat().st_mode
        except OSError as error:
            raise InputError(f"{self._path} cannot be read: {error.strerror}.") from error
        if mode & stat.S_IWOTH:
            raise InputError(f"anyone may write to {self._path}.", f"chmod 600 {self._path}")
        return known


def add(
    path: Path, name: str, scopes: Iterable[Scope], *,
    lasts: timedelta | None = None, overlap: timedelta = timedelta(),
) -> str:  # fmt: skip
    """Make a token and store its hash. The token itself is only in the return value.

    If the holder has a token already, the new one replaces it, after `overlap`.

    Args:
        path: the token file; it is made if it does not exist.
        name: the name of the holder.
        scopes: what the token allows.
        lasts: after which time it is void; None for never.
        overlap: how long the one before holds on, with the scopes of the new one.

    Raises:
        InputError: the name has not the form of a name, no scope is given, or the file does not
            fit the schema.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f"{name!r} is not a name of a holder.",
            "Use up to 64 small letters, digits, - _ and .; a letter or digit first.",
        )
    granted = tuple(scope for scope in SCOPES if scope in set(scopes))
    if not granted:
        raise InputError("a token without scopes can do nothing.", f"Give of {', '.join(SCOPES)}.")
    token = f"fm_{secrets.token_urlsafe(32)}"
    with _edited(path) as known:
        now = datetime.now(UTC)
        known[name] = Token(
            sha256=_digest(token.encode()),
            scopes=granted,
            expires=None if lasts is None else now + lasts,
            before=_held_on(known.get(name), now, now + overlap),
        )
    return token


def _held_on(before: Token | None, now: datetime, until: datetime) -> tuple[Earlier, ...]:
    """The tokens of a holder that outlive a rotation."""
    if before is None or until <= now:
        return ()
    own = until if before.expires is None else min(until, before.expires)
    kept = [one.model_copy(update={"expires": min(one.expires, until)}) for one in before.before]
    return tuple(
        one for one in (Earlier(sha256=before.sha256, expires=own), *kept) if one.expires > now
    )


def remove(path: Path, name: str) -> None:
    """Delete the token of a holder.

    Raises:
        InputError: nobody of that name holds a token, or the file does not fit the schema.
    """
    with _edited(path) as known:
        if name not in known:
            raise InputError(
                f"{name} holds no token in {path}.", f"Holders: {', '.join(known) or 'none'}."
            )
        del known[name]


def holders(path: Path) -> dict[str, Token]:
    """What is stored of every token, by the name of its holder.

    Raises:
        InputError: the file is missing or does not fit the schema.
    """
    return parse(TokenFile, load_yaml(path), str(path)).tokens


@contextmanager
def _edited(path: Path) -> Iterator[dict[str, Token]]:
    """The tokens of a file, to be changed in the block and written at its end.

    A lock on the folder lets one process edit at a time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        exists = path.exists()
        known = dict(parse(TokenFile, load_yaml(path), str(path)).tokens) if exists else {}
        yield known
        _write(path, known)
    finally:
        os.close(folder)


def _write(path: Path, tokens: Mapping[str, Token]) -> None:
    """Replace the whole file at once. At no moment can another user read it."""
    values = TokenFile(tokens=dict(tokens)).model_dump(mode="json", exclude_defaults=True)
    values = {"tokens": {}, **values}
    with atomic_path(path, mode=0o600) as temporary:
        temporary.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")


def _digest(token: bytes) -> str:
    return hashlib.sha256(token).hexdigest()
