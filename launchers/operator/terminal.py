"""Text for a terminal: nothing of a job does anything to it, colours only where they are wanted, lines that fit."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from typing import TextIO

from flcore.cli.streams import tell
from flcore.plain_text import harmless

_STYLES = {"": "", "good": "32", "bad": "31", "going": "36", "odd": "33", "dim": "2", "strong": "1"}


def width_of(text: str) -> int:
    """Return how many cells of a terminal a harmless text takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def cut(text: str, width: int) -> str:
    """Return a harmless text that takes so many cells at most."""
    if width_of(text) <= width:
        return text
    kept = ""
    for c in text:
        if width_of(kept + c) > width - 1:
            break
        kept += c
    return f"{kept}…" if width > 0 else ""


def wrapped(text: str, width: int) -> Iterator[str]:
    """Yield the lines of a text that is too long for one."""
    import textwrap

    yield from textwrap.wrap(text, max(width, 20), break_on_hyphens=False) or [""]


class Terminal:
    """Where a command writes to, and what it may do there.

    Colours are for terminals, unless the environment says ``NO_COLOR``. What is no terminal gets whole lines.
    """

    def __init__(self, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.is_terminal = self.out.isatty()
        self.has_colours = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int | None:
        """How long a line may be; None for any."""
        return shutil.get_terminal_size().columns if self.is_terminal else None

    @property
    def height(self) -> int:
        return shutil.get_terminal_size().lines

    def styled(self, text: str, style: str) -> str:
        """Return a text with colours, if they are wanted."""
        code = _STYLES[style]
        return f"\x1b[{code}m{text}\x1b[0m" if code and self.has_colours else text

    def print(self, *lines: str) -> None:
        """Print lines, and have them seen."""
        print(*lines, sep="\n", file=self.out, flush=True)


def warn(problem: str) -> None:
    """Say on standard error, in one line, what a command goes on without."""
    tell(f"flcore: warning: {harmless(problem)}")


def _cells_of(c: str) -> int:
    if unicodedata.combining(c):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1
