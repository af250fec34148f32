"""Sizes as texts."""

from __future__ import annotations

from typing import Any

import pytest

from flcore.config.sizes import parse_size, size_in_words, size_to_read

GI = 1 << 30


@pytest.mark.parametrize(
    ("text", "size"), [(1, 1), ("1", 1), ("1Ki", 1024), ("6Mi", 6 << 20), ("16Gi", 16 * GI), ("2Ti", 2048 * GI)]
)
def test_a_size_is_bytes_or_a_text_with_a_binary_unit(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", [0, -1, 1.0, True, "", "0", "1k", "1kb", " 1", "1 Gi", "9999999999Ti", None])
def test_nothing_like_it_is_one(text: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "words"), [(268435456, "256Mi"), (1 << 30, "1Gi"), (1536 << 20, "1536Mi"), (1000, "1000 bytes")]
)
def test_a_size_is_told_as_a_config_says_it(size: int, words: str) -> None:
    assert size_in_words(size) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (500, "500 bytes"), (1536 << 20, "1536Mi"), (6201237504, "6201237504 bytes (5.8Gi)")],
)
def test_a_size_that_no_config_would_say_is_told_in_bytes_and_about_how_much_that_is(size: int, words: str) -> None:
    assert size_to_read(size) == words
