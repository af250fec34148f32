"""Metadata made up by hypothesis: any at all, and good ones with something changed, which get much further."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import strategies as st

from .good import GOOD
from .rows import Row
from .table import DOCKER_OPTIONS, TABLE

Change = Callable[[Any, Any, Any, str], None]

METAS: list[dict[str, Any]] = [{"job_id": "job-1", "min_clients": 1, **good.meta} for good in GOOD]


def places_in(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every object or list in a value with each of its keys or indexes, outer ones first."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places_in(value[key])


def is_short(value: Any) -> bool:
    """Whether a value can be changed further: it has not very many digits or levels, and an end."""
    try:
        return len(repr(value)) < 2000 and "[...]" not in repr(value)
    except (ValueError, RecursionError):
        return False


KEYS = sorted({key for meta in METAS for _, key in places_in(meta) if isinstance(key, str)} | set(DOCKER_OPTIONS))
HOSTILE = [row.value for row in TABLE if isinstance(row, Row) and is_short(row.value)]
HOSTILE += ["/opt/python", "/entry.sh a", ["/entry.sh", "a"]]

texts = st.text(st.characters(exclude_categories=()), max_size=20)
keys = st.sampled_from(KEYS) | texts
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from([1 << 400, 1 << 10_000, 0, -1])
)
values = st.recursive(
    scalars | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def replace(container: Any, key: Any, value: Any, _: str) -> None:
    container[key] = value


def remove(container: Any, key: Any, _: Any, __: str) -> None:
    del container[key]


def wrap(container: Any, key: Any, _: Any, name: str) -> None:
    container[key] = {name: container[key]} if len(name) % 2 else [container[key]]


def add(container: Any, key: Any, value: Any, name: str) -> None:
    """Put something inside what is there, or beside it."""
    inside = container[key] if isinstance(container[key], dict | list) else container
    if isinstance(inside, dict):
        inside[name] = value
    else:
        inside.append(value)


def rename(container: Any, key: Any, _: Any, name: str) -> None:
    if isinstance(container, dict):
        container[name] = container.pop(key)


CHANGES: list[Change] = [replace, replace, add, add, remove, wrap, rename]


@st.composite
def changed_metadata(draw: st.DrawFn) -> dict[str, Any]:
    """Return good metadata, changed in up to four places."""
    meta: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(METAS)))
    for _ in range(draw(st.integers(0, 4))):
        if places := list(places_in(meta)):
            container, key = draw(st.sampled_from(places))
            draw(st.sampled_from(CHANGES))(container, key, copy.deepcopy(draw(values)), draw(keys))
    return meta


metadata = st.one_of(changed_metadata(), changed_metadata(), changed_metadata(), values)


@st.composite
def changed_json(draw: st.DrawFn) -> str:
    """Return JSON, with a piece of it removed, repeated, or replaced."""
    text = json.dumps(draw(st.sampled_from(METAS)), ensure_ascii=draw(st.booleans()))
    start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 20))
    piece = text[start : start + length]
    snippet = st.sampled_from(["NaN", "1e999", "\\u0000", "\\ud800", '"', "{", "[" * 40, "9" * 5000, "//", "\ufeff"])
    middle = draw(st.sampled_from(["", piece * 2]) | snippet | texts)
    return text[:start] + middle + text[start + length :]


json_texts = st.one_of(changed_json(), changed_json(), texts, values.map(lambda value: _dump(value)))


def _dump(value: Any) -> str:
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):  # more digits than Python writes, or a cycle
        return "[" * 100_000
