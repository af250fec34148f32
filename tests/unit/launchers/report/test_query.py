"""What an address asks for."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flcore import JobResult, JobReturnCode
from flcore.job_reports import LAST_OUTPUT
from launchers.report.jobs import grouped
from launchers.report.query import ORDERS, STATES, Query, of_state
from tests.job_views import BEGAN, SUCCEEDED, job_view, running

NOW = BEGAN + 60
NO_DATA = JobResult(JobReturnCode.EXECUTION_ERROR, 3, error=f"exit code 3{LAST_OUTPUT}Traceback | ValueError: no data")
JOBS = grouped(
    [
        job_view("a-1", "site-1", began=BEGAN, result=SUCCEEDED, name="digits", study="brain"),
        job_view("b-1", "site-2", began=BEGAN + 1, result=NO_DATA, name="Chest"),
        running("c-1", "site-1", began=BEGAN + 2, study="brain"),
    ]
)


def found(**query: object) -> list[str]:
    return [job.job_id for job in Query.of({key: str(value) for key, value in query.items()}).found(JOBS)]


def test_an_empty_address_asks_for_everything() -> None:
    assert Query.of({}) == Query()
    assert Query().found(JOBS) is JOBS
    assert Query().address() == "/"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("digits", ["a-1"]),
        ("CHEST", ["b-1"]),
        ("no data", ["b-1"]),
        ("data site-2", ["b-1"]),
        ("exit code 3", ["b-1"]),
        ("brain", ["c-1", "a-1"]),
        ("digits site-2", []),
    ],
)
def test_a_job_is_found_by_all_words_of_its_id_name_sites_study_and_reason(text: str, ids: list[str]) -> None:
    assert found(q=text) == ids


def test_a_job_is_found_by_its_site_and_by_its_study() -> None:
    assert (found(site="site-1"), found(study="brain"), found(site="site-2", study="brain")) == (
        ["c-1", "a-1"],
        ["c-1", "a-1"],
        [],
    )


@pytest.mark.parametrize(
    ("state", "ids"),
    [("active", ["c-1"]), ("failed", ["b-1"]), ("succeeded", ["a-1"]), ("ended", ["a-1"]), ("lost", [])],
)
def test_a_state_means_kinds_of_verdicts(state: str, ids: list[str]) -> None:
    assert [job.job_id for job in of_state(JOBS, state)] == ids


@pytest.mark.parametrize(
    ("order", "ids"),
    [("newest", "cba"), ("oldest", "abc"), ("name", "cba")],  # c-1 has no name: its id counts
)
def test_jobs_come_in_the_order_that_is_asked_for(order: str, ids: str) -> None:
    assert "".join(job.job_id[0] for job in Query(sort=order).ordered(JOBS, NOW)) == ids


@pytest.mark.parametrize("order", ["longest", "shortest"])
def test_jobs_come_by_how_long_they_took_or_have_run(order: str) -> None:
    seconds = [job.seconds(NOW) for job in Query(sort=order).ordered(JOBS, NOW)]
    assert seconds == sorted(seconds, reverse=order == "longest")
    assert len(set(seconds)) == 2


def test_what_is_changed_in_an_address_begins_at_the_first_page() -> None:
    query = Query(text="a b", state="failed", page=3)
    assert query.address(page=4) == "/?q=a+b&state=failed&page=4"
    assert query.address(site="site-1") == "/?q=a+b&state=failed&site=site-1"
    assert query.address(state="", text="") == "/"


@pytest.mark.parametrize(
    "odd",
    [{"state": "x"}, {"sort": "x"}, {"page": "0"}, {"page": "-1"}, {"page": "9" * 5000}, {"page": "²"}, {"x": "y"}],
)
def test_what_means_nothing_is_passed_over(odd: dict[str, str]) -> None:
    assert Query.of(odd) == Query()


_queries = st.builds(
    Query,
    text=st.sampled_from(["", "a", "a b", "ä&=%", "<script>"]),
    state=st.sampled_from(["", *STATES]),
    site=st.sampled_from(["", "site-1"]),
    study=st.sampled_from(["", "brain & chest"]),
    sort=st.sampled_from(ORDERS),
    page=st.integers(1, 999_999),
)


@given(_queries)
def test_an_address_asks_for_what_it_was_made_of(query: Query) -> None:
    address = query.address(page=query.page)
    assert Query.of(dict(parse_qsl(urlsplit(address).query))) == query
