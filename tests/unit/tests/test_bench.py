"""The benches' framework: turns, ratios, targets, the table and the JSON. What it measures is not tested here."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import framework, peers
from tests.bench.__main__ import main
from tests.bench.framework import Bench, Contest, Result, Target, at_least, at_most, discover, over_floor, times_floor
from tests.bench.report import as_json, as_table
from tests.bench.timing import Measure, per_call


def reading(*values: float, unit: str = "ms") -> Measure:
    """Return a measure that finds these values, one after another."""
    left = list(values)
    return lambda: {unit: left.pop(0)}


def a_bench(contest: Contest, rounds: int = 3, warm_up: int = 0) -> Bench:
    def sleeping(seconds: int) -> Iterator[Contest]:
        """How long a nap takes."""
        yield contest

    return Bench(sleeping, [5], rounds, warm_up)


def a_result(target: Target | None = None) -> Result:
    contest = Contest(
        {"flcore": reading(3, 2, 100), "the floor": reading(1, 50, 2)}, "the floor", {"ms": target} if target else {}
    )
    return framework.run(a_bench(contest))


def test_contestants_are_measured_in_turns_and_warm_up_rounds_do_not_count() -> None:
    turns: list[str] = []

    def measuring(name: str) -> Measure:
        def measure() -> dict[str, float]:
            turns.append(name)
            return {"ms": turns.count(name)}

        return measure

    bench = a_bench(Contest({"flcore": measuring("a"), "b": measuring("b")}), rounds=20, warm_up=1)
    result = framework.run(bench, {"a peer": measuring("c")})
    rounds = [tuple(turns[at : at + 3]) for at in range(0, len(turns), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 1, "the order changes"
    assert result.figures["ms"]["flcore"].values == list(range(2, 22))


def test_a_bench_cleans_up_when_it_was_measured() -> None:
    left: list[str] = []

    def littering() -> Iterator[Contest]:
        left.append("a container")
        yield Contest({"flcore": lambda: {"containers": len(left)}})
        left.clear()

    assert framework.run(Bench(littering, [], rounds=1, warm_up=0)).figures["containers"]["flcore"].median == 1
    assert left == []


def test_a_ratio_is_that_of_the_medians() -> None:
    assert a_result().ratio("ms", "flcore") == 3 / 2
    assert a_result().ratio("ms", "the floor") == 1


def test_what_the_floor_does_not_measure_has_no_ratio() -> None:
    contest = Contest({"flcore": reading(1, unit="threads"), "the floor": reading(1)}, "the floor")
    assert framework.run(a_bench(contest, rounds=1)).ratio("threads", "flcore") is None


@pytest.mark.parametrize(
    ("target", "is_met"),
    [
        (at_most(3), True),
        (at_most(2.9), False),
        (at_least(3), True),
        (at_least(3.1), False),
        (times_floor(1.5), True),
        (times_floor(1.4), False),
        (over_floor(1), True),
        (over_floor(0.9), False),
    ],
)
def test_a_target_is_met_by_the_median(target: Target, is_met: bool) -> None:
    assert a_result(target).is_met("ms") is is_met


def test_the_table_has_a_row_for_each_contestant() -> None:
    assert as_table(a_result(times_floor(1.4))).splitlines() == [
        "sleeping/5: How long a nap takes.",
        "                                      median       p95   x floor",
        "  flcore                                   3      90.3      1.50 ms  (target ≤ 1.4 x floor: MISSED)",
        "  the floor                                2      45.2      1.00 ms",
    ]


def test_the_json_has_all_figures_and_targets() -> None:
    (entry,) = json.loads(json.dumps(as_json([a_result(at_most(5))])))["benches"].values()
    assert entry["targets"] == {"ms": {"target": "≤ 5", "met": True}}
    assert entry["figures"]["ms"]["the floor"] == {
        "median": 2,
        "p95": pytest.approx(45.2),
        "lowest": 1,
        "highest": 50,
        "runs": 3,
        "ratio": 1,
    }


def test_a_floor_that_nobody_measures_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nobody measures 'a flor'; there are flcore, a floor"):
        Contest({"flcore": reading(), "a floor": reading()}, floor="a flor")


def test_a_bench_is_called_by_its_function_its_case_or_its_module() -> None:
    names = [bench.name for bench in discover() if bench.is_called("events")]
    assert names == ["fire_event/0", "fire_event/1", "fire_event/10", "fire_event/100"]
    assert [bench.name for bench in discover() if bench.is_called("fire_event")] == names
    assert [bench.name for bench in discover() if bench.is_called("fire_event/10")] == ["fire_event/10"]


def test_a_name_that_is_no_bench_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"^there is no bench 'fire_events'; there are .*\bfire_event\b"):
        main(["fire_events"])


def test_a_call_is_measured_in_microseconds() -> None:
    (measured,) = per_call(int, "5")().items()
    assert measured[0] == "µs"
    assert 0 < measured[1] < 1000


def test_a_peer_that_has_no_part_in_a_bench_is_no_contestant() -> None:
    with peers.contestants([Path(sys.executable)], a_bench(Contest({}))) as contestants:
        assert contestants == {}
