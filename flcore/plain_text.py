"""The one door by which text that is not ours gets to a terminal, a log or a page: it does nothing there. Pure.

Not ours is what a job, an image, a label or an engine says. What is not printable is a control character (C0, DEL, C1),
what turns the direction of writing or has no width, a line's or paragraph's end, half a character, or no character yet.
"""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""What ECMA-48 makes a terminal do things by: gone as a whole, so that no ``[31m`` is left of it."""
_NARROW_TABS = 4


def harmless(text: str) -> str:
    """Return a text to be read as one line: what a terminal would have obeyed is gone, other such characters blank."""
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPE.sub("", text.expandtabs(_NARROW_TABS))
    return "".join(c if c.isprintable() else " " for c in text)


def visible(text: str) -> str:
    """Return a text to be looked into as one line: what would do something stands there as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
