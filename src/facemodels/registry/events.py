"""One event: a tag, who made it and when, and the record in its message. Pure.

The message of a tag that we make is a record, as JSON:

format      1
sequence    place in the chain, from 1
previous    {"tag", "object"} of the event before; null for the first
tag         this tag's own name, so that a copy under another name shows
commit      what the tag points to
act         register, promote, rollback, deprecate, …
model_id    rec-facenet-v2.1.3
status      of the version after the event
actor       Name <mail>, as the tagger
time        2026-01-02T03:04:05Z, as the tagger's date
reason      why
evidence    digests of the package and of what speaks for it
nonce       random, so that no two events are the same object
entry       what the registry says of a version (register alone)

Tags made by GTO have a message in words instead; they are events without a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from facemodels.errors import InputError
from facemodels.files import canonical_json
from facemodels.registry.tag_names import TagName

FORMAT = 1
_SIGNATURE = "-----BEGIN "
_DECODER = json.JSONDecoder()
_FORM = "%Y-%m-%dT%H:%M:%SZ"
_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "format": int, "sequence": int, "previous": (dict, type(None)), "tag": str, "commit": str,
    "act": str, "model_id": str, "status": str, "actor": str, "time": str, "reason": str,
    "evidence": dict,
}  # fmt: skip
_EMPTY_ENTRY: Mapping[str, Any] = {"interface": {}, "metrics": {}, "tags": []}
_ENTRY_KINDS: Mapping[str, type] = {"interface": dict, "metrics": dict, "tags": list}
_OBJECT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Event:
    """A tag of a model.

    Attributes:
        tag: the tag's name, as the ref has it.
        name: the parts of that name.
        object: the id of the tag object; a lightweight tag has the id of its commit here.
        commit: the id of the commit that the tag points to.
        inner_tag: the name inside the tag object, "" for a lightweight tag.
        tagger: `Name <mail>`.
        time: the tagger's date, seconds since 1970.
        record: the JSON in the message; None for a tag that is not ours.
        message: the whole message, signature included.
    """

    tag: str
    name: TagName
    object: str
    commit: str
    inner_tag: str
    tagger: str
    time: int
    record: Mapping[str, Any] | None
    message: str

    @property
    def previous(self) -> str | None:
        """Object id of the event before; None for the first and for those without a record."""
        before = self.record["previous"] if self.record else None
        return str(before["object"]) if before else None

    @property
    def sequence(self) -> int:
        """Place in the chain, from 1; 0 without a record."""
        return int(self.record["sequence"]) if self.record else 0

    @property
    def reason(self) -> str:
        """The reason in the record; without a record, the first line of the message."""
        if self.record is not None:
            return str(self.record["reason"])
        return self.message.split("\n", 1)[0]

    @property
    def act(self) -> str:
        """The act as the record names it; without a record, as the tag's name does."""
        return str(self.record["act"]) if self.record else self.name.act


def read_record(message: str) -> Mapping[str, Any] | None:
    """Read the record in a message; None if the message is not exactly a record."""
    if not message.startswith("{"):
        return None
    try:
        value, end = _DECODER.raw_decode(message)
    except (ValueError, RecursionError):
        return None
    if _SURROGATE.search(message) and not _is_unicode(value):
        return None
    rest = message[end:].strip()
    if rest and not rest.startswith(_SIGNATURE):
        return None
    return value if _is_record(value) else None


def _is_record(value: Any) -> bool:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return False
    if "previous" not in value or not _are(value, _KINDS) or not _OBJECT.fullmatch(value["commit"]):
        return False
    entry = value.get("entry", {})
    if not isinstance(entry, dict) or not _are({**_EMPTY_ENTRY, **entry}, _ENTRY_KINDS):
        return False
    before = value["previous"]
    return before is None or (
        _are(before, {"tag": str, "object": str}) and bool(_OBJECT.fullmatch(before["object"]))
    )


def _are(value: Mapping[str, Any], kinds: Mapping[str, type | tuple[type, ...]]) -> bool:
    return all(isinstance(value.get(key), kind) for key, kind in kinds.items())


def _is_unicode(value: Any) -> bool:
    """Whether a value can be encoded as UTF-8; JSON's escapes can also name lone surrogates."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return True


def write_record(values: Mapping[str, Any]) -> str:
    """Write a record as the message of a tag.

    Raises:
        InputError: JSON or UTF-8 cannot express a value.
    """
    try:
        text = canonical_json(values)
        text.encode()
    except ValueError as error:
        raise InputError(
            f"the event cannot be recorded: {error}.", "Correct the metrics or the reason."
        ) from error
    return text


def to_text(seconds: int) -> str:
    """Seconds since 1970 as `2026-01-02T03:04:05Z`; as Git's `@SECONDS` beyond the year 9999."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(_FORM)
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"


def from_text(text: str) -> int:
    """Seconds since 1970 of an ISO date, with or without a time; UTC unless it says otherwise.

    Raises:
        InputError: no such date.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"{text!r} is not a time.", "Write 2026-01-31 or 2026-01-31T12:00:00Z."
        ) from error
