from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemodels.errors import InputError
from facemodels.monitoring.report import duration_text, parse_duration

YEAR_S = 366 * 86_400


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("24h", 86_400), ("90s", 90), ("2d", 172_800), ("1h30m", 5_400), ("1w", 604_800),
        ("1.5h", 5_400), ("0.25s", 0.25), (" 5m ", 300), ("366d", YEAR_S), ("0h1s", 1),
    ],
)  # fmt: skip
def test_a_duration_is_read_as_people_write_it(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "h", "24", "0s", "-1h", "1h30", "30m1h", "1h 30m", "1H", "1h1h", "367d", "1e3s", "24ч",
     "٢h", ".5h", "5.h", "inf", "nan", "99999999999s", "1h" * 1000],
)  # fmt: skip
def test_another_text_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InputError, match="24h, 90s"):
        parse_duration(text)


@given(st.integers(1, YEAR_S))
def test_what_is_written_is_read_back(seconds: int) -> None:
    assert parse_duration(duration_text(seconds)) == seconds


@given(st.text(alphabet="0123456789.wdhms -+e", max_size=12))
def test_any_text_gives_a_bounded_duration_or_an_input_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except InputError:
        return
    assert isinstance(seconds, float)
    assert 0 < seconds <= YEAR_S


def test_no_time_has_a_text() -> None:
    assert duration_text(0) == "0s"
    assert duration_text(59.6) == "1m"
