"""Aliases: words of the team that name one version of a model each."""

from __future__ import annotations

import re

import pytest
from tests.unit.registry.conftest import (
    V1,
    V2,
    Ledger,
    again,
    commit_of,
    deprecate,
    kinds,
    register,
)

from facemodels.errors import InputError, RuleError
from facemodels.names import ModelId
from facemodels.registry import audit, notes
from facemodels.registry.events import to_text
from facemodels.registry.proposals import Proposal


def alias(model: str, word: str) -> Proposal:
    return lambda now: notes.alias(now, ModelId.parse(model), word, reason="")


@pytest.fixture
def two(ledger: Ledger) -> Ledger:
    for model in (V1, V2):
        ledger.add(register(model, commit_of(model)))
    return ledger


def test_an_alias_names_one_version_and_stands_for_its_id(two: Ledger) -> None:
    two.add(alias(V1, "champion"))
    moved = two.add(alias(V2, "champion"))
    assert moved.tag == "recognition-facenet#champion#2"
    assert two.state.entry("recognition-facenet@champion").id == V2
    assert (two.state.aliases_of(V1), two.state.aliases_of(V2)) == ([], ["champion"])
    assert two.state.entry(V2).status == "development"
    two.add(lambda now: notes.unalias(now, ModelId.parse(V2), "champion", reason=""))
    with pytest.raises(InputError, match="has no alias champion"):
        two.state.entry("recognition-facenet@champion")
    assert audit.audit(two.events, two.head) == []


def test_a_deregistered_version_loses_its_aliases_and_says_who_withdrew_it(two: Ledger) -> None:
    two.add(alias(V1, "champion"))
    gone = two.add(lambda now: notes.deregister(now, ModelId.parse(V1), reason="wrong weights"))
    assert two.state.aliases == {}
    said = f"no more: {gone.tagger} withdrew it on {to_text(gone.time)} (wrong weights)"
    with pytest.raises(InputError, match=re.escape(said)):
        two.state.entry(V1)
    assert two.state.withdrawn[V1].events[-1] == gone


@pytest.mark.parametrize(
    "word", ["production", "rollout", "annotated", "v2", "Champion", "a b", "", "latest", "x/y"]
)
def test_a_word_with_another_meaning_is_no_alias(two: Ledger, word: str) -> None:
    with pytest.raises(InputError, match="cannot be an alias"):
        two.add(alias(V1, word))


def test_a_deprecated_version_gets_no_alias(two: Ledger) -> None:
    two.add(deprecate(V1))
    with pytest.raises(RuleError, match="deprecated"):
        two.add(alias(V1, "champion"))


def test_an_alias_that_calls_itself_a_promotion_is_forged(two: Ledger) -> None:
    two.events.append(again(two.add(alias(V1, "champion")), record={"act": "promote"}))
    del two.events[-2]
    assert kinds(audit.audit(two.events, two.head)) == {
        "recognition-facenet#champion#1": {"forged"}
    }
