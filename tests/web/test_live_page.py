"""The live page in a real browser, with real jobs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import DESKTOP, PHONE, ROOT, TIMEOUT, Place, Reader, Served, end

Look = Callable[..., Reader]
Serve = Callable[..., Served]

DIGITS = ROOT / "configs" / "jobs" / "digits"
KEEP_WHAT_WAS_SHOWN = """() => {
  window.shown = [];
  const note = () => {
    for (const badge of document.querySelectorAll("section.job h2 .badge")) {
      const word = badge.textContent.trim().split(" ").pop();
      if (window.shown.at(-1) !== word) window.shown.push(word);
    }
  };
  new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
}"""


def started(place: Place, job: Path = DIGITS) -> subprocess.Popen[str]:
    return subprocess.Popen(place.run_args(job), cwd=place.folder, stdout=subprocess.DEVNULL, text=True)


def expect_live(page: Page) -> None:
    expect(page.locator("#connection")).to_have_text("live")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_job_moves_through_its_states_without_a_reload(
    look: Look, serve: Serve, place: Place, size: tuple[int, int]
) -> None:
    reader = look(serve(place).address, size)
    page = reader.page
    expect(page.locator("h2.summary")).to_have_text("No job has run yet.")
    expect_live(page)
    page.evaluate(KEEP_WHAT_WAS_SHOWN)

    running = started(place)
    try:
        job = page.locator("section.job")
        expect(job.locator("h2 .badge")).to_contain_text("running", timeout=1000 * TIMEOUT)
        expect(job.locator("h2 .badge")).to_contain_text("succeeded", timeout=1000 * TIMEOUT)
    finally:
        end([running])

    shown = page.evaluate("window.shown")
    assert shown[-2:] == ["running", "succeeded"]
    expect(page.locator("h2.summary")).to_contain_text(": succeeded after ")
    expect(job.get_by_role("img", name="accuracy over round")).to_be_visible()
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1
    reader.check()


def test_what_was_opened_and_focused_stays_so_in_what_is_rendered_anew(look: Look, serve: Serve, place: Place) -> None:
    job = place.failing_job()
    place.run(job)
    page = look(serve(place).address).page
    expect_live(page)
    before = page.locator("section.job").count()
    job_id = page.locator("section.job").first.get_attribute("id")
    section = page.locator(f"#{job_id}")  # a newer one will stand before it
    summary = section.locator("summary", has_text="What was asked for").first
    summary.focus()
    page.keyboard.press("Enter")

    place.run(job)

    expect(page.locator("section.job")).to_have_count(before + 1)
    expect(summary).to_be_focused()
    expect(section.locator("details[open] pre", has_text="argv").first).to_be_visible()


def test_ctrl_c_ends_it_at_once_whoever_looks(look: Look, serve: Serve, finished: Place) -> None:
    served = serve(finished)
    page = look(served.address).page
    expect_live(page)

    began = time.monotonic()
    status = served.interrupt()

    assert status == 0
    assert time.monotonic() - began < 3
    expect(page.locator("#connection")).to_have_text("not connected, trying again")


def test_a_token_opens_the_page_and_is_not_kept_in_the_address(
    look: Look, serve: Serve, finished: Place, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("a-token-of-some-length")
    served = serve(finished, "--token-file", str(token_file))

    reader = look(f"{served.address}?token=a-token-of-some-length")

    expect_live(reader.page)
    assert reader.page.url == served.address
    assert reader.page.evaluate("document.cookie") == ""
    reader.check()


def test_a_job_has_a_page_of_its_own(look: Look, serve: Serve, finished: Place) -> None:
    served = serve(finished)
    first = look(served.address).page
    job_id = str(first.locator("section.job").last.get_attribute("id")).removeprefix("job-")

    reader = look(f"{served.address}job/{job_id}")

    expect(reader.page.locator("section.job")).to_have_count(1)
    expect_live(reader.page)
    reader.check()
