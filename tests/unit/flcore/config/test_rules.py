"""Rules check a value, and say the same as a JSON Schema."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Any

import pytest

from flcore.config.problems import Problems
from flcore.config.rules import Schema, checks_by_rules, optional, or_else, or_null, rule, rules_of, whole

EVEN: Schema = {"type": "integer", "multipleOf": 2}


@rule(EVEN)
def even(key: str, value: Any) -> int:
    if type(value) is not int or value % 2:
        raise ValueError(f"{key} must be even, got {value!r}")
    return int(value)


@rule(lambda most: {"maximum": most})
def at_most(key: str, value: Any, most: int) -> int:
    if value > most:
        raise ValueError(f"{key} must be at most {most}, got {value!r}")
    return int(value)


def test_a_rule_returns_what_is_used_and_raises_for_what_may_not_be() -> None:
    assert even("legs", 4) == 4
    with pytest.raises(ValueError, match=r"^legs must be even, got 3$"):
        even("legs", 3)


def test_what_more_it_is_called_with_its_schema_heeds_too() -> None:
    assert at_most("legs", 4, 6) == 4
    assert at_most.schema(6) == {"maximum": 6}


def test_what_is_optional_may_be_none() -> None:
    assert optional(even)("legs", None) is None
    assert optional(even)("legs", 2) == 2
    assert optional(even).schema() == {**EVEN, "type": ["integer", "null"]}


def test_none_may_stand_for_what_is_made_then() -> None:
    assert or_else(even, lambda: 8)("legs", None) == 8
    assert or_else(at_most, lambda: 8)("legs", 5, 6) == 5
    assert or_else(at_most, lambda: 8).schema(6) == {"anyOf": [{"maximum": 6}, {"type": "null"}]}


@pytest.mark.parametrize(
    ("schema", "with_null"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"enum": ["a"]}, {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
    ],
)
def test_null_is_added_once(schema: Schema, with_null: Schema) -> None:
    assert or_null(schema) == with_null


def test_a_pattern_is_about_the_whole_text() -> None:
    assert [bool(re.search(whole(re.compile("a|b")), text)) for text in ("a", "b", "ab", "xa")] == [
        True,
        True,
        False,
        False,
    ]


@checks_by_rules
class Animal(ABC):
    def __init__(self, eyes: int, legs: int = 4, name: str = "") -> None:
        problems = Problems()
        self.eyes = problems.attempt(even, "eyes", eyes)
        self.legs = problems.attempt(at_most, "legs", legs, 8)
        problems.raise_all(ValueError)
        self.name = name

    @abstractmethod
    def speak(self) -> str: ...


def test_a_class_tells_by_which_rules_it_checks_what_it_is_made_with() -> None:
    assert rules_of(Animal) == {"eyes": EVEN, "legs": {"maximum": 8}}


def test_nothing_is_noted_of_what_is_made_otherwise() -> None:
    before = dict(rules_of(Animal))
    even("tails", 2)
    assert rules_of(Animal) == before
