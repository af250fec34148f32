"""Text that is not ours does nothing, be it to be read or to be looked into."""

from __future__ import annotations

import sys

import pytest

from flcore.plain_text import harmless, visible
from tests.operator_lab import HOSTILE
from tests.thoroughness import LITTLE

C1 = "\x9b2J\x9d0;owned\x9c"
UNSEEN = "\x7f\u202egnp.exe\u2066\u200b\u200d\ufeff\u2028\ud800\U000e0041"


@pytest.mark.parametrize("text", [*HOSTILE, C1, UNSEEN, "\x1b" * 9, "\x1b]0;" + "x" * 100_000, "\x1b[" + "0" * 100_000])
def test_nothing_that_is_not_printable_passes(text: str) -> None:
    assert harmless(text).isprintable()
    assert visible(text).isprintable()


def test_of_all_characters_that_there_are_those_that_are_printable_pass_as_they_are() -> None:
    codes = [*range(256), *range(256, sys.maxunicode + 1, 17)] if LITTLE else range(sys.maxunicode + 1)
    everything = "".join(map(chr, codes))
    printable = "".join(filter(str.isprintable, everything))
    assert (visible(printable), harmless(printable)) == (printable, printable)
    for shown in (visible(everything), harmless(everything)):
        assert set(shown) == set(printable)


@pytest.mark.parametrize(
    ("text", "read", "looked_into"),
    [
        ("loss 0.5 %, é, 漢字", "loss 0.5 %, é, 漢字", "loss 0.5 %, é, 漢字"),
        ("\x1b[2J\x1b]0;owned\x07", "", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rb\nc\td\0e", "a b c   d e", r"a\rb\nc\td\x00e"),
        ("\x9b31m\x7f", " 31m ", r"\x9b31m\x7f"),
        ("\u202egpj.exe\u2066", " gpj.exe ", r"\u202egpj.exe\u2066"),
        ("\ud800", " ", r"\ud800"),
    ],
)
def test_what_is_read_has_gaps_and_what_is_looked_into_has_escapes(text: str, read: str, looked_into: str) -> None:
    assert harmless(text) == read
    assert visible(text) == looked_into
