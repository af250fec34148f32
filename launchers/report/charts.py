"""Curves, by the places of their points on a line of time, which all that is shown of a job shares. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .words import duration, number

WIDTH, HEIGHT = 1000, 100
"""Of a drawing's own coordinates: it is stretched to the room that there is."""
MOST_POINTS = 240
"""Points of a line; of more, every so many are drawn."""
MOST_DOTS = 15
"""Points of a line that has a dot at each."""
MOST_VALUES = 25
"""Of the table beside a chart."""
COLORS = 8
"""Lines that the style sheet can tell apart."""
_HUGE, _TINY = 1e100, 1e-100
"""Numbers beyond these are not drawn."""
_TIMES = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
"""Round lengths of time, in seconds."""


class Line(NamedTuple):
    """A curve: ``(x, y)`` in order of x."""

    name: str
    points: Sequence[tuple[float, float]]
    times: Sequence[float] = ()
    """When each was, in seconds from the job's beginning; empty where that is x."""


class Level(NamedTuple):
    """A value that does not change: what a curve is to stay below."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, and how its values are said."""

    title: str
    x_title: str
    lines: Sequence[Line]
    say_x: Callable[[float], str] = number
    say_y: Callable[[float], str] = number
    is_of_bytes: bool = False
    from_zero: bool = False
    levels: Sequence[Level] = ()
    note: str = ""

    @property
    def summary(self) -> str:
        """What who does not see the chart should know of it."""
        parts = (f"{line.name} from {self._said(line, 0)} to {self._said(line, -1)}" for line in self.lines)
        levels = (f"; {level.name} {self.say_y(level.value)}" for level in self.levels)
        return f"{self.title} over {self.x_title}: {'; '.join(parts)}{''.join(levels)}"

    def _said(self, line: Line, index: int) -> str:
        return self.say_y(line.points[index][1])


class Place(NamedTuple):
    """A place in a drawing, in percent from its left and its top."""

    x: float
    y: float


class Mark(NamedTuple):
    """A value beside a drawing, at its height in percent from the top."""

    y: float
    text: str


class Drawn(NamedTuple):
    """A line: the ``d`` of its path in a drawing of ``WIDTH`` by ``HEIGHT``, and its dots."""

    name: str
    path: str
    dots: Sequence[Place]


class Drawing(NamedTuple):
    """A chart, and where all of it is."""

    chart: Chart
    lines: Sequence[Drawn]
    levels: Sequence[Mark]
    marks: Sequence[Mark]


def draw(chart: Chart, length: float) -> Drawing:
    """Return where a chart's lines are, on a line of time of so many seconds."""
    marks = _y_ticks(chart)
    low, high = marks[0], marks[-1]

    def height(value: float) -> float:
        return 100 * (high - value) / (high - low)

    return Drawing(
        chart,
        [_drawn(line, length, height) for line in chart.lines],
        [Mark(height(level.value), level.name) for level in chart.levels if low <= level.value <= high],
        [Mark(height(value), chart.say_y(value)) for value in (low, high)],
    )


def _drawn(line: Line, length: float, height: Callable[[float], float]) -> Drawn:
    times = line.times or [x for x, _ in line.points]
    points = thinned([(time, y) for time, (_, y) in zip(times, line.points, strict=True)], MOST_POINTS)
    places = [Place(min(100.0, max(0.0, 100 * time / length)), height(y)) for time, y in points]
    path = "L".join(f"{place.x * WIDTH / 100:.1f} {place.y * HEIGHT / 100:.1f}" for place in places)
    return Drawn(line.name, f"M{path}", places if len(places) <= MOST_DOTS else ())


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
    told = [y for line in chart.lines for _, y in line.points]
    low, high = _extent([*told, *_levels_near(chart, max(told))])
    low = min(low, 0.0) if chart.from_zero else low
    if not is_drawable((low, high)):
        low, high = low - 1, high + 1
    unit = 1024.0 ** int(math.log(max(1.0, high), 1024)) if chart.is_of_bytes else 1.0
    return ticks(low, high, unit=unit)


def _levels_near(chart: Chart, highest: float) -> list[float]:
    """Return the levels that can be shown without making the curves flat."""
    return [level.value for level in chart.levels if level.value <= 4 * highest]


def _around(step: float, low: float, high: float) -> tuple[float, float]:
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _multiples(step: float, low: float, high: float) -> list[float]:
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [index * step for index in range(first, last + 1)]


def _extent(values: Iterable[float]) -> tuple[float, float]:
    known = list(values)
    return min(known), max(known)
