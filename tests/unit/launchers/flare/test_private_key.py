"""Which jobs get the site's private key, as its config says."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.flare.private_key import parse_private_key

META = {"job_id": "a", "name": "swarm-1", "study": "brain", "submitter_name": "ana@hospital.org"}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (True, "private_key"),
        (False, ""),
        ([], ""),
        ([{"study": "brain"}], "private_key[0]"),
        ([{"submitter": "*@hospital.org"}], "private_key[0]"),
        ([{"name": "other"}, {"name": "swarm-*"}], "private_key[1]"),
        ([{"study": ["heart", "brain"], "submitter": "ana@hospital.org"}], "private_key[0]"),
        ([{"study": "brain", "submitter": "ben@hospital.org"}], ""),
        ([{"study": "Brain"}], ""),
        ([{"study": []}], ""),
    ],
)
def test_a_job_gets_the_key_that_fulfils_all_of_one_entry(value: Any, why: str) -> None:
    assert parse_private_key("private_key", value).why(META) == why


@pytest.mark.parametrize("meta", [{}, {"study": None}, {"study": ["brain"]}, {"study": {"brain": 1}}, {"study": 1}])
def test_metadata_that_does_not_say_or_says_it_in_another_way_fulfils_nothing(meta: dict[str, Any]) -> None:
    assert parse_private_key("private_key", [{"study": "*"}]).why({"job_id": "a", **meta}) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("yes", "private_key must be true, false, or a list of"),
        (1, "private_key must be true, false, or a list of"),
        ({"study": "brain"}, "private_key must be true, false, or a list of"),
        (["brain"], r"private_key\[0\] must be an object with some of study, submitter, name, got 'brain'"),
        ([{}], r"private_key\[0\] must be an object with some of study, submitter, name, got \{\}"),
        ([{"study": "a"}, {"sudy": "a"}], r"private_key\[1\] .* got \{'sudy': 'a'\}"),
        ([{"study": 1}], r"private_key\[0\].study must be a glob, or a list of them, got 1"),
        ([{"study": ""}], r"private_key\[0\].study must be a glob, or a list of them, got ''"),
        ([{"name": ["a", None]}], r"private_key\[0\].name must be a glob, or a list of them"),
    ],
)
def test_what_is_no_rule_is_told_with_its_place(value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_private_key("private_key", value)
