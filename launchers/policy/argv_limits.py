"""What Linux can hand to a process: words without NUL, of less than 128 KiB each, and not too many. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from flcore.config.strict_json import check_text

MAX_WORD = (128 << 10) - 1
"""Bytes of one argument, or of one variable with its name (Linux: MAX_ARG_STRLEN, with the NUL behind it)."""
MAX_WORDS = 1 << 20
"""Bytes of all arguments, or all variables: half of what Linux takes of both with the usual limit of the stack."""
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
"""What a shell can name, too, and of a length that somebody means."""


def split(text: str) -> list[str]:
    """Split a text as a shell would. Raises ValueError, and that before the work for a text that is too long."""
    if len(text) > MAX_WORDS:
        raise ValueError(f"must be at most {MAX_WORDS} bytes long in all")
    return shlex.split(text)


def check_words(words: Iterable[str]) -> None:
    """Raise ValueError for words that no process can be given: a container with them would be created, and fail."""
    total = 0
    for word in words:
        check_text(word)
        size = len(word.encode())
        if size > MAX_WORD:
            raise ValueError(f"must be at most {MAX_WORD} bytes long")
        total += size + 1
    if total > MAX_WORDS:
        raise ValueError(f"must be at most {MAX_WORDS} bytes long in all")
