"""Findings as HTML: by templates that escape whatever they are given. Nothing else here imports jinja2."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from . import words
from .findings import Findings
from .jobs import Job
from .overview import job_row, overview

DETAILED = 20
"""Jobs whose details a page has, if nothing else is said."""
MOST_ROWS = 1000
"""Of the table of all jobs."""
_SITES_SHOWN = 8
_TEMPLATES = Path(__file__).parent / "templates"


class Fragment(NamedTuple):
    """A part of a page, which a live page may put in place of what it was before."""

    id: str
    kind: str
    html: str


class Page:
    """Makes pages of one kind. Safe to use from one thread at a time; remembers what it has drawn.

    Args:
        detailed: how many jobs, the newest, have their details on it.
        links: what a job's id is appended to for a page of its own; empty where there is none.
    """

    def __init__(self, detailed: int = DETAILED, links: str = "") -> None:
        self._detailed = detailed
        self._links = links
        self._style = Markup(_source("style.css"))  # noqa: S704 - ours
        self._script = Markup(_source("live.js"))  # noqa: S704 - ours
        self._drawn: dict[str, tuple[Any, Fragment]] = {}
        self._rows: dict[str, tuple[Job, bool, Markup]] = {}
        self._shown = Findings((), (), (), 0.0)
        self._of_all: list[Fragment] = []

    def fragments(self, findings: Findings) -> list[Fragment]:
        """Return the parts of a page, in order."""
        detailed = findings.jobs[: self._detailed]
        known, self._drawn = self._drawn, {}
        for job in detailed:
            self._drawn[job.job_id] = self._drawn_job(findings, job, known.get(job.job_id))
        if not self._of_all or not _says_the_same(findings, self._shown):
            about = {"detailed": set(self._drawn), "links": self._links}
            jobs = [self._jobs(findings, about)] if len(findings.jobs) > 1 else []
            self._shown, self._of_all = findings, [self._overview(findings, about), *jobs]
        return [*self._of_all, *(fragment for _, fragment in self._drawn.values())]

    def report(self, findings: Findings, title: str = "flcore jobs") -> str:
        """Return a page that needs nothing else, and never changes."""
        return self._whole(findings, self.fragments(findings), title, live=False, policy=self._policy("'none'"))

    def live(self, findings: Findings, fragments: Sequence[Fragment], title: str, events: str, seen: str) -> str:
        """Return a page that gets its changes from ``events``."""
        return self._whole(findings, fragments, title, live=True, events=events, seen=seen, script=self._script)

    def live_policy(self) -> str:
        """Return the Content-Security-Policy of a live page."""
        script = f"{_hash(self._script)}; connect-src 'self'"
        return f"{self._policy(script)}; frame-ancestors 'none'"

    def _policy(self, script: str) -> str:
        # What is ours is known by its hash: were a template ever to let something of a job's through, no browser would
        # run it, or fetch anything for it.
        nothing = "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:"
        return f"{nothing}; style-src {_hash(self._style)}; script-src {script}"

    def _whole(self, findings: Findings, fragments: Sequence[Fragment], title: str, **about: Any) -> str:
        sites = findings.sites
        shown = sites if len(sites) <= _SITES_SHOWN else [f"{len(sites)} sites"]
        template = _templates().get_template("page.html")
        return template.render(
            title=title,
            made=words.moment(findings.now),
            sites=shown,
            style=self._style,
            zone=words.time_zone(),
            fragments=fragments,
            **about,
        )

    def _overview(self, findings: Findings, about: dict[str, Any]) -> Fragment:
        found = overview(findings.jobs, findings.outages, findings.problems, findings.now)
        return Fragment("overview", "overview", self._render("overview.html", overview=found, **about))

    def _jobs(self, findings: Findings, about: dict[str, Any]) -> Fragment:
        known, self._rows = self._rows, {}
        for job in findings.jobs[:MOST_ROWS]:
            self._rows[job.job_id] = _drawn_row(findings, job, known.get(job.job_id), about)
        rows = [row for _, _, row in self._rows.values()]
        left_out = self._left_out(len(findings.jobs))
        return Fragment("jobs", "jobs", self._render("jobs.html", rows=rows, left_out=left_out, **about))

    def _left_out(self, count: int) -> str:
        notes = [f"The newest {MOST_ROWS:,} of {count:,}, the newest first."] if count > MOST_ROWS else []
        if count > self._detailed:
            others = "each has a page of its own." if self._links else "`flcore report JOB` has those of others."
            notes.append(f"The details of the newest {self._detailed} are below; {others}")
        return " ".join(notes)

    def _drawn_job(self, findings: Findings, job: Job, known: tuple[Any, Fragment] | None) -> tuple[Any, Fragment]:
        fingerprint = findings.fingerprint(job)
        if known and known[0] == fingerprint:
            return known
        html = self._render("job.html", job=findings.picture(job))
        return fingerprint, Fragment(f"job-{job.job_id}", "job", html)

    def _render(self, template: str, **about: Any) -> str:
        return Markup(_templates().get_template(template).render(**about))  # noqa: S704 - a template's, so escaped


def _says_the_same(findings: Findings, shown: Findings) -> bool:
    """Whether of all jobs there is nothing else to be said than a moment before."""
    told, before = ((about.outages, about.problems) for about in (findings, shown))
    return findings.jobs is shown.jobs and told == before and not findings.is_moving


def _drawn_row(
    findings: Findings, job: Job, known: tuple[Job, bool, Markup] | None, about: dict[str, Any]
) -> tuple[Job, bool, Markup]:
    """Return a row of the table, and what it is of. One that is known is drawn again if time changes what it says."""
    is_detailed = job.job_id in about["detailed"]
    if known and known[0] is job and known[1] == is_detailed and not job.is_active:
        return known
    parts: Any = _templates().get_template("parts.html").module
    return job, is_detailed, parts.job_row(job_row(job, findings.now), **about)


@cache
def _templates() -> jinja2.Environment:
    """Return our templates, for all pages: each is compiled once."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals["symbols"] = words.SYMBOLS
    return templates


def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
