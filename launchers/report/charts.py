"""Curves as SVG, drawn by pygal, without a script, a style or an address in them: the page's own style sheet has the
colours, so that they follow the reader's light or dark. Nothing else here imports pygal.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from markupsafe import Markup

from .words import duration, number

WIDTH, HEIGHT = 420, 200
"""Of the drawing's own coordinates: it is shown as large as there is room."""
MOST_POINTS = 120
"""Points of a line; of more, every so many are drawn."""
MOST_VALUES = 25
"""Of the table beside a chart."""
COLORS = 8
"""Lines that the style sheet can tell apart."""
_UNWANTED = frozenset({"defs", "script", "style", "desc", "title"})
_TOOLTIPS = frozenset({"tooltip", "tooltip-overlay"})
_PLACES = frozenset({"d", "x", "y", "cx", "cy", "width", "height"})
_HUGE, _TINY = 1e100, 1e-100
"""Numbers beyond these are not drawn."""
_DECIMALS = re.compile(r"(\.\d)\d+")
_TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Round lengths of time, in seconds."""


class Line(NamedTuple):
    """A curve: ``(x, y)`` in order of x."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, and how its values are said."""

    title: str
    x_title: str
    lines: Sequence[Line]
    say_x: Callable[[float], str] = number
    say_y: Callable[[float], str] = number
    is_over_time: bool = False
    """What x is: seconds, else just a number."""
    is_of_bytes: bool = False
    """What y is, likewise."""
    from_zero: bool = False

    @property
    def summary(self) -> str:
        """What who does not see the chart should know of it."""
        parts = (f"{line.name} from {self._said(line, 0)} to {self._said(line, -1)}" for line in self.lines)
        return f"{self.title} over {self.x_title}: {'; '.join(parts)}"

    def _said(self, line: Line, index: int) -> str:
        return self.say_y(line.points[index][1])


def draw(chart: Chart) -> Markup:
    """Return a chart as an ``<svg>`` element, in which all texts are escaped."""
    pygal = _pygal()
    config: dict[str, Any] = {"js": [], "css": [], "disable_xml_declaration": True, "show_legend": False}
    start, end = _extent(x for line in chart.lines for x, _ in line.points)
    drawing = pygal.XY(
        **config,
        width=WIDTH,
        height=HEIGHT,
        margin=6,
        style=pygal.style.Style(label_font_size=13, major_label_font_size=13),
        x_labels=time_ticks(start, end) if chart.is_over_time else ticks(start, end, inside=True),
        y_labels=_y_ticks(chart),
        x_value_formatter=chart.say_x,
        value_formatter=chart.say_y,
        include_x_axis=chart.from_zero,
        truncate_label=-1,
        show_x_guides=False,
        dots_size=2,
    )
    for line in chart.lines:
        points = thinned(line.points, MOST_POINTS)
        drawing.add("", points, show_dots=len(points) <= 20)
    drawing.add_xml_filter(_plain)
    return Markup(drawing.render(is_unicode=True))  # noqa: S704 - what it was given went through an XML writer


def _pygal() -> Any:
    """Import pygal, without the hook that it puts into the whole process's imports, for plug-ins that nobody uses here.

    With it, a later import of what is not there warns of a hook of the old kind, or fails where warnings are errors.
    """
    before = list(sys.meta_path)
    import pygal.style

    sys.meta_path[:] = [finder for finder in sys.meta_path if finder in before or type(finder).__module__ != "pygal"]
    return pygal


def value_rows(chart: Chart) -> list[list[str]]:
    """Return the rows of a table of a chart's values: x, and each line's value there."""
    values = [dict(thinned(line.points, MOST_VALUES)) for line in chart.lines]
    steps = sorted({x for line in values for x in line})[: 2 * MOST_VALUES]
    return [[chart.say_x(x), *(chart.say_y(line[x]) if x in line else "" for line in values)] for x in steps]


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return a part of the points that has the last one, evenly spread."""
    step = -(-len(points) // most) if points else 1
    return list(points[::-1][::step])[::-1]


def time_ticks(start: float, end: float, most: int = 5) -> list[float]:
    """Return round times between two, a few."""
    step = next((step for step in _TIMES if (end - start) / step <= most), 0.0)
    return _multiples(step, start, end) if step else ticks(start, end, most, inside=True)


def ticks(low: float, high: float, most: int = 4, unit: float = 1.0, *, inside: bool = False) -> list[float]:
    """Return round numbers, a few, that two lie between, or that lie between the two; round in units of ``unit``."""
    raw = (high - low) / unit / most
    magnitude = 10.0 ** math.floor(math.log10(raw))
    # What is more than a round step by a rounding error only is that step, not the next one.
    step = unit * magnitude * next(nice for nice in (1, 2, 5, 10) if nice * magnitude >= raw * 0.999)
    return _multiples(step, low, high) if inside else _multiples(step, *_around(step, low, high))


def is_drawable(values: Iterable[float]) -> bool:
    """Whether numbers differ by as much as can be drawn, and by no more."""
    low, high = _extent(values)
    return max(abs(low), abs(high)) < _HUGE and high - low > max(_TINY, 1e-9 * max(abs(low), abs(high)))


def short_time(value: float) -> str:
    """Return a time on an axis: short."""
    return f"{value:g} s" if value < 60 else duration(value)


def _y_ticks(chart: Chart) -> list[float]:
    low, high = _extent(y for line in chart.lines for _, y in line.points)
    low = min(low, 0.0) if chart.from_zero else low
    if not is_drawable((low, high)):
        low, high = low - 1, high + 1
    unit = 1024.0 ** int(math.log(max(1.0, high), 1024)) if chart.is_of_bytes else 1.0
    return ticks(low, high, unit=unit)


def _around(step: float, low: float, high: float) -> tuple[float, float]:
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [index * step for index in range(first, last + 1)]


def _extent(values: Iterable[float]) -> tuple[float, float]:
    known = list(values)
    return min(known), max(known)


def _plain(root: Element) -> Element:
    """Take out what a page does not need, or would refuse: styles, scripts, tooltips, comments, decimals."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_unwanted(child):
                parent.remove(child)
        for name, value in list(parent.attrib.items()):
            if name in ("style", "id") or not value:
                del parent.attrib[name]
            elif name in _PLACES:
                parent.set(name, _DECIMALS.sub(r"\1", value))
    root.set("aria-hidden", "true")
    return root


def _is_unwanted(element: Element) -> bool:
    name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "desc"  # a comment's is a function
    return name in _UNWANTED or not _TOOLTIPS.isdisjoint(element.get("class", "").split())
