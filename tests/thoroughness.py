"""How much runs try of what takes long or has no end: ``make unit`` little, ``make test`` more, ``make sweep`` all."""

from __future__ import annotations

import os

THOROUGHNESS = os.environ.get("FLCORE_TRY", "little")
LEVELS = ("little", "more", "all")
if THOROUGHNESS not in LEVELS:
    raise ValueError(f"FLCORE_TRY must be one of {', '.join(LEVELS)}, got {THOROUGHNESS!r}")
LITTLE, ALL = THOROUGHNESS == "little", THOROUGHNESS == "all"


def tries(more: int) -> int:
    """Return how many this run tries of what ``make test`` tries so many of: that, or a tenth, but five at least."""
    return max(more // 10, min(more, 5)) if LITTLE else more
