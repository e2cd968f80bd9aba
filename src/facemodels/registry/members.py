"""Members of systems: which versions a system pins, and which systems pin a version. Pure.

A system's package holds its members whole, so it would serve without the registry's own entries
of them. They stay all the same as long as the system is in use: whoever asks where an answer of
the system comes from finds them, and the next system is built of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from facemodels.errors import RuleError
from facemodels.registry.state import Entry, State


@dataclass(frozen=True)
class PinnedMember:
    """A version that a system is made of.

    Attributes:
        task: what it does in the system, such as `detection`.
        id: the version, such as `det-mtcnn-v1.0.0`.
        digest: `sha256:…` of its package's checksums, as the system pins it.
        claims: the version whose embedding space it says that it kept; "" if it has its own.
    """

    task: str
    id: str
    digest: str
    claims: str = ""


def members_of(facts: Mapping[str, Any]) -> tuple[PinnedMember, ...]:
    """The members in what was recorded of a version, sorted by task; none for a model."""
    recorded = facts.get("members")
    if not isinstance(recorded, Mapping):
        return ()
    return tuple(
        PinnedMember(str(task), *(str(pin.get(key, "")) for key in ("id", "digest", "claims")))
        for task, pin in sorted(recorded.items())
        if isinstance(pin, Mapping)
    )


def systems_with(state: State, identity: str) -> list[Entry]:
    """The systems in use that pin a version, lowest first; one is in use until it is deprecated."""
    return [entry for entry, pin in _pins(state) if pin.id == identity]


def require_unpinned(state: State, entry: Entry, *, archived: bool = True) -> None:
    """Refuse to take away a version that a system in use pins.

    Args:
        state: the present state of the registry.
        entry: the version.
        archived: whether systems count whose own weights are in the archive.

    Raises:
        RuleError: a system pins it; the message names the system.
    """
    held = [
        f"{one.id} ({one.status})"
        for one in systems_with(state, entry.id)
        if archived or one.id not in state.archived
    ]
    if held:
        raise RuleError(
            f"{entry.id} is a member of {', '.join(held)}.",
            "Deprecate the system first; a member goes after the last system that pins it.",
        )


def require_known_members(state: State, system: str, facts: Mapping[str, Any]) -> None:
    """Refuse a system whose members are not what the registry knows under their ids.

    A member that nobody registered is allowed, as the system's package holds it whole; but the
    registration of a recogniser shows whether it kept the embedding space that it claims.

    Raises:
        RuleError: a member was registered with another digest, is deprecated, or was withdrawn;
            or one that was not registered claims the embedding space of another version.
    """
    for pin in members_of(facts):
        known = state.entries.get(pin.id)
        if pin.id in state.withdrawn:
            raise RuleError(f"{pin.id}, a member of {system}, was withdrawn.", "Take another one.")
        if known is None:
            if pin.claims:
                raise RuleError(
                    f"{pin.id}, a member of {system}, claims the embedding space of {pin.claims}, "
                    "and nothing shows the claim.",
                    f"Register {pin.id} first: facemodels registry register --path its package.",
                )
            continue
        registered = str(known.evidence.get("package", ""))
        if registered and registered != pin.digest:
            raise RuleError(
                f"{system} holds {pin.id} with the digest {pin.digest[:19]}, and it was "
                f"registered with {registered[:19]}.",
                "Build the system of the registered package: "
                f"facemodels pull {pin.id} --output FOLDER",
            )
        if known.status == "deprecated":
            raise RuleError(f"{pin.id}, a member of {system}, is deprecated.", "Take another one.")


def require_as_pinned(state: State, identity: str, digest: str) -> None:
    """Refuse a version that a system in use pins under its id with another digest.

    Raises:
        RuleError: the digests differ.
    """
    for entry, pin in _pins(state):
        if pin.id == identity and digest and pin.digest != digest:
            raise RuleError(
                f"{entry.id} holds another {identity}: {pin.digest[:19]} instead of {digest[:19]}.",
                "Give this package a new version.",
            )


def unknown_members(state: State, facts: Mapping[str, Any]) -> tuple[str, ...]:
    """The members that nobody registered, by id."""
    return tuple(pin.id for pin in members_of(facts) if pin.id not in state.entries)


def _pins(state: State) -> Iterator[tuple[Entry, PinnedMember]]:
    for entry in sorted(state.systems.values(), key=lambda one: (one.model, one.version, one.id)):
        if entry.status != "deprecated":
            for pin in members_of(entry.facts):
                yield entry, pin
