"""Curves as SVG, drawn by pygal, without a script, a style or an address in them: the page's own style sheet has the
colours, so that they follow the reader's light or dark. Nothing else here imports pygal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from markupsafe import Markup

from .words import duration, number

WIDTH, HEIGHT = 420, 200
"""Of the drawing's own coordinates: it is shown as large as there is room."""
MOST_POINTS = 120
"""Points of a line; of more, every so many are drawn."""
MOST_ROWS = 40
"""Of the table beside a chart."""
COLORS = 8
"""Lines that the style sheet can tell apart."""
_UNWANTED = frozenset({"defs", "script", "style", "desc", "title"})
_TOOLTIPS = frozenset({"tooltip", "tooltip-overlay"})
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


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
    from_zero: bool = True

    @property
    def summary(self) -> str:
        """What who does not see the chart should know of it."""
        parts = (f"{line.name} from {self._said(line, 0)} to {self._said(line, -1)}" for line in self.lines)
        return f"{self.title} over {self.x_title}: {'; '.join(parts)}"

    def _said(self, line: Line, index: int) -> str:
        return self.say_y(line.points[index][1])


def draw(chart: Chart) -> Markup:
    """Return a chart as an ``<svg>`` element, in which all texts are escaped."""
    import pygal
    from pygal.style import Style

    config: dict[str, Any] = {"js": [], "css": [], "disable_xml_declaration": True, "show_legend": False}
    size = {"width": WIDTH, "height": HEIGHT, "margin": 6, "max_scale": 5, "min_scale": 3}
    drawing = pygal.XY(
        **config,
        **size,
        style=Style(label_font_size=13, major_label_font_size=13),
        x_labels=ticks(*_extent(line.points for line in chart.lines)),
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


def table(chart: Chart) -> list[list[str]]:
    """Return the rows of a table of a chart's values: x, and each line's value there."""
    values = [dict(thinned(line.points, MOST_ROWS)) for line in chart.lines]
    steps = sorted({x for line in values for x in line})[: 2 * MOST_ROWS]
    return [[chart.say_x(x), *(chart.say_y(line[x]) if x in line else "" for line in values)] for x in steps]


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """Return a part of the points that has the last one, evenly spread."""
    step = -(-len(points) // most) if points else 1
    return list(points[::-1][::step])[::-1]


def ticks(start: float, end: float, most: int = 5) -> list[float]:
    """Return round numbers between two, a few."""
    spans = (step for step in _TICKS if (end - start) / step <= most)
    step = next(spans, 0.0) or _decimal_step(end - start, most)
    first = -(-start // step)
    return [round((first + index) * step, 6) for index in range(most + 2) if (first + index) * step <= end]


def seconds(value: float) -> str:
    """Return a time on an axis: short."""
    return f"{value:g} s" if value < 60 else duration(value)


def _decimal_step(extent: float, most: int) -> float:
    step = 86_400.0
    while extent / step > most:
        step *= 10
    return step


def _extent(lines: Any) -> tuple[float, float]:
    steps = [x for points in lines for x, _ in points]
    return min(steps), max(steps)


def _plain(root: Element) -> Element:
    """Take out what a page does not need, or would refuse: styles, scripts, tooltips, comments."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _is_unwanted(child):
                parent.remove(child)
        for attribute in ("style", "id"):
            parent.attrib.pop(attribute, None)
    root.set("aria-hidden", "true")
    return root


def _is_unwanted(element: Element) -> bool:
    name = element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "desc"  # a comment's is a function
    return name in _UNWANTED or not _TOOLTIPS.isdisjoint(element.get("class", "").split())
