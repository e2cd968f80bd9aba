"""Durations as people write them: `24h`, `90s`, `2d`, `1h30m`. Pure."""

from __future__ import annotations

import re

from facemodels.errors import InputError

_SECONDS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
_TEXT = re.compile("".join(rf"(?:({_NUMBER}){unit})?" for unit in _SECONDS), re.ASCII)
_LONGEST_S = 366 * 86_400.0


def parse_duration(text: str) -> float:
    """Read a duration such as `24h`, `90s`, `2d`, `1h30m` or `1.5h`.

    Args:
        text: numbers with the units w, d, h, m and s, the longest unit first, each at most once.

    Returns:
        The seconds, above 0 and at most 366 days.

    Raises:
        InputError: the text is no duration, or it is zero or more than 366 days.
    """
    match = _TEXT.fullmatch(text.strip())
    parts = match.groups() if match else ()
    seconds = sum(
        float(part) * scale
        for part, scale in zip(parts, _SECONDS.values(), strict=False)
        if part is not None
    )
    if not 0 < seconds <= _LONGEST_S:
        raise InputError(
            f"{text[:40]!r} is no duration.", "Write it as 24h, 90s, 2d or 1h30m, up to 366d."
        )
    return float(seconds)


def duration_text(seconds: float) -> str:
    """The shortest text that `parse_duration` reads as the seconds, rounded; `0s` for zero."""
    left = round(seconds)
    parts = []
    for unit, scale in _SECONDS.items():
        if unit == "w":  # 24d is easier to read than 3w3d
            continue
        count, left = divmod(left, scale)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
