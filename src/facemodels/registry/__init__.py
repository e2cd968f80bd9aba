"""Versions and their statuses as a chain of Git tags.

The rules are pure functions of values; Git is at the edge. In reading order:

tag_names    the names of tags, in GTO's shape (pure)
events       one event: a tag and the record in its message (pure)
state        what the events add up to: versions, statuses, who is in production (pure)
policy       who may do what, from conf/registry.yaml
members      which versions a system pins, and which systems pin a version (pure)
rules        what may happen to a version, and the event that it makes (pure)
audit        whether the chain of events is whole and every tag is what it was (pure)
reading      reads events from Git
signatures   signs tags and checks their signatures
sync         follows the remote: fetches the events of others, notices what was rewritten
tag_store    the only module that writes tags: one compare-and-swap an event
packages     gets the package of a registered version
evidence     digests, metrics and gates that speak for a version
semver       the smallest legal version bump between two packages (pure)
bump         compares two packages and says which bump they ask for
registry     the acts: register, move, deprecate, audit

Example:
    >>> from pathlib import Path
    >>> from facemodels.registry.registry import open_registry
    >>> registry = open_registry(Path("."))  # doctest: +SKIP
    >>> [entry.id for entry in registry.repository.state().entries.values()]  # doctest: +SKIP
    ['rec-facenet-v2.1.3']
"""
