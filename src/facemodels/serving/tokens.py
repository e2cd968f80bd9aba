"""Bearer tokens: stored as hashes, read again when their file changes."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from facemodels.errors import InputError
from facemodels.files import write_yaml
from facemodels.params import Frozen, load_yaml, parse

Scope = Literal["predict", "info", "metrics", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Token(Frozen):
    """A token as it is stored.

    A plain SHA-256 is enough: a token has 256 random bits, so there is nothing to guess.
    """

    sha256: str
    scopes: tuple[Scope, ...]


class TokenFile(Frozen):
    """Tokens by the name of who holds them."""

    tokens: dict[str, Token] = Field(default_factory=dict)


class Tokens:
    """The tokens of a file, as it is now.

    Args:
        path: YAML, as `add` writes it.

    Raises:
        ParamsError: the file is missing or does not fit the schema.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._tokens: dict[str, Token] = Field(default_factory=dict)
        self._refresh()

    def scopes(self, token: str) -> frozenset[Scope] | None:
        """What a token may do; None if nobody holds it. Takes as long for every token."""
        self._refresh()
        digest = _digest(token)
        found: frozenset[Scope] | None = None
        for known in self._tokens.values():
            if hmac.compare_digest(known.sha256, digest):
                found = frozenset(known.scopes)
        return found

    def _refresh(self) -> None:
        """Read the file if it changed; one that is broken in mid-edit leaves the last good."""
        status = self._path.stat() if self._path.is_file() else None
        stamp = (status.st_mtime_ns, status.st_ino) if status else None
        if stamp == self._stamp and stamp is not None:
            return
        try:
            self._tokens = parse(TokenFile, load_yaml(self._path), str(self._path)).tokens
        except InputError:
            if self._stamp is None:
                raise
        self._stamp = stamp


def add(path: Path, name: str, scopes: Iterable[Scope]) -> str:
    """Make a token and store its hash; the token itself is nowhere but in the answer.

    A holder who has one already gets a new one: the old one is void.

    Raises:
        InputError: the name is none, or no scope is given.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(f"{name!r} is not a name of a holder.", "Use letters, digits, - _ and .")
    granted = tuple(scope for scope in SCOPES if scope in set(scopes))
    if not granted:
        raise InputError("a token without scopes can do nothing.", f"Give some of {SCOPES}.")
    token = f"fm_{secrets.token_urlsafe(32)}"
    known = _read(path)
    known[name] = Token(sha256=_digest(token), scopes=granted)
    _write(path, known)
    return token


def remove(path: Path, name: str) -> None:
    """Void the token of a holder.

    Raises:
        InputError: nobody of that name holds one.
    """
    known = _read(path)
    if name not in known:
        raise InputError(f"{name} holds no token in {path}.", f"It has {', '.join(known)}.")
    del known[name]
    _write(path, known)


def _read(path: Path) -> dict[str, Token]:
    return dict(parse(TokenFile, load_yaml(path), str(path)).tokens) if path.is_file() else {}


def _write(path: Path, tokens: dict[str, Token]) -> None:
    write_yaml(path, TokenFile(tokens=tokens).model_dump(mode="json"))
    path.chmod(0o600)


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode(errors="surrogateescape")).hexdigest()
