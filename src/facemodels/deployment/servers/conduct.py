"""Keeps how the servers of each version behave, over restarts of the controller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from facemodels import files
from facemodels.monitoring.analysis.conduct import ServerConduct

_WRITE_S = 5.0  # between two writings of the time without a ready server


@dataclass(frozen=True)
class _Term:
    """The time of a version in one place, which begins with the tag `event`."""

    event: str
    conduct: ServerConduct = field(default_factory=ServerConduct)


class ConductBook:
    """What is known of the conduct of every version, one file each.

    A version that is deployed again begins anew. A file that cannot be written loses nothing as
    long as this controller runs.

    Args:
        folder: the folder of the files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._terms: dict[str, _Term] = {}
        self._written: dict[str, float] = {}  # the time without a ready server, as in the file

    def begin(self, identity: str, event: str) -> bool:
        """Note that a version has its place by this tag; a tag that is known changes nothing.

        Returns:
            Whether the tag is new, so that what the version did before counts no more.
        """
        known = self._terms.get(identity) or self._read(identity)
        new = known is None or known.event != event
        if known is None or new:
            known = _Term(event)
            self._put(identity, known, write=True)
        self._terms.setdefault(identity, known)
        return new

    def keep(self, identities: Mapping[str, str]) -> None:
        """Forget every version that has no place any more."""
        for identity in self._terms.keys() - identities.keys():
            del self._terms[identity]
            with suppress(OSError):
                self._path(identity).unlink(missing_ok=True)

    def died(self, identity: str, why: str) -> None:
        """Count the death of a server."""
        term = self._terms.get(identity)
        if term is not None:
            conduct = replace(term.conduct, deaths=term.conduct.deaths + 1, why=why)
            self._put(identity, replace(term, conduct=conduct), write=True)

    def waited(self, identity: str, seconds: float) -> None:
        """Add seconds in which no server of a version was ready."""
        term = self._terms.get(identity)
        if term is not None:
            total = term.conduct.not_ready_s + seconds
            due = total - self._written.get(identity, 0.0) >= _WRITE_S
            conduct = replace(term.conduct, not_ready_s=total)
            self._put(identity, replace(term, conduct=conduct), write=due)

    def all(self) -> dict[str, ServerConduct]:
        """The conduct of every version, by id."""
        return {identity: term.conduct for identity, term in self._terms.items()}

    def _put(self, identity: str, term: _Term, *, write: bool) -> None:
        self._terms[identity] = term
        if write:
            self._written[identity] = term.conduct.not_ready_s
            with suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                files.write_json(self._path(identity), asdict(term))

    def _read(self, identity: str) -> _Term | None:
        with suppress(OSError, ValueError, TypeError, KeyError):
            record = json.loads(self._path(identity).read_bytes())
            return _Term(str(record["event"]), ServerConduct(**record["conduct"]))
        return None

    def _path(self, identity: str) -> Path:
        return self._folder / f"{identity}.json"
