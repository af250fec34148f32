"""Names of containers: valid for an engine and as a DNS label, and different for names that differ."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from launchers.policy.job_policy import container_name
from tests.thoroughness import tries

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)

properties = settings(max_examples=tries(30), deadline=None)

anything = st.text(st.characters(), max_size=150)  # lone surrogates too
like_a_name = st.text("abcABC012-_.", min_size=1, max_size=80)
names = anything | like_a_name


@pytest.mark.parametrize("name", ["site-1-job-1", "server-0f4a", "a", "7", "x" * 63])
def test_a_plain_name_stays_itself(name: str) -> None:
    assert container_name(name) == name


def test_a_uuid_as_a_job_id_stays_readable() -> None:
    name = "site-1-0f4a2c1e-98d7-4c1b-8a55-1234567890ab"
    assert container_name(name) == name


@pytest.mark.parametrize("name", ["Site-1-job", "site_1", "-a", "a-", "x" * 64, "", "é", "a/b", "a b", "a\n"])
def test_any_other_name_gets_a_hash_of_it(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+-h[0-9a-f]{12}", container_name(name))


def test_a_name_with_a_hash_begins_with_what_is_readable_of_it() -> None:
    assert container_name("Site_1.Job 7").startswith("site-1-job-7-h")


def test_names_that_differ_in_case_stay_different() -> None:
    assert len({container_name(name) for name in ("site-1", "Site-1", "SITE-1", "site_1", "site.1")}) == 5


def test_nobody_can_take_the_name_of_another_by_spelling_out_its_hash() -> None:
    hashed = container_name("Site-1-job")
    assert container_name(hashed) != hashed


def test_a_name_is_never_that_of_a_container_id() -> None:
    short_id = "0123456789ab"
    assert container_name(short_id) != short_id


@properties
@given(names)
@example("\ud800")
def test_every_name_is_a_dns_label_of_at_most_63_characters(name: str) -> None:
    assert DNS_LABEL.fullmatch(container_name(name))


@properties
@given(names)
def test_a_name_is_always_turned_into_the_same(name: str) -> None:
    assert container_name(name) == container_name(name)


@properties
@given(st.lists(names, min_size=2, max_size=8, unique=True))
def test_names_that_differ_stay_different(several: list[str]) -> None:
    assert len({container_name(name) for name in several}) == len(several)


@properties
@given(like_a_name)
def test_a_name_and_what_it_was_turned_into_stay_different(name: str) -> None:
    turned = container_name(name)
    assert turned == name or container_name(turned) != turned
