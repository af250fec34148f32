"""What queries in PromQL name, as much of the language as our alerts and our dashboard speak."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

_SELECTOR = re.compile(r"\b(up|flcore_\w+)\b(?:\{([^}]*)\})?")
_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_TEMPLATE = re.compile(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}")
_OF_EVERY_TARGET = frozenset({"job", "instance"})
"""What Prometheus itself adds to each series that it reads."""

Series = Mapping[str, frozenset[str]]
"""Labels by the name of the metric."""


def problems(query: str, exported: Series, templates: Iterable[str] = ()) -> Iterator[str]:
    """Yield what a query, or a text that is made for its results, names that there is not."""
    known = {**exported, "up": frozenset[str]()}
    labels: set[str] = set()
    for name, matchers in _SELECTOR.findall(query):
        if name not in known:
            yield f"{name}: no such metric: {query}"
            continue
        of_metric = known[name] | _OF_EVERY_TARGET
        labels |= of_metric
        yield from (f"{name}: no such label: {one}" for one in _MATCHER.findall(matchers) if one not in of_metric)
    groupings = [set(re.findall(r"\w+", listed)) for listed in _GROUPING.findall(query)]
    yield from (f"no such label: {one}: {query}" for one in set().union(*groupings) - labels)
    left = set().union(*groupings) if re.search(r"\bby\b", query) else labels
    shown = {one for text in templates for one in _TEMPLATE.findall(text)}
    yield from (f"a text shows {one}, which is not left: {query}" for one in shown - left)


def names(query: str) -> set[str]:
    """Return the metrics that a query names."""
    return {name for name, _ in _SELECTOR.findall(query)}
