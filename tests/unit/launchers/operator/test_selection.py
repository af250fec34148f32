"""Which jobs a command means."""

from __future__ import annotations

import pytest

from launchers.operator.selection import NoSuchJobError, jobs_to_show, matching, the_one_job
from tests.operator_lab import options, view_of


def test_the_last_that_have_ended_are_shown_and_all_that_are_active() -> None:
    ended = [view_of(f"old-{n}", began_at=n, error="no") for n in range(1, 6)]
    views = [view_of("active", began_at=0.5), *ended]
    assert [view.history.job_id for view in jobs_to_show(views, options(last=2))] == ["old-5", "old-4", "active"]
    assert len(jobs_to_show(views, options(all=True))) == 6


def test_a_jobs_sites_stay_together_in_the_order_of_their_launch() -> None:
    views = [view_of("a", "server", 1), view_of("b", "server", 2), view_of("a", "site-1", 3), view_of("b", "site-1", 4)]
    names = [f"{view.history.job_id} {view.history.site}" for view in jobs_to_show(views, options())]
    assert names == ["b server", "b site-1", "a server", "a site-1"]


def test_a_job_is_named_by_the_beginning_of_its_id_and_perhaps_its_site() -> None:
    views = [view_of("digits-1", "server"), view_of("digits-1", "site-1"), view_of("other")]
    assert the_one_job(views, "dig") == views[:2]
    assert the_one_job(views, "site-1/dig") == [views[1]]
    assert matching(views, ["site-1/dig", "oth"]) == views[1:]


def test_a_whole_id_means_that_job_though_others_begin_so() -> None:
    views = [view_of("job-1"), view_of("job-10")]
    assert the_one_job(views, "job-1") == views[:1]


def test_what_several_jobs_begin_with_is_an_error_that_lists_them() -> None:
    views = [view_of(f"job-{n}") for n in range(12)]
    with pytest.raises(NoSuchJobError, match=r"^12 jobs begin with 'job': job-0, .*job-9, and 2 more; give more"):
        the_one_job(views, "job")


def test_of_several_the_one_is_to_be_ended_that_has_not_ended_yet() -> None:
    ended, running = [view_of(f"nap-{n}", error="no") for n in range(2)], view_of("nap-2")
    assert the_one_job([*ended, running], "nap", to_end=True) == [running]
    for views in (ended, [*ended, running, view_of("nap-3")]):
        with pytest.raises(NoSuchJobError, match="jobs begin with 'nap'"):
            the_one_job(views, "nap", to_end=True)


@pytest.mark.parametrize("name", ["", "site-1/", "site-2/job-1", "ob-1", "*", "\x1b[2J"])
def test_what_no_job_is_called_is_an_error(name: str) -> None:
    with pytest.raises(NoSuchJobError) as caught:
        the_one_job([view_of("job-1")], name)
    assert str(caught.value).isprintable()
