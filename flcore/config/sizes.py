"""Sizes, as a config or a job's metadata writes them."""

from __future__ import annotations

import re
from typing import Any

from .rules import Schema, whole

UNITS = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "Ti": 1 << 40}
_SIZE = re.compile(r"([1-9][0-9]{0,14})(Ki|Mi|Gi|Ti)?", re.ASCII)
_TOO_LARGE = 1 << 63
_SHORT = len("1024Gi")


def parse_size(value: Any, least: int = 1) -> int:
    """Return bytes from a number of bytes, or a text such as ``512Mi``. Raises ValueError."""
    if type(value) is int:
        size = value
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = int(match[1]) * UNITS[match[2]]
    else:
        raise ValueError("must be a number of bytes, or a text such as '512Mi' or '16Gi'")
    if not least <= size < _TOO_LARGE:
        raise ValueError(f"must be at least {size_in_words(least)} and less than 8 EiB")
    return size


def size_schema(least: int = 1) -> Schema:
    """Return what :func:`parse_size` takes as a JSON Schema, which cannot tell how much a text means."""
    number = {"type": "integer", "minimum": least, "maximum": _TOO_LARGE - 1}
    return {"anyOf": [number, {"type": "string", "pattern": whole(_SIZE)}]}


def size_in_words(size: int) -> str:
    """Return a size as a config would say it, exactly: ``512Mi``, or in bytes."""
    units = [unit for unit, factor in UNITS.items() if unit and size and size % factor == 0]
    return f"{size // UNITS[units[-1]]}{units[-1]}" if units else f"{size} bytes"


def size_to_read(size: int) -> str:
    """Return a size as a config would say it; one that it would hardly say so in bytes, and about how much that is."""
    words = size_in_words(size)
    if size < 10_000 or len(words) <= _SHORT:
        return words
    unit, factor = next((unit, factor) for unit, factor in reversed(UNITS.items()) if size >= factor)
    return f"{size} bytes ({size / factor:.1f}{unit})"
