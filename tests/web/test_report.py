"""A report in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from flcore import JobResult, JobReturnCode
from launchers.report.findings import Findings
from launchers.report.page import Page as ReportPage
from tests.job_views import BEGAN, HOSTILE, SUCCEEDED, Jobs, job_view
from tests.web.conftest import DESKTOP, PHONE, Place, Reader

Look = Callable[..., Reader]


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_finished_and_a_failed_job_are_shown(look: Look, finished: Place, size: tuple[int, int]) -> None:
    reader = look(finished.report(), size)
    page = reader.page

    expect(page.locator("h2.summary")).to_have_text("2 jobs: 1 succeeded, 1 failed.")
    good, bad = page.locator("section.job").nth(1), page.locator("section.job").nth(0)
    expect(good.locator("h2 .badge")).to_contain_text("succeeded")
    expect(good.locator("svg.line[role=img]")).to_have_count(3)
    expect(good.get_by_role("img", name="accuracy over round")).to_be_visible()
    expect(bad.locator("h2 .badge")).to_contain_text("failed")
    expect(bad.locator(".error").first).to_contain_text("ValueError: no <script>data</script>")
    expect(bad.locator("pre.log").first).to_be_visible()
    reader.check()


def test_it_can_be_read_by_keyboard(look: Look, finished: Place) -> None:
    page = look(finished.report()).page

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the jobs")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()

    summary = page.locator("section.job summary", has_text="Values").first
    summary.focus()
    page.keyboard.press("Enter")
    expect(page.locator("section.job details[open] table").first).to_be_visible()


def test_on_paper_outputs_are_unfolded_and_nothing_is_there_to_be_clicked(look: Look, finished: Place) -> None:
    page = look(finished.report(), color_scheme="dark").page
    page.emulate_media(media="print")

    for log in page.locator("pre.log").all():
        expect(log).to_be_visible()
    expect(page.locator("nav.states")).to_be_hidden()
    expect(page.locator("summary", has_text="Values").first).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"


def test_hostile_texts_do_nothing(look: Look, tmp_path: Path) -> None:
    (tmp_path / "job-1").mkdir()
    (tmp_path / "job-1" / "site-1.log").write_text(HOSTILE + "\nlast line")
    (tmp_path / "job-1" / "metrics.json").write_text(json.dumps({HOSTILE: [1, 2], "x" + HOSTILE: 3}))
    result = JobResult(JobReturnCode.EXECUTION_ERROR, 1, error=HOSTILE, ended_by=HOSTILE)
    request = {HOSTILE: HOSTILE}
    view = job_view(result=result, name=HOSTILE, workspace=tmp_path, request=request, container_name=HOSTILE)
    other = job_view("job-2", result=SUCCEEDED, name=HOSTILE)
    file = tmp_path / "report.html"
    file.write_text(ReportPage().report(Findings.of(Jobs([view, other], problems=[HOSTILE]))))

    reader = look(file.as_uri())

    expect(reader.page.locator("pre.log")).to_contain_text("window.pwned=1")
    assert reader.page.evaluate("window.pwned") is None
    assert reader.page.locator("script, img").count() == 0
    reader.check()


def test_a_thousand_jobs_are_there_in_a_second(look: Look, tmp_path: Path) -> None:
    views = [job_view(f"job-{n:04}", result=SUCCEEDED, began=BEGAN + 60 * n, name="digits") for n in range(1000)]
    file = tmp_path / "report.html"
    file.write_text(ReportPage().report(Findings.of(Jobs(views))))

    reader = look(file.as_uri())

    loaded = reader.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    assert file.stat().st_size < 1_500_000
    assert 0 < loaded < 3000  # a slow machine's; it takes a fraction of a second
    reader.check()
