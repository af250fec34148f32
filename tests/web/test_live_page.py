"""The live page in a real browser, with real jobs."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

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


AT_REST = """async (element) => {
    for (let last = null; ;) {
        const top = element.getBoundingClientRect().top;
        if (top === last) return top;
        last = top;
        for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
    }
}"""


def top_of(element: Locator) -> float:
    """Return where in the window it begins, when nothing scrolls any more."""
    return float(element.evaluate(AT_REST))


def the_only_job(page: Page) -> str:
    return str(page.locator("section.job").get_attribute("id")).removeprefix("job-")


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
    front = look(serve(place).address).page
    expect_live(front)
    running = started(place)
    try:
        front.locator("section.job").wait_for()
        page = look(front.url + "jobs/" + the_only_job(front), (1280, 300)).page
        expect_live(page)
        summary = page.locator("summary", has_text="What was asked for").first
        summary.evaluate("(element) => element.focus({ preventScroll: true })")  # else it scrolls there smoothly
        page.keyboard.press("Enter")
        summary.evaluate("(element) => element.scrollIntoView({ behavior: 'instant' })")
        before = top_of(summary)
        expect(page.locator("section.job h2 .badge")).to_contain_text("succeeded", timeout=1000 * TIMEOUT)
    finally:
        end([running])

    expect(summary).to_be_focused()
    expect(page.locator("details[open] pre", has_text="argv").first).to_be_visible()
    assert top_of(summary) == pytest.approx(before, abs=2)  # though curves have come above it


def test_a_job_that_ends_moves_to_another_table_and_who_is_at_its_link_goes_with_it(
    look: Look, serve: Serve, place: Place
) -> None:
    place.run(place.failing_job())
    page = look(serve(place).address).page
    expect_live(page)
    running = started(place)
    try:
        link = page.locator("#active tbody a")
        link.wait_for(timeout=1000 * TIMEOUT)
        row = page.locator("#active tbody tr").get_attribute("id")
        link.focus()
        expect(page.locator("#ended tbody tr")).to_have_count(1, timeout=1000 * TIMEOUT)
    finally:
        end([running])

    expect(page.locator(f"#ended #{row} a")).to_be_focused()
    expect(page.locator("#active")).to_contain_text("Nothing runs now.")
    assert page.evaluate("performance.getEntriesByType('navigation').length") == 1


def test_what_is_being_typed_stays_when_a_job_begins(look: Look, serve: Serve, place: Place) -> None:
    job = place.failing_job()
    place.run(job)
    place.run(job)
    page = look(serve(place).address).page
    expect_live(page)
    page.get_by_role("searchbox").press_sequentially("brok")

    place.run(job)

    expect(page.locator("#failed tbody tr")).to_have_count(3)
    page.keyboard.type("en")
    expect(page.get_by_role("searchbox")).to_have_value("broken")


def test_what_is_looked_for_stands_in_a_short_address(look: Look, serve: Serve, finished: Place) -> None:
    reader = look(serve(finished).address)
    page = reader.page
    page.get_by_role("searchbox").fill("no data")
    page.get_by_role("button", name="Show").click()

    expect(page.locator("#failed tbody tr")).to_have_count(1)
    expect(page.locator("#failed .last-line")).to_contain_text("ValueError: no <script>data</script>")
    assert page.url.endswith("/?q=no+data")
    expect_live(page)
    reader.check()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("query", ["", "?state=failed", "?state=all&sort=longest", "?q=nothing-is-called-so"])
def test_each_view_of_the_jobs_is_well_made(
    look: Look, serve: Serve, finished: Place, query: str, size: tuple[int, int]
) -> None:
    reader = look(serve(finished).address + query, size)
    expect_live(reader.page)
    reader.check()


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


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_job_has_a_page_of_its_own(look: Look, serve: Serve, finished: Place, size: tuple[int, int]) -> None:
    served = serve(finished)
    link = look(served.address).page.locator("#failed tbody a").first.get_attribute("href")

    reader = look(f"{served.address}{str(link)[1:]}", size)

    expect(reader.page.locator("section.job")).to_have_count(1)
    expect(reader.page.locator(".failure").first).to_contain_text("ValueError: no <script>data</script>")
    expect_live(reader.page)
    reader.check()


def test_a_job_at_one_site_has_a_page_of_its_own(look: Look, serve: Serve, finished: Place) -> None:
    served = serve(finished)
    job = str(look(served.address).page.locator("#failed tbody a").first.get_attribute("href")).rpartition("/")[2]

    reader = look(f"{served.address}jobs/site-1/{job}")

    assert reader.page.locator(".run .row-name").all_inner_texts() == ["site-1 ✗ failed"]
    expect_live(reader.page)
    reader.check()
