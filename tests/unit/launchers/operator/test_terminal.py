"""Texts that are shown on a terminal do nothing to it."""

from __future__ import annotations

import pytest

from flcore.plain_text import harmless
from launchers.operator.terminal import cut, width_of
from tests.operator_lab import HOSTILE


@pytest.mark.parametrize("text", HOSTILE)
def test_a_harmless_text_is_printable_and_cut_to_any_width(text: str) -> None:
    assert harmless(text).isprintable()
    assert "[31m" not in harmless(text)
    for width in range(12):
        assert width_of(cut(harmless(text), width)) <= width
