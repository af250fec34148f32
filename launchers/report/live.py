"""Pages that change: rendered anew, here, when something changes on disk while somebody looks."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .findings import Findings, Index
from .jobs import Grouping
from .page import Fragment, Page, about_findings
from .query import Query

INTERVAL = 2.0
"""Seconds between two looks at what no file tells of: outputs of running jobs, and engines."""
_SHARE = 5
"""Looking takes one part in so many of the time, at most: a journal may be long."""
_KEPT = 60
"""Seconds for which a page is remembered that nobody listens to: who has just got it will ask what changes."""
MOST_KEPT = 64
"""Pages that are remembered at all: an address may ask for anything."""
_SETTLED = 50
_LATEST = 250
"""Milliseconds after the last change, and after the first one, when changes are taken in."""


logger = logging.getLogger(__name__)


class Update(NamedTuple):
    """What has changed on a page since a moment."""

    id: str
    """Which moment it is now: to be shown when asking for what changes next."""
    data: str
    """JSON: the fragments that have ``changed``, the ``order`` of all by their ids, and what the head says ``about``
    them."""


class Subject(NamedTuple):
    """What a page is about: all jobs, or those that are asked for, or one."""

    job: str = ""
    """A job's id, or ``SITE/JOB``; empty for a page of several."""
    query: Query = Query()

    @property
    def events(self) -> str:
        """The address of what changes on its page. No job can be called so that it is another's."""
        return f"/events/jobs/{self.job}" if self.job else self.query.address("/events", page=self.query.page)

    @property
    def title(self) -> str:
        asked = " ".join(filter(None, (self.query.state, self.query.text, self.query.site, self.query.study)))
        return f"{self.job} · flcore" if self.job else f"{asked} · flcore jobs" if asked else "flcore jobs"


class LivePage:
    """One page that somebody looks at. Pages of all jobs share their ``grouping``."""

    def __init__(self, index: Index, subject: Subject = Subject(), grouping: Grouping | None = None) -> None:
        self._index = index
        self._job_ids = [subject.job] if subject.job else []
        self._subject = subject
        self._page = Page(links="/jobs/", query=subject.query)
        self._grouping = grouping or Grouping()
        self._findings = Findings((), (), (), 0.0)
        # A browser that has outlived a page, or this process, asks with a moment of another run: such a one gets all.
        self._run = secrets.token_hex(4)
        self._revision = 0
        self._fragments: dict[str, tuple[int, Fragment]] = {}
        self.readers = 0
        self.asked_at = time.monotonic()

    @property
    def title(self) -> str:
        return self._subject.title

    @property
    def moment(self) -> str:
        """What the page shows now, as an id."""
        return f"{self._run}-{self._revision}"

    @property
    def policy(self) -> str:
        """Its Content-Security-Policy."""
        return self._page.live_policy()

    def refresh(self) -> bool:
        """Look at the jobs, and return whether anything has changed. Blocks. Raises NoSuchJobError."""
        self._findings = Findings.of(self._index, self._job_ids, self._grouping)
        fragments = {fragment.id: fragment for fragment in self._page.fragments(self._findings)}
        known = {key: fragment for key, (_, fragment) in self._fragments.items()}
        if fragments == known and list(fragments) == list(known):
            return False
        self._revision += 1
        self._fragments = {
            key: self._fragments[key] if known.get(key) == fragment else (self._revision, fragment)
            for key, fragment in fragments.items()
        }
        return True

    def html(self) -> str:
        """Return the whole page."""
        fragments = [fragment for _, fragment in self._fragments.values()]
        about = {"title": self.title, "events": self._subject.events, "seen": self.moment}
        return self._page.live(self._findings, fragments, up="/" if self._subject != Subject() else "", **about)

    def since(self, moment: str) -> Update:
        """Return what has changed; all, for a moment that this page does not know."""
        run, _, revision = moment.rpartition("-")
        after = int(revision) if run == self._run and revision.isdecimal() else -1
        changed = [fragment._asdict() for changed, fragment in self._fragments.values() if changed > after]
        told = {"changed": changed, "order": list(self._fragments), "about": about_findings(self._findings)}
        return Update(self.moment, json.dumps(told))


class LivePages:
    """The pages that are looked at. To be used from one event loop, on which :meth:`watch` runs; threads read files."""

    def __init__(self, index: Index, interval: float = INTERVAL) -> None:
        self._index = index
        self._interval = interval
        self._pages: dict[Subject, LivePage] = {}
        self._grouping = Grouping()
        self._changed = asyncio.Condition()
        # One page is read at a time, whoever asks: a page is made for one thread at a time, and however many readers
        # come at once, this host reads no two journals at once for them.
        self._reading = asyncio.Lock()
        self._closing = asyncio.Event()
        self._next_look = 0.0

    async def page(self, subject: Subject = Subject()) -> LivePage:
        """Return a page as it is now. Raises NoSuchJobError."""
        page = self._pages.get(subject) or self._new_page(subject)
        await self._refresh(page)  # before it is kept: whatever job somebody makes up, nothing stays of it
        page = self._pages.setdefault(subject, page)  # another reader's, if that one was faster
        page.asked_at = time.monotonic()
        self._forget_some()
        return page

    def _new_page(self, subject: Subject) -> LivePage:
        return LivePage(self._index, subject, None if subject.job else self._grouping)

    async def updates(self, subject: Subject, moment: str) -> AsyncIterator[Update]:
        """Yield what changes on a page after a moment, until :meth:`close`. Raises NoSuchJobError."""
        page = await self.page(subject)
        page.readers += 1
        try:
            while await self._has_changed(page, moment):
                update = page.since(moment)
                moment = update.id
                yield update
        finally:
            page.readers -= 1
            page.asked_at = time.monotonic()

    async def watch(self) -> None:
        """Keep what is looked at fresh, until :meth:`close`."""
        while not self._closing.is_set():
            paths = await asyncio.to_thread(self._index.watched_paths)
            async for _ in self._hints(paths):
                await self._look()
                # A site that came, or went, changes what is to be watched, which only a new round does.
                if self._is_looked_at() and await asyncio.to_thread(self._index.watched_paths) != paths:
                    break

    async def close(self) -> None:
        """End all that waits here. Idempotent."""
        self._closing.set()
        async with self._changed:
            self._changed.notify_all()

    async def _hints(self, paths: Sequence[Path]) -> AsyncIterator[None]:
        """Yield whenever something may have changed."""
        from watchfiles import awatch

        timeout = int(1000 * self._interval)
        if not paths:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._interval)
            yield
            return
        with suppress(FileNotFoundError):  # gone meanwhile
            async for _ in awatch(
                *paths,
                watch_filter=None,
                debounce=_LATEST,
                step=_SETTLED,
                stop_event=self._closing,
                rust_timeout=timeout,
                yield_on_timeout=True,
                recursive=False,
            ):
                yield

    def _is_looked_at(self) -> bool:
        return any(page.readers for page in self._pages.values())

    def _forget_some(self) -> None:
        """Forget the pages that nobody listens to: after some time, or the earliest ones of too many."""
        now = time.monotonic()
        idle = [(page.asked_at, key) for key, page in self._pages.items() if not page.readers]
        idle.sort(key=lambda each: each[0], reverse=True)
        for number, (asked_at, key) in enumerate(idle):
            if now - asked_at >= _KEPT or number >= MOST_KEPT:
                del self._pages[key]

    async def _look(self) -> None:
        """Refresh what is looked at, and forget what is not any more."""
        self._forget_some()
        if not self._is_looked_at():
            return
        if (wait := self._next_look - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), wait)
        began = time.monotonic()
        # A list of its own: while one page is read, readers may come and go.
        for page in [page for page in self._pages.values() if page.readers]:
            try:
                await self._refresh(page)
            except Exception:  # whatever a file holds, the other pages stay fresh
                logger.exception("%s cannot be brought up to date", page.title)
        self._next_look = time.monotonic() + _SHARE * (time.monotonic() - began)

    async def _refresh(self, page: LivePage) -> None:
        async with self._reading:
            changed = await asyncio.to_thread(page.refresh)
        if changed:
            async with self._changed:
                self._changed.notify_all()

    async def _has_changed(self, page: LivePage, moment: str) -> bool:
        """Wait for a change after a moment; False if there will be none."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._closing.is_set() or page.moment != moment)
        return not self._closing.is_set()
