"""What a record says of its job is taken in as far as it is as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from launchers.docker_state import DOCKER_STATE, Transition
from launchers.records.known_job import told_in
from launchers.records.told import Told

NOTED: dict[str, Any] = {"told": ["running", ["created", "running"], 2.0], "run": "", "number": 2}


@pytest.fixture
def of_this_boot() -> str:
    return Told().run


def test_a_record_tells_what_is_told_next(of_this_boot: str) -> None:
    found = told_in({**NOTED, "run": of_this_boot, "telling": ["paused", 3.0]})
    assert (found.run, found.number) == (of_this_boot, 2)
    assert found.begun == Transition(DOCKER_STATE.RUNNING, DOCKER_STATE.PAUSED, 3.0)


def test_what_was_told_wholly_is_not_told_again(of_this_boot: str) -> None:
    found = told_in({**NOTED, "run": of_this_boot, "telling": None})
    assert (found.number, found.begun) == (2, None)


@pytest.mark.parametrize(
    "fields",
    [{}, {"told": NOTED["told"]}, {**NOTED, "run": "of-another-boot"}],
    ids=["nothing", "a version without ids", "a host that has started anew"],
)
def test_where_it_is_not_sure_what_was_told_another_count_begins(fields: Mapping[str, Any]) -> None:
    assert told_in(fields).number == 0
    assert told_in(fields).run not in ("", "of-another-boot", told_in(fields).run)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("number", "two"),
        ("number", -1),
        ("number", True),
        ("telling", "paused"),
        ("telling", ["hibernating", 3.0]),
        ("telling", ["paused", "at noon"]),
        ("run", 5),
    ],
)
def test_what_cannot_be_read_is_named(of_this_boot: str, field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        told_in({**NOTED, "run": of_this_boot, "telling": ["paused", 3.0], field: value})
