"""SECURITY.md says what the tests check, and nothing that they do not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.hardening import CIS, KUBERNETES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()


def rows(heading: str) -> dict[str, str]:
    """Return how each item of a section's table is checked."""
    (section,) = (part for part in TEXT.split("\n## ") if part.startswith(heading))
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {row[0]: row[-1] for row in cells[2:]}


def test_the_table_of_the_benchmark_has_all_its_items_in_order() -> None:
    assert list(rows("The CIS Docker Benchmark")) == [f"5.{number}" for number in range(1, 33)]


@pytest.mark.parametrize(
    ("heading", "checks"), [("The CIS Docker Benchmark", CIS), ("The Kubernetes Pod Security Standard", KUBERNETES)]
)
def test_what_is_said_to_be_inspected_is(heading: str, checks: dict[str, object]) -> None:
    assert [item for item, how in rows(heading).items() if how.startswith("inspected")] == list(checks)


def test_every_test_that_is_named_is_there() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert [name for name in named if f"def {name}(" not in tests] == []
