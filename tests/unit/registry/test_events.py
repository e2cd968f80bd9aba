from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bounded import examples

from facemodels.errors import InputError
from facemodels.registry import events
from facemodels.registry.events import read_record, write_record

from .conftest import Ledger, register

words = st.text(st.characters(codec="utf-8"), max_size=30)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), words
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3)
)
hexes = st.text("0123456789abcdef", min_size=40, max_size=40)
records = st.fixed_dictionaries(
    {
        "format": st.just(1),
        "sequence": st.integers(1, 10**9),
        "previous": st.none() | st.fixed_dictionaries({"tag": words, "object": hexes}),
        "tag": words, "commit": hexes, "act": words, "model_id": words, "status": words,
        "actor": words, "time": words, "reason": words,
        "evidence": st.dictionaries(words, values, max_size=3),
    },
    optional={
        "entry": st.dictionaries(words.filter(lambda w: w not in ("interface", "metrics", "tags")), values, max_size=3),
        "retire": st.booleans(),
    },
)  # fmt: skip
SSH = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
GOOD = Ledger().add(register("rec-facenet-v1.0.0", "a" * 40)).message


@settings(max_examples=examples(150), deadline=None, derandomize=True)
@given(records, st.sampled_from(["", SSH, "\n", SSH.replace("SSH", "PGP")]))
def test_a_record_reads_back_as_written_signed_or_not(
    record: Mapping[str, Any], signature: str
) -> None:
    assert read_record(write_record(record) + signature) == record


@given(records)
def test_a_record_is_written_the_same_whatever_the_order_of_its_keys(
    record: Mapping[str, Any],
) -> None:
    assert write_record(record) == write_record(dict(reversed(list(record.items()))))


@settings(max_examples=examples(400), deadline=None, derandomize=True)
@given(data=st.data())
def test_a_message_with_changed_characters_is_a_record_or_none(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD)))
    length = data.draw(st.integers(0, 12))
    message = GOOD[:place] + data.draw(st.text(max_size=8)) + GOOD[place + length :]
    record = read_record(message)
    assert record is None or _is_usable(record)


@settings(max_examples=examples(400), deadline=None, derandomize=True)
@given(data=st.data())
def test_a_record_with_any_value_in_any_place_is_usable_or_none(data: st.DataObject) -> None:
    record = copy.deepcopy(json.loads(GOOD))
    holder = data.draw(st.sampled_from([record, record["entry"], record["evidence"]]))
    key = data.draw(st.sampled_from([*sorted(holder), "previous", "interface"]))
    if data.draw(st.booleans()):
        holder[key] = data.draw(values)
    else:
        holder.pop(key, None)
    read = read_record(json.dumps(record))
    assert read is None or _is_usable(read)


def _is_usable(record: Mapping[str, Any]) -> bool:
    """What the rest of the registry does with a record's parts."""
    entry = record.get("entry", {})
    entry.get("interface", {}).get("embedding_space")
    sorted(entry.get("metrics", {}))
    list(entry.get("tags", []))
    write_record(record)
    before = record["previous"]
    texts = [record[key] for key in ("tag", "actor", "time", "reason", "status", "model_id")]
    links = [record["commit"], *([before["object"]] if before else [])]
    return all(isinstance(text, str) for text in texts) and all(
        len(link) in (40, 64) and set(link) <= set("0123456789abcdef") for link in links
    )


@pytest.mark.parametrize(
    "message",
    [
        "",
        "Registering artifact recognition-facenet",
        "{",
        "{}",
        "[]",
        "[" * 100_000,
        '{"a":' * 100_000,
        "{" + "9" * 5000,
        f" {GOOD}",
        f"{GOOD}and more",
        GOOD + GOOD,
        GOOD.replace('"format": 1', '"format": 2'),
        GOOD.replace('"format": 1', '"format": "1"'),
        GOOD.replace('"sequence": 1', '"sequence": 1.0'),
        GOOD.replace('"reason": "', '"reason": "\\ud800'),
        GOOD.replace("a" * 40, "HEAD"),
        GOOD.replace("a" * 40, "--help"),
    ],
    ids=range(17),
)
def test_what_is_no_record_reads_as_none(message: str) -> None:
    assert message != GOOD
    assert read_record(message) is None


def test_a_reason_may_speak_of_half_characters_and_signatures() -> None:
    reason = "\\ud800 \U0001f600 \x00 -----BEGIN SSH SIGNATURE-----"
    record = {**json.loads(GOOD), "reason": reason}
    read = read_record(write_record(record))
    assert read is not None
    assert read["reason"] == reason


@pytest.mark.parametrize("reason", [float("nan"), float("inf"), "\udcff", {"\ud800": 1}])
def test_what_json_cannot_say_is_refused_with_a_remedy(reason: object) -> None:
    with pytest.raises(InputError, match="cannot be recorded") as refused:
        write_record({"reason": reason})
    assert refused.value.remedy


@given(st.integers(0, 253_402_300_799))
def test_a_time_reads_back_from_its_text(seconds: int) -> None:
    assert events.from_text(events.to_text(seconds)) == seconds


@pytest.mark.parametrize("seconds", [253_402_300_800, 2**62, 2**63 - 1, -(2**62)])
def test_a_time_beyond_the_calendar_has_a_text_too(seconds: int) -> None:
    assert events.to_text(seconds) == f"@{seconds}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-02", 86_400),
        ("2026-01-01T00:00:00Z", 1_767_225_600),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600),
        ("2026-01-01 00:00", 1_767_225_600),
    ],
)
def test_times_of_users_are_of_utc_unless_they_say_otherwise(text: str, seconds: int) -> None:
    assert events.from_text(text) == seconds


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_is_refused_with_a_remedy(text: str) -> None:
    remedy = "none was needed"
    try:
        events.from_text(text)
    except InputError as error:
        remedy = error.remedy
    assert remedy


def test_an_event_without_a_record_speaks_by_its_tag_and_its_first_line() -> None:
    event = Ledger().add(register("rec-facenet-v1.0.0", "a" * 40))
    assert (event.sequence, event.previous, event.act) == (1, None, "register")
    bare = events.Event(
        event.tag, event.name, event.object, event.commit, "", "", 0, None, "Words.\nMore."
    )
    assert (bare.sequence, bare.previous, bare.act, bare.reason) == (0, None, "register", "Words.")
