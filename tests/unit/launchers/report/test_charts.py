"""Curves, by the places of their points."""

from __future__ import annotations

import pytest

from launchers.report.charts import MOST_DOTS, Chart, Level, Line, draw, time_ticks, value_rows

LINE = Line("site-1", [(1.0, 0.5), (2.0, 0.8)], times=[10.0, 20.0])
CHART = Chart("accuracy", "round", [LINE])


def test_a_point_is_where_its_time_is_not_where_its_step_is() -> None:
    [line] = draw(CHART, length=40.0).lines
    assert [(dot.x, round(dot.y, 6)) for dot in line.dots] == [(25.0, 100.0), (50.0, 0.0)]
    assert line.path == "M250.0 100.0L500.0 0.0"


def test_a_time_outside_of_the_job_is_at_its_edge() -> None:
    [line] = draw(Chart("x", "time", [Line("site-1", [(-5.0, 1.0), (90.0, 2.0)])]), length=40.0).lines
    assert [dot.x for dot in line.dots] == [0.0, 100.0]


def test_the_values_at_both_ends_of_the_scale_are_round_and_said() -> None:
    drawing = draw(Chart("x", "round", [Line("site-1", [(1.0, 0.13), (2.0, 0.87)])], from_zero=True), length=3.0)
    assert [(mark.y, mark.text) for mark in drawing.marks] == [(100.0, "0"), (0.0, "1")]


def test_a_line_of_many_points_has_no_dots() -> None:
    points = [(float(x), float(x % 7)) for x in range(MOST_DOTS + 1)]
    [line] = draw(Chart("x", "time", [Line("site-1", points)]), length=30.0).lines
    assert (line.dots, line.path.count("L")) == ((), MOST_DOTS)


@pytest.mark.parametrize(("limit", "is_shown"), [(2.0, True), (400.0, False)])
def test_a_limit_is_drawn_unless_it_would_make_the_curve_flat(limit: float, is_shown: bool) -> None:
    chart = Chart("x", "time", [Line("site-1", [(0.0, 1.0), (9.0, 1.5)])], levels=[Level("limit", limit)])
    assert bool(draw(chart, length=9.0).levels) is is_shown
    assert f"limit {limit:g}" in chart.summary


def test_a_curve_that_does_not_change_is_in_the_middle() -> None:
    [line] = draw(Chart("x", "time", [Line("site-1", [(0.0, 5.0), (9.0, 5.0)])]), length=9.0).lines
    assert [dot.y for dot in line.dots] == [50.0, 50.0]


def test_values_are_told_by_their_steps() -> None:
    assert value_rows(CHART) == [["1", "0.5"], ["2", "0.8"]]


def test_times_are_round_whatever_the_length() -> None:
    assert time_ticks(0.0, 100.0) == [0.0, 30.0, 60.0, 90.0]
    assert time_ticks(0.0, 0.3) == pytest.approx([0.0, 0.1, 0.2, 0.3])
