"""Which versions of NVIDIA FLARE the compatibility tests run on."""

from __future__ import annotations

from tests.compat.environments import newest_of, version_of, wanted


def test_a_version_is_what_it_says() -> None:
    assert version_of("2.6.2") == "2.6.2"


def test_several_are_taken_each_once() -> None:
    assert wanted("2.6.2  2.9.0 2.6.2") == ["2.6.2", "2.9.0"]


def test_the_newest_stands_first_in_what_the_index_answers() -> None:
    answer = "nvflare (2.9.1rc5)\nAvailable versions: 2.9.1rc5, 2.9.1rc4, 2.9.0\n  INSTALLED: 2.8.3\n"
    assert newest_of(answer) == "2.9.1rc5"
