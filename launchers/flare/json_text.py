"""Changes of a JSON text that leave all else in it as it was written. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_INDENT = re.compile(r"\{\r?\n([ \t]+)\"")


def without_items(text: str, key: str, is_unwanted: Callable[[Any], bool]) -> str:
    """Return an object's text without those items of one of its lists; ``text`` must be the JSON of an object."""
    spans = _spans(text, key)
    unwanted = (number for number, (begin, end) in enumerate(spans) if is_unwanted(json.loads(text[begin:end])))
    number = next(unwanted, None)
    return text if number is None else without_items(_without(text, spans, number), key, is_unwanted)


def with_values(text: str, values: Mapping[str, Any]) -> str:
    """Return an object's text with values at some of its keys; the text as it is if it has them already."""
    config = json.loads(text)
    changed = {**config, **values}
    if changed == config:
        return text
    indent = _INDENT.search(text)
    return json.dumps(changed, indent=indent[1] if indent else 2) + "\n"


def _without(text: str, spans: list[tuple[int, int]], number: int) -> str:
    """Cut an item, and a comma: the one before it, or behind the first."""
    begin, end = spans[number]
    if number:
        begin = spans[number - 1][1]
    elif len(spans) > 1:
        end = spans[1][0]
    return text[:begin] + text[end:]


def _spans(text: str, key: str) -> list[tuple[int, int]]:
    """Return where the items of an object's list begin and end; none if it has no such list."""
    at = _skip(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        if name == key and text[at] == "[":
            return _items(text, at)
        at = _next(text, _DECODER.raw_decode(text, at)[1])
    return []


def _items(text: str, at: int) -> list[tuple[int, int]]:
    spans = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        end = _DECODER.raw_decode(text, at)[1]
        spans.append((at, end))
        at = _next(text, end)
    return spans


def _next(text: str, at: int) -> int:
    """Return where the next item or key begins, or the list or object ends."""
    at = _skip(text, at)
    return _skip(text, at + 1) if text[at] == "," else at


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
