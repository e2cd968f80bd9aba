"""Editing conf/: only the values change."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.release import card
from facemodels.release.card import CardWords

CONF = Path(__file__).resolve().parents[3] / "conf"
MODELS = sorted((CONF / "model").glob("*.yaml"))
WORDS = CardWords("9.8.7", "2026-11-23T01:02:03Z", "Twice the people.", "9.8.6")
# What YAML can hold and a person may type; Hydra's own signs are refused before.
messages = st.text(
    st.characters(
        codec="utf-8",
        exclude_categories=["Cc", "Cs"],
        exclude_characters="\u2028\u2029\ufeff\ufffe\uffff",
    ),
    min_size=1,
)


def _changed(before: str, after: str) -> list[str]:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in lines if line[0] in "+-" and line[:3] not in ("+++", "---")]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_card_changes_in_four_lines_and_keeps_its_comments(path: Path) -> None:
    before = path.read_text()
    after = card.edit_card(before, WORDS, path.name)
    changed = _changed(before, after)
    assert [line.strip("+- ").split(":")[0] for line in changed] == [
        "version", "version", "created_at", "created_at",
        "changelog", "changelog", "parent_version", "parent_version",
    ]  # fmt: skip
    values = yaml.safe_load(after)
    assert values["version"] == "9.8.7"
    assert values["card"]["created_at"] == "2026-11-23T01:02:03Z"
    assert values["card"]["parent_version"] == "9.8.6"


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_going_on_with_the_same_version_keeps_its_date(path: Path) -> None:
    once = card.edit_card(path.read_text(), WORDS, path.name)
    later = CardWords(WORDS.version, "2030-01-01T00:00:00Z", WORDS.changelog, WORDS.parent_version)
    assert card.edit_card(once, later, path.name) == once


def test_another_version_gets_another_date() -> None:
    once = card.edit_card(MODELS[0].read_text(), WORDS, "x")
    other = CardWords("10.0.0", "2030-01-01T00:00:00Z", WORDS.changelog, WORDS.parent_version)
    assert "2030-01-01T00:00:00Z" in card.edit_card(once, other, "x")


# The first call imports and fills ruamel's tables, which are slow: an example takes 0.1 s.
@settings(deadline=None, max_examples=20)
@given(messages)
def test_any_message_comes_back_as_it_was(message: str) -> None:
    text = MODELS[0].read_text()
    before = yaml.safe_load(text)
    for changelog in (message, f"{message}\n\nsecond: paragraph\n"):
        words = CardWords("9.8.7", "2026-11-23T01:02:03Z", changelog, "9.8.6")
        edited = card.edit_card(text, words, "x")
        values = yaml.safe_load(edited)
        assert values["card"].pop("changelog") == changelog
        assert values["network"] == before["network"]
        assert values["card"]["known_issues"] == before["card"]["known_issues"]


def test_pinning_a_baseline_changes_one_line_and_can_be_read() -> None:
    before = (CONF / "config.yaml").read_text()
    after = card.edit_baseline(before, "landmarks", "models/landmarks/dlib-v1.0.0", "x")
    assert len(_changed(before, after)) == 2
    assert card.baseline(after, "landmarks", "x") == "models/landmarks/dlib-v1.0.0"
    assert (
        card.edit_baseline(after, "landmarks", card.baseline(before, "landmarks", "x"), "x")
        == before
    )


@pytest.mark.parametrize("text", ["", "- a\n", "version: 1.0.0\n", "a: [\n"])
def test_a_file_without_a_card_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"conf/model/x\.yaml"):
        card.edit_card(text, WORDS, "conf/model/x.yaml")
    with pytest.raises(InputError, match=r"conf/config\.yaml"):
        card.edit_baseline(text, "landmarks", "", "conf/config.yaml")
