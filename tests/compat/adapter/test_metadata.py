"""Job metadata are taken, and give a job, what they do in NVIDIA FLARE itself, but for differences that are meant."""

from __future__ import annotations

import pytest

from tests.compat.metadata.comparison import COUNT, Comparison, compare


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return compare(tmp_path_factory.mktemp("comparison"))


def test_made_up_metadata_differ_in_nothing_that_is_not_meant(comparison: Comparison) -> None:
    said = [f"{fact.what}: {fact.how}\n{metadata.text}" for fact, metadata in comparison.unexplained]
    assert "\n".join(said[:5]) == ""


def test_each_difference_that_is_meant_happens(comparison: Comparison) -> None:
    assert [row.title for row in comparison.rows() if not comparison.hits[row]] == []


def test_they_are_many_and_most_of_them_are_taken_or_refused_by_both(comparison: Comparison) -> None:
    assert comparison.count == COUNT
    assert comparison.taken_by_both > COUNT / 4
