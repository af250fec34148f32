"""The lines of a record: one JSON object each, of which a crash may have left a part. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

_BEGINNING = b'{"job_id"'


def fields_in(content: bytes, on_error: Callable[[Exception], object]) -> dict[str, Any]:
    """Return the fields of a record's lines, later ones in place of earlier ones; of no line that is no object."""
    fields: dict[str, Any] = {}
    for line in content.splitlines():
        try:
            fields |= json.loads(line or "{}")
        except (ValueError, TypeError, RecursionError) as error:
            on_error(error)
    return fields


def is_cut_off(content: bytes) -> bool:
    """Whether it is what a crash has left of the first line: a beginning of it, or zeros where it should be."""
    line = content.removeprefix(b"\n").rstrip(b"\0")
    begins_well = line[: len(_BEGINNING)] == _BEGINNING[: len(line)]
    return begins_well and b"\n" not in line and not line.endswith(b"}")


def is_number(value: Any) -> bool:
    """Whether a value of a record is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
