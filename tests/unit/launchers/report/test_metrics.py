"""What is read of the metrics.json that a job has left, whatever it has left."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from launchers.report.metrics import MAX_CURVES, Metrics, parse_metrics, read_metrics


def parsed(value: Any) -> Metrics:
    return parse_metrics(json.dumps(value).encode())


def curves(metrics: Metrics) -> dict[str, list[tuple[float, float]]]:
    return {curve.name: list(curve.points) for curve in metrics.curves}


def test_the_demo_job_has_curves_by_round_and_a_number() -> None:
    rounds = [
        {"round": 1, "accuracy": 0.8, "clients": ["site-1"], "samples": 700, "seconds": 0.3},
        {"round": 2, "accuracy": 0.9, "clients": ["site-1"], "samples": 700, "seconds": 0.2},
    ]

    metrics = parsed({"rounds": rounds, "final_accuracy": 0.9})

    assert curves(metrics)["accuracy"] == [(1, 0.8), (2, 0.9)]
    assert {curve.step for curve in metrics.curves} == {"round"}
    assert metrics.numbers == [("samples", 700), ("final_accuracy", 0.9)]
    assert metrics.skipped == ["clients"]


def test_a_list_of_objects_has_a_curve_per_key_over_its_step() -> None:
    metrics = parsed([{"epoch": 0, "loss": 2.5}, {"epoch": 5, "loss": 1.25}])

    assert curves(metrics) == {"loss": [(0, 2.5), (5, 1.25)]}


def test_an_object_of_lists_has_a_curve_per_list() -> None:
    metrics = parsed({"step": [10, 20], "loss": [2, 1], "names": ["a", "b"]})

    assert curves(metrics) == {"loss": [(10, 2), (20, 1)]}
    assert metrics.skipped == ["names"]


def test_without_a_step_it_counts_from_one() -> None:
    assert curves(parsed({"loss": [3, 2]})) == {"loss": [(1, 3), (2, 2)]}


def test_rows_that_say_when_they_were_give_their_curves_times_in_order_of_the_steps() -> None:
    rows = [{"round": n, "time": 1.7e9 + n, **({"loss": 4 - n} if n != 2 else {})} for n in (1, 2, 3)]

    [curve] = parsed(rows).curves

    assert (curve.name, list(curve.points), list(curve.times)) == ("loss", [(1, 3), (3, 1)], [1.7e9 + 1, 1.7e9 + 3])


@pytest.mark.parametrize("times", [[0.5, 0.4], [1.7e9 + 1, 1.7e9], [1.7e9, "x"]])
def test_what_is_called_time_and_is_none_is_as_any_other_column(times: list[Any]) -> None:
    metrics = parsed([{"round": 1, "loss": 3, "time": times[0]}, {"round": 2, "loss": 1, "time": times[1]}])

    assert [curve.times for curve in metrics.curves if curve.name == "loss"] == [()]
    assert "time" in {*curves(metrics), *dict(metrics.numbers)}


def test_what_is_missing_in_between_is_left_out() -> None:
    rows = [{"round": 1, "loss": 3}, {"round": 2}, {"round": 3, "loss": None}, {"round": 4, "loss": 1}]

    assert curves(parsed(rows)) == {"loss": [(1, 3), (4, 1)]}


@pytest.mark.parametrize(
    "data",
    [
        b'{"loss": [NaN]}',
        b'{"loss": [1e999]}',
        b'{"loss": [1',
        b"\xff\xfe",
        b"[" * 100_000,
        b"x" * (2 << 20),
        b"",
    ],
)
def test_what_is_no_good_json_is_said_and_not_shown(data: bytes) -> None:
    metrics = parse_metrics(data)

    assert not metrics.curves
    assert not metrics.numbers
    assert len(metrics.notes) == 1


@pytest.mark.parametrize("value", [3, "text", None, [], {}, [1, 2], [[1]], {"a": {"b": 1}}, [{}], True])
def test_any_other_form_is_said_and_not_shown(value: object) -> None:
    metrics = parsed(value)

    assert not metrics.curves
    assert metrics.notes


def test_a_truth_value_and_a_number_beyond_all_floats_are_no_numbers() -> None:
    metrics = parsed({"ok": True, "huge": 10**400, "one": 1})

    assert metrics.numbers == [("one", 1)]
    assert metrics.skipped == ["ok", "huge"]


def test_of_many_curves_the_first_are_shown() -> None:
    metrics = parsed({f"m{index}": [1, 2] for index in range(50)})

    assert len(metrics.curves) == MAX_CURVES
    assert any("50" in note for note in metrics.notes)


def test_a_name_is_one_short_line() -> None:
    (curve,) = parsed({"\x1b[31mred\n" + "x" * 500: [1, 2]}).curves

    assert curve.name.startswith("red ")
    assert len(curve.name) == 60


def test_a_job_that_left_nothing_has_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) is None
    assert read_metrics(tmp_path / "missing") is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text('{"loss": [1, 2]}')
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "metrics.json").symlink_to(tmp_path / "secret.json")

    metrics = read_metrics(tmp_path / "job")

    assert metrics
    assert not metrics.curves
    assert "cannot be read" in metrics.notes[0]


def test_a_pipe_does_not_hold_up_who_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "metrics.json")

    metrics = read_metrics(tmp_path)

    assert metrics
    assert "cannot be read" in metrics.notes[0]
