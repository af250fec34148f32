"""Durations and ages, as people read and write them."""

from __future__ import annotations

import pytest

from launchers.operator.durations import as_age, as_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("1h30m", 5400)]
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "h", "-1h", "1.5h", "1w", "1 h", "9" * 30 + "d", "٣h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.018, "18 ms"), (5.34, "5.3 s"), (83, "1 min 23 s"), (7500, "2 h 05 min"), (93600, "1 d 02 h")],
)
def test_a_duration_is_written(seconds: float | None, text: str) -> None:
    assert as_duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (180000, "2 d")]
)
def test_an_age_is_written(seconds: float, text: str) -> None:
    assert as_age(seconds) == text
