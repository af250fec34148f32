"""Where the time of a run went."""

import dataclasses

from flcore.observers.job_history import ImagePull, Outage
from launchers.report.phases import Span, ended_at, overlapping, spans
from tests.job_views import BEGAN, FAILED, SUCCEEDED, job_view, running

NOW = BEGAN + 100


def lengths(found: list[Span]) -> list[tuple[str, float]]:
    return [(span.phase, round(span.seconds, 3)) for span in found]


def test_a_finished_run_was_launched_created_and_ran() -> None:
    view = job_view(result=SUCCEEDED)

    assert lengths(spans(view, NOW)) == [("launching", 0.5), ("created", 0.5), ("running", 5.0)]


def test_a_running_run_runs_until_now() -> None:
    assert lengths(spans(running(), NOW))[-1] == ("running", 99.0)


def test_a_launch_that_failed_took_until_the_site_said_so() -> None:
    view = job_view(result=FAILED, states=(), closed_at=BEGAN + 4)

    assert lengths(spans(view, NOW)) == [("launching", 4.0)]
    assert ended_at(view, NOW) == BEGAN + 4


def test_the_pull_of_an_image_is_a_phase_within_the_launch() -> None:
    pull = ImagePull("image:1", BEGAN + 0.1, BEGAN + 0.4, "")
    view = job_view(result=SUCCEEDED, pulls=[pull])

    found = lengths(spans(view, NOW))

    assert found[:3] == [("launching", 0.1), ("pulling", 0.3), ("launching", 0.1)]


def test_a_pull_that_began_before_the_launch_counts_from_the_launch() -> None:
    view = job_view(result=SUCCEEDED, pulls=[ImagePull("image:1", BEGAN - 60, BEGAN + 0.4, "")])

    assert lengths(spans(view, NOW))[0] == ("pulling", 0.4)


def test_a_clock_that_goes_back_makes_no_phase_negative() -> None:
    view = job_view(result=SUCCEEDED, states=(("created", -3.0), ("running", -2.0), ("exited", 6.0)))

    assert lengths(spans(view, NOW)) == [("launching", 0.0), ("created", 0.0), ("running", 6.0)]


def test_a_run_that_was_paused_was_paused_in_between() -> None:
    states = (("created", 0.0), ("running", 1.0), ("paused", 2.0), ("running", 4.0), ("exited", 5.0))

    found = lengths(spans(job_view(result=SUCCEEDED, states=states), NOW))

    assert found[-3:] == [("running", 1.0), ("paused", 2.0), ("running", 1.0)]


def test_an_outage_of_the_sites_own_engine_is_cut_to_the_run() -> None:
    outages = [
        Outage("site-1", BEGAN - 5, BEGAN + 2, "no answer"),
        Outage("site-1", BEGAN + 4, None, "no answer"),
        Outage("site-1", BEGAN + 50, BEGAN + 60, "later"),
        Outage("site-2", BEGAN + 1, BEGAN + 2, "another's"),
    ]

    found = overlapping(outages, "site-1", BEGAN, BEGAN + 6, NOW)

    assert [(outage.since - BEGAN, (outage.until or 0) - BEGAN) for outage in found] == [(0, 2), (4, 6)]


def test_the_time_of_a_container_that_has_ended_untold_does_not_grow() -> None:
    view = dataclasses.replace(running(), state="exited", has_parent=False)
    assert ended_at(view, BEGAN + 50) == ended_at(view, BEGAN + 5000) == BEGAN + 1
