"""Jobs as tables."""

from __future__ import annotations

import pytest

from flcore import JobResult, JobReturnCode
from flcore.job_reports import LAST_OUTPUT
from launchers.report.jobs import Job, grouped
from launchers.report.listing import FOLD_SIZE, LIVE, MOST_ROWS, PAGE_SIZE, Listing, job_row
from launchers.report.query import Query
from tests.job_views import BEGAN, FAILED, SUCCEEDED, job_view, running

NOW = BEGAN + 60
NO_DATA = JobResult(JobReturnCode.EXECUTION_ERROR, 3, error=f"exit code 3{LAST_OUTPUT}Traceback | ValueError: no data")


def jobs_of(count: int, result: JobResult | None = SUCCEEDED) -> list[Job]:
    return grouped([job_view(f"job-{number:04}", began=BEGAN + number, result=result) for number in range(count)])


def test_a_job_is_a_row() -> None:
    [job] = grouped([job_view(result=SUCCEEDED, name="digits"), job_view(site="server", result=SUCCEEDED)])
    told = job_row(job, NOW)
    assert (told.job_id, told.about, told.sites, told.took) == ("job-1", "digits", "server, site-1", "6.0 s")


@pytest.mark.parametrize(
    ("name", "study", "about"),
    [
        ("digits", "", "digits"),
        ("job", "brain", "study brain"),
        ("digits", "brain", "digits · study brain"),
        ("", "", ""),
    ],
)
def test_a_name_with_which_the_id_begins_is_not_said_again(name: str, study: str, about: str) -> None:
    [job] = grouped([job_view("job-1", name=name, study=study)])
    assert job_row(job, NOW).about == about


def test_what_is_sent_names_the_site_where_there_is_one_only() -> None:
    [one] = grouped([job_view()])
    [two] = grouped([job_view(), job_view(site="site-2")])
    assert (job_row(one, NOW).path, job_row(two, NOW).path) == ("site-1/job-1", "job-1")


def test_a_failed_job_says_the_last_that_it_wrote_as_ps_does() -> None:
    [job] = grouped([job_view(result=NO_DATA)])
    [cause] = job_row(job, NOW).causes
    assert (cause.sites, cause.reason, cause.last_line) == (["site-1"], "exit code 3", "ValueError: no data")


def test_of_many_different_causes_a_few_are_shown() -> None:
    results = [JobResult(JobReturnCode.EXECUTION_ERROR, number) for number in range(1, 6)]
    [job] = grouped([job_view(site=f"site-{number}", result=result) for number, result in enumerate(results)])
    row = job_row(job, NOW)
    assert (len(row.causes), row.causes_left) == (3, 2)


def test_what_runs_comes_first_then_what_failed_then_the_rest() -> None:
    jobs = grouped([job_view("a", result=SUCCEEDED), job_view("b", result=FAILED), running("c")])
    groups = Listing(Query(), NOW).groups(jobs)
    assert [(group.id, [row.job_id for row in group.rows]) for group in groups] == [
        ("active", ["c"]),
        ("failed", ["b"]),
        ("ended", ["a"]),
    ]


def test_where_nothing_runs_that_is_said_and_where_nothing_failed_nothing_is() -> None:
    active, ended = Listing(Query(), NOW).groups(jobs_of(1))
    assert (active.id, active.empty, ended.id) == ("active", "Nothing runs now.", "ended")


def test_of_a_long_group_the_newest_are_shown_with_a_link_to_all() -> None:
    [failed] = Listing(Query(text="job"), NOW).groups(jobs_of(30, FAILED))
    assert (len(failed.rows), failed.rows[0].job_id) == (LIVE.failed, "job-0029")
    assert (failed.more, failed.more_at) == ("All 30 failed or lost", "/?q=job&state=failed")


@pytest.mark.parametrize(
    ("page", "first", "said", "previous", "following"),
    [
        (1, "job-0119", "1 to 50 of 120", "", "/?state=succeeded&page=2"),
        (2, "job-0069", "51 to 100 of 120", "/?state=succeeded", "/?state=succeeded&page=3"),
        (9, "job-0019", "101 to 120 of 120", "/?state=succeeded&page=2", ""),
    ],
)
def test_the_jobs_of_one_state_have_pages(page: int, first: str, said: str, previous: str, following: str) -> None:
    [group] = Listing(Query(state="succeeded", page=page), NOW).groups(jobs_of(120))
    assert group.rows[0].job_id == first
    assert len(group.rows) <= PAGE_SIZE
    assert group.pager == (said, previous, following)


def test_a_state_of_which_there_is_no_job_says_so() -> None:
    [group] = Listing(Query(state="aborted"), NOW).groups(jobs_of(3))
    assert (group.count, group.empty, group.pager) == (0, "No job is aborted.", None)


def test_a_head_orders_and_turns_the_order_round() -> None:
    by_default = {column.word: column for column in Listing(Query(), NOW).groups(jobs_of(1))[-1].columns}
    assert (by_default["Began"].order, by_default["Began"].address) == ("descending", "/?sort=oldest")
    assert (by_default["Took"].order, by_default["Took"].address) == ("", "/?sort=longest")
    turned = {column.word: column for column in Listing(Query(sort="longest"), NOW).groups(jobs_of(1))[-1].columns}
    assert (turned["Took"].order, turned["Took"].address) == ("descending", "/?sort=shortest")
    assert turned["Began"].address == "/"


def test_a_file_folds_what_is_long_and_has_no_addresses() -> None:
    group = Listing(Query(), NOW, is_file=True).groups(jobs_of(MOST_ROWS + 5))[-1]
    assert len(group.rows) == FOLD_SIZE
    assert sum(len(fold.rows) for fold in group.folds) == MOST_ROWS - FOLD_SIZE
    assert group.folds[0].summary.startswith("100 more: ")
    assert group.note == "The newest 1,000 of 1,005, the newest first."
    assert (group.more, {column.address for column in group.columns}) == ("", {""})
