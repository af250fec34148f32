"""The live page over HTTP: what a request gets, and what a listener is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

pytest.importorskip("starlette", reason="of the extra [web]")

from starlette.testclient import TestClient

from launchers.report.access import Access
from launchers.report.live import MOST_KEPT, LivePages, Subject, Update
from launchers.report.query import Query
from launchers.report.server import make_app
from tests.job_views import FAILED, HOSTILE, SUCCEEDED, Jobs, ParsedPage, job_view, running

TOKEN = "a-token-of-some-length"
TIMEOUT = 10

T = TypeVar("T")


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs([running("job-1")], folders=[tmp_path])


@pytest.fixture
def client(jobs: Jobs) -> Iterator[TestClient]:
    """A reader on this host."""
    with reader(jobs, Access()) as client:
        yield client


@pytest.fixture
def stranger(jobs: Jobs) -> Iterator[TestClient]:
    """A reader of a page that needs a token."""
    with reader(jobs, Access(TOKEN)) as client:
        yield client


def reader(jobs: Jobs, access: Access) -> TestClient:
    app = make_app(LivePages(jobs, interval=0.05), access)
    return TestClient(app, base_url="http://127.0.0.1:8090", follow_redirects=False)


# --- what a request gets ---


def test_the_page_shows_the_jobs(client: TestClient) -> None:
    answer = client.get("/")

    assert answer.status_code == 200
    assert ParsedPage(answer.text).texts("h2", class_="summary") == ["job-1: running."]


def test_a_job_has_a_page_of_its_own(client: TestClient, jobs: Jobs) -> None:
    jobs.views.append(job_view("job-2", result=SUCCEEDED))

    page = ParsedPage(client.get("/job/job-2").text)

    assert [found["id"] for found in page.attributes("section", class_="job")] == ["job-job-2"]
    assert page.attributes("main")[0]["data-events"] == "/events/jobs/job-2"


def test_a_job_that_waits_says_for_what(client: TestClient, jobs: Jobs) -> None:
    jobs.views.append(job_view("job-2", states=(), held="waits for approval: flcore approve 1234"))

    page = ParsedPage(client.get("/job/job-2").text)

    assert page.texts("p", class_="note") == ["It waits for approval: flcore approve 1234."]


@pytest.mark.parametrize("path", ["/jobs/job-2", "/jobs/site-1/job-2", "/job/job-2"])
def test_a_jobs_page_has_an_address_for_all_its_sites_and_one_for_each(
    client: TestClient, jobs: Jobs, path: str
) -> None:
    jobs.views += [job_view("job-2", result=SUCCEEDED), job_view("job-2", "site-2", result=SUCCEEDED)]

    page = ParsedPage(client.get(path).text)

    lines = [found["aria-label"].partition(":")[0] for found in page.attributes("svg", class_="line", role="img")]
    assert lines == (["site-1"] if "site-1" in path else ["site-1", "site-2"])


def test_a_job_may_be_called_as_anything_is_here(client: TestClient, jobs: Jobs) -> None:
    jobs.views += [job_view("events", result=SUCCEEDED), job_view("jobs", "events", result=SUCCEEDED)]

    for path in ("/jobs/events", "/jobs/events/jobs"):
        page = ParsedPage(client.get(path).text)
        assert page.attributes("main")[0]["data-events"] == f"/events{path}"


def test_an_address_may_ask_for_some_jobs_only(client: TestClient, jobs: Jobs) -> None:
    jobs.views += [job_view("job-2", result=FAILED, study="brain"), job_view("job-3", result=SUCCEEDED)]

    page = ParsedPage(client.get("/?study=brain&state=failed").text)

    assert [found["id"] for found in page.attributes("tr") if "id" in found] == ["row-job-2"]
    assert page.texts("h2", class_="summary") == ["job-2: failed after 6.0 s (site-1: exit code 3)."]
    assert page.attributes("main")[0]["data-events"] == "/events?state=failed&study=brain"


def test_where_nothing_is_found_the_way_back_is_shown(client: TestClient, jobs: Jobs) -> None:
    jobs.views.append(job_view("job-2", result=FAILED))

    page = ParsedPage(client.get("/?q=nope").text)

    assert page.texts("h2", class_="summary") == ["None of 2 jobs matches."]
    assert page.texts("a", class_="clear", href="/") == ["Clear all"]


def test_what_is_looked_for_does_nothing_to_the_page(client: TestClient, jobs: Jobs) -> None:
    jobs.views.append(job_view("job-2", result=FAILED))

    page = ParsedPage(client.get("/", params={"q": HOSTILE, "site": HOSTILE, "study": HOSTILE}).text)

    assert len(page.attributes("script")) == 1
    assert not page.attributes("img")


@pytest.mark.parametrize("path", ["/job/nope", "/job/nope/events", "/jobs/nope", "/events/jobs/nope"])
def test_a_job_that_nobody_knows_is_not_found(client: TestClient, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert "there is no job 'nope'" in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/events", "/nowhere"])
def test_nothing_can_be_changed(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_a_head_of_the_stream_ends(client: TestClient) -> None:
    answer = client.head("/events")

    assert answer.status_code == 200
    assert not answer.content


@pytest.mark.parametrize("path", ["/", "/nowhere", "/job/nope"])
def test_every_answer_keeps_a_browser_from_doing_more_than_show_it(client: TestClient, path: str) -> None:
    headers = client.get(path).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_may_run_its_own_script_only(client: TestClient) -> None:
    policy = client.get("/").headers["content-security-policy"]

    assert "script-src 'sha256-" in policy
    assert "unsafe" not in policy


def test_another_name_is_refused(client: TestClient) -> None:
    assert client.get("/", headers={"host": "evil.test:8090"}).status_code == 421


def test_another_name_is_refused_even_with_the_token(stranger: TestClient) -> None:
    answer = stranger.get("/", headers={"host": "evil.test", "authorization": f"Bearer {TOKEN}"})

    assert answer.status_code == 421


@pytest.mark.parametrize("path", ["/", "/events", "/job/job-1", "/nowhere"])
def test_without_the_token_nothing_is_shown(stranger: TestClient, path: str) -> None:
    answer = stranger.get(path)

    assert answer.status_code == 401
    assert "job-1" not in answer.text


@pytest.mark.parametrize("value", ["Bearer wrong", "Bearer", "", f"Basic {TOKEN}", f"Bearer {TOKEN}x"])
def test_a_wrong_token_is_refused(stranger: TestClient, value: str) -> None:
    assert stranger.get("/", headers={"authorization": value}).status_code == 401


def test_the_token_in_a_header_opens_the_page(stranger: TestClient) -> None:
    assert stranger.get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_the_token_in_the_address_is_taken_out_of_it_and_a_cookie_stands_for_it(stranger: TestClient) -> None:
    answer = stranger.get(f"/job/job-1?token={TOKEN}")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/job/job-1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert stranger.get("/job/job-1").status_code == 200


def test_what_else_an_address_asks_for_stays_when_the_token_is_taken_out(stranger: TestClient) -> None:
    answer = stranger.get(f"/?state=failed&token={TOKEN}&q=a+b")

    assert answer.headers["location"] == "/?state=failed&q=a+b"


def test_the_token_takes_nobody_to_another_host(stranger: TestClient) -> None:
    answer = stranger.get(f"http://127.0.0.1:8090//evil.test/?token={TOKEN}")

    assert answer.headers["location"] == "/evil.test/"


def test_a_wrong_token_in_the_address_gives_no_cookie(stranger: TestClient) -> None:
    answer = stranger.get("/?token=wrong")

    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_a_made_up_cookie_is_refused(stranger: TestClient) -> None:
    assert stranger.get("/", headers={"cookie": "flcore-session=made-up"}).status_code == 401


# --- what a listener is told ---


def played(play: Callable[[LivePages], Awaitable[T]], jobs: Jobs, interval: float = 0.05) -> T:
    """Return what a play with live pages returns."""

    async def with_pages() -> T:
        pages = LivePages(jobs, interval)
        watching = asyncio.create_task(pages.watch())
        try:
            return await asyncio.wait_for(play(pages), TIMEOUT)
        finally:
            await pages.close()
            await asyncio.wait_for(watching, TIMEOUT)

    return asyncio.run(with_pages())


def told(update: Update) -> dict[str, Any]:
    return dict(json.loads(update.data))


def test_who_knows_nothing_is_told_all(jobs: Jobs) -> None:
    async def play(pages: LivePages) -> Update:
        return await anext(pages.updates(Subject(), ""))

    update = told(played(play, jobs))

    assert update["order"] == ["overview", "job-job-1"]
    assert [change["id"] for change in update["changed"]] == update["order"]


def test_a_job_that_begins_later_is_told_of(jobs: Jobs) -> None:
    async def play(pages: LivePages) -> Update:
        updates = pages.updates(Subject(), (await pages.page()).moment)
        jobs.views.append(job_view("job-2", result=SUCCEEDED))
        return await anext(updates)

    update = told(played(play, jobs))

    assert "row-job-2" in next(change["html"] for change in update["changed"] if change["id"] == "ended")
    assert update["order"] == ["overview", "find", "active", "ended", "more"]


def test_a_change_on_disk_is_told_of_at_once(jobs: Jobs, tmp_path: Path) -> None:
    """The interval is a minute."""
    jobs.views[:] = [job_view("job-1", result=SUCCEEDED)]

    async def play(pages: LivePages) -> Update:
        updates = pages.updates(Subject(), (await pages.page()).moment)
        waiting = asyncio.ensure_future(anext(updates))
        jobs.views[:] = [job_view("job-1", result=SUCCEEDED), job_view("job-2", result=SUCCEEDED)]
        while not waiting.done():
            (tmp_path / "journal.jsonl").write_text("changed")
            await asyncio.wait([waiting], timeout=0.2)
        return waiting.result()

    assert "row-job-2" in played(play, jobs, interval=60).data


def test_what_has_not_changed_is_not_told_again(jobs: Jobs) -> None:
    jobs.views[:] = [job_view("job-1", result=FAILED), job_view("job-2", result=SUCCEEDED)]

    async def play(pages: LivePages) -> Update:
        updates = pages.updates(Subject(), (await pages.page()).moment)
        jobs.views[1] = running("job-2")
        return await anext(updates)

    changed = [change["id"] for change in told(played(play, jobs))["changed"]]

    assert changed == ["overview", "find", "active", "more"]  # and not "failed"


def test_nobody_is_asked_while_nobody_looks(jobs: Jobs, tmp_path: Path) -> None:
    asked: list[int] = []

    class Counted(Jobs):
        def jobs(self) -> list[Any]:
            asked.append(1)
            return super().jobs()

    counted = Counted(jobs.views, folders=[tmp_path])

    async def play(pages: LivePages) -> int:
        await pages.page()
        before = len(asked)
        for number in range(5):
            (tmp_path / "journal.jsonl").write_text(str(number))
            await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0.1)
        return len(asked) - before

    assert played(play, counted) == 0


def test_an_index_that_fails_once_is_asked_again(jobs: Jobs, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Jobs):
        failures = 0

        def jobs(self) -> list[Any]:
            if self.failures:
                self.failures -= 1
                raise OSError("the disk is away")
            return super().jobs()

    failing = Failing([job_view("job-1", result=SUCCEEDED)], folders=[tmp_path])

    async def play(pages: LivePages) -> Update:
        updates = pages.updates(Subject(), "")
        await anext(updates)
        failing.failures = 1
        failing.views.append(job_view("job-2", result=SUCCEEDED))
        return await anext(updates)

    assert "row-job-2" in played(play, failing).data


def test_who_looks_at_some_jobs_is_told_of_these(jobs: Jobs) -> None:
    async def play(pages: LivePages) -> Update:
        subject = Subject(query=Query(state="failed"))
        updates = pages.updates(subject, (await pages.page(subject)).moment)
        jobs.views += [job_view("job-2", result=FAILED), job_view("job-3", result=SUCCEEDED)]
        return await anext(updates)

    update = played(play, jobs)

    assert "row-job-2" in update.data
    assert "row-job-3" not in update.data


def test_of_all_that_was_asked_for_once_not_all_is_remembered(jobs: Jobs) -> None:
    async def play(pages: LivePages) -> list[bool]:
        before = [await pages.page(Subject(query=Query(text=str(number)))) for number in range(MOST_KEPT + 1)]
        after = [await pages.page(Subject(query=Query(text=str(number)))) for number in (MOST_KEPT, 0)]
        return [after[0] is before[-1], after[1] is before[0]]

    assert played(play, jobs, interval=60) == [True, False]


def test_closing_ends_who_waits(jobs: Jobs) -> None:
    jobs.views[:] = [job_view("job-1", result=SUCCEEDED)]

    async def play(pages: LivePages) -> list[Update]:
        moment = (await pages.page()).moment

        async def listen() -> list[Update]:
            return [update async for update in pages.updates(Subject(), moment)]

        listening = asyncio.create_task(listen())
        await asyncio.wait([listening], timeout=0.1)
        await pages.close()
        return await listening

    assert played(play, jobs) == []
