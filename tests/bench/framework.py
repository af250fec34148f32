"""What a bench is, and how it is run."""

from __future__ import annotations

import pkgutil
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from statistics import median, quantiles

from .timing import Measure

OURS = "flcore"
"""The name of the contestant that has targets."""

Case = int | str


@dataclass(frozen=True)
class Target:
    """A limit, by the floor's median in the same run."""

    text: str
    limit: Callable[[float], float]
    at_least: bool = False

    def is_met(self, value: float, floor: float) -> bool:
        limit = self.limit(floor)
        return value >= limit if self.at_least else value <= limit


def at_most(limit: float) -> Target:
    return Target(f"≤ {limit:g}", lambda floor: limit)


def at_least(limit: float) -> Target:
    return Target(f"≥ {limit:g}", lambda floor: limit, at_least=True)


def times_floor(factor: float) -> Target:
    return Target(f"≤ {factor:g} x floor", lambda floor: factor * floor)


def over_floor(difference: float) -> Target:
    return Target(f"≤ floor + {difference:g}", lambda floor: floor + difference)


@dataclass(frozen=True)
class Contest:
    """Who is measured: ``{name: measure}``, ours as ``OURS``; the name of the floor; ``{unit: target}`` of ours."""

    measures: Mapping[str, Measure]
    floor: str | None = None
    targets: Mapping[str, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (self.floor, OURS if self.targets else None):
            if name and name not in self.measures:
                raise ValueError(f"nobody measures {name!r}; there are {', '.join(self.measures)}")


Make = Callable[..., Iterator[Contest]]


@dataclass(frozen=True)
class Bench:
    """A registered function, with one of its cases if it has any."""

    make: Make
    args: Sequence[Case]
    rounds: int
    warm_up: int

    @property
    def function(self) -> str:
        return self.make.__name__

    @property
    def name(self) -> str:
        return "/".join([self.function, *map(str, self.args)])

    @property
    def about(self) -> str:
        return (self.make.__doc__ or "").partition("\n")[0]

    def is_called(self, name: str) -> bool:
        """Return whether a user who says this name means this bench."""
        return name in (self.name, self.function, self.make.__module__.rpartition(".")[2])


@dataclass(frozen=True)
class Figure:
    """What the measurements of one contestant in one unit come to."""

    values: Sequence[float]

    @cached_property
    def median(self) -> float:
        return median(self.values)

    @cached_property
    def p95(self) -> float:
        return quantiles(self.values, n=20, method="inclusive")[-1] if len(self.values) > 1 else self.values[0]


@dataclass(frozen=True)
class Result:
    """What a bench found: ``{unit: {contestant: figure}}``."""

    bench: Bench
    contest: Contest
    figures: Mapping[str, Mapping[str, Figure]]

    def ratio(self, unit: str, contestant: str) -> float | None:
        """Return a contestant's median in floors; None where there is no floor, or it is 0."""
        floor = self._floor(unit)
        return self.figures[unit][contestant].median / floor if floor else None

    def is_met(self, unit: str) -> bool:
        """Return whether ours meets its target in a unit that has one."""
        return self.contest.targets[unit].is_met(self.figures[unit][OURS].median, self._floor(unit))

    def _floor(self, unit: str) -> float:
        floor = self.figures[unit].get(self.contest.floor or "")
        return floor.median if floor else 0.0


_registered: list[Bench] = []


def bench(*, cases: Sequence[Case] = (), rounds: int = 25, warm_up: int = 1) -> Callable[[Make], Make]:
    """Register a generator that yields a contest, once for each of its cases (its argument); it cleans up behind.

    In each of the rounds every contestant is measured once, after ``warm_up`` rounds that do not count.
    """

    def register(make: Make) -> Make:
        _registered.extend(Bench(make, args, rounds, warm_up) for args in [[case] for case in cases] or [[]])
        return make

    return register


def discover() -> list[Bench]:
    """Return the benches of all modules of this package."""
    package = import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__, f"{__package__}."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    return list(_registered)


def run(bench: Bench, further: Mapping[str, Measure] | None = None) -> Result:
    """Run a bench, with further contestants."""
    with contextmanager(bench.make)(*bench.args) as contest:
        measures = {**contest.measures, **(further or {})}
        for _ in range(bench.warm_up):
            _take_turns(measures)
        turns = [_take_turns(measures) for _ in range(bench.rounds)]
    return Result(bench, contest, _by_unit(turns))


def _take_turns(measures: Mapping[str, Measure]) -> dict[str, Mapping[str, float]]:
    """Measure each once, in another order each time: what one leaves behind must not always meet the same other."""
    values = {name: measures[name]() for name in random.sample(list(measures), len(measures))}
    return {name: values[name] for name in measures}


def _by_unit(turns: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, Figure]]:
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for turn in turns:
        for contestant, measured in turn.items():
            for unit, value in measured.items():
                values[unit][contestant].append(value)
    return {unit: {name: Figure(v) for name, v in of_unit.items()} for unit, of_unit in values.items()}
