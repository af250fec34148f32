"""Findings as HTML: by templates that escape whatever they are given. Nothing else here imports jinja2."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from . import words
from .charts import COLORS
from .findings import Findings
from .jobs import Job
from .listing import Group, Listing
from .overview import Overview, overview
from .query import ORDERS, STATE_OF_KIND, Query
from .strip import end_of

DETAILED = 20
"""Jobs whose details a page has, if nothing else is said."""
_SITES_SHOWN = 8
_STATES_IN = {"active": ("active",), "failed": ("failed", "lost"), "ended": ("succeeded", "aborted", "untold")}
"""The states that each table of a file shows."""
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
        links: what a job's id, or SITE/JOB, is appended to for a page of its own; empty where there is none, as in a
            file. Where there is one, only a job that is alone has its details here.
        query: which jobs are in its tables.
    """

    def __init__(self, detailed: int = DETAILED, links: str = "", query: Query = Query()) -> None:
        self._detailed = detailed
        self._links = links
        self._query = query
        self._style = Markup(_source("style.css"))  # noqa: S704 - ours
        self._script = Markup(_source("live.js"))  # noqa: S704 - ours
        self._drawn: dict[str, tuple[Any, Fragment]] = {}
        self._shown = Findings((), (), (), 0.0)
        self._of_all: list[Fragment] = []

    def fragments(self, findings: Findings) -> list[Fragment]:
        """Return the parts of a page, in order."""
        detailed = findings.jobs[: self._details_of(len(findings.jobs))]
        known, self._drawn = self._drawn, {}
        for job in detailed:
            self._drawn[job.job_id] = self._drawn_job(findings, job, known.get(job.job_id))
        if not self._of_all or not _says_the_same(findings, self._shown):
            self._shown, self._of_all = findings, list(self._about_all(findings))
        return [*self._of_all, *(fragment for _, fragment in self._drawn.values())]

    def _details_of(self, count: int) -> int:
        if not self._links:
            return self._detailed
        return 1 if count == 1 and self._query == Query() else 0

    def report(self, findings: Findings, title: str = "flcore jobs") -> str:
        """Return a page that needs nothing else, and never changes."""
        return self._whole(findings, self.fragments(findings), title, live=False, up="", policy=self._policy("'none'"))

    def live(self, findings: Findings, fragments: Sequence[Fragment], title: str, **about: str) -> str:
        """Return a page that gets its changes from ``events``, has ``seen`` a moment, and links ``up`` if not empty."""
        return self._whole(findings, fragments, title, live=True, script=self._script, **about)

    def live_policy(self) -> str:
        """Return the Content-Security-Policy of a live page."""
        script = f"{_hash(self._script)}; connect-src 'self'"
        return f"{self._policy(script)}; frame-ancestors 'none'"

    def _policy(self, script: str) -> str:
        # What is ours is known by its hash: were a template ever to let something of a job's through, no browser would
        # run it, or fetch anything for it.
        forms = "'self'" if self._links else "'none'"
        nothing = f"default-src 'none'; base-uri 'none'; form-action {forms}; img-src data:"
        return f"{nothing}; style-src {_hash(self._style)}; script-src {script}"

    def _whole(self, findings: Findings, fragments: Sequence[Fragment], title: str, **more: Any) -> str:
        template = _templates().get_template("page.html")
        return template.render(
            title=title,
            about=about_findings(findings),
            style=self._style,
            zone=words.time_zone(),
            fragments=fragments,
            **more,
        )

    def _about_all(self, findings: Findings) -> Iterator[Fragment]:
        """Yield what is said of all jobs, or of those that are asked for."""
        found = self._query.found(findings.jobs)
        about = {
            "detailed": set(self._drawn),
            "links": self._links,
            "query": self._query,
            "total": len(findings.jobs),
        }
        told = overview(found, findings.outages, findings.problems, findings.now, len(findings.jobs))
        details = self._detailed if not self._links and len(found) > self._detailed else None
        is_of_one = len(found) == len(findings.jobs) == 1
        yield self._fragment("overview", "overview", overview=told, details=details, is_of_one=is_of_one, **about)
        if len(findings.jobs) > 1:
            listed = Listing(self._query, findings.now, is_file=not self._links).groups(found)
            yield self._finder(findings, told, listed, about)
            yield from (self._fragment(group.id, "jobs", group=group, **about) for group in listed)
        if told.outages or len(found) > 1:
            yield self._fragment("more", "more", overview=told, is_of_many=len(found) > 1, **about)

    def _finder(self, findings: Findings, told: Overview, listed: Sequence[Group], about: dict[str, Any]) -> Fragment:
        """Return by what jobs are found: their states, and, where somebody answers, a form."""
        anchors = {state: group.id for group in listed for state in _STATES_IN.get(group.id, ())}
        studies = sorted({job.study for job in findings.jobs} - {""})
        states = [(kind, word, count, STATE_OF_KIND[kind]) for kind, word, count in told.counts]
        asked = {"states": states, "sites": findings.sites, "studies": studies, "orders": ORDERS, "anchors": anchors}
        return self._fragment("find", "find", **asked, **about)

    def _fragment(self, id_: str, kind: str, **about: Any) -> Fragment:
        return Fragment(id_, kind, self._render(f"{kind}.html", **about))

    def _drawn_job(self, findings: Findings, job: Job, known: tuple[Any, Fragment] | None) -> tuple[Any, Fragment]:
        fingerprint = findings.fingerprint(job)
        if known and known[0] == fingerprint:
            return known
        html = self._render("job.html", job=findings.picture(job), links=self._links)
        return fingerprint, Fragment(f"job-{job.job_id}", "job", html)

    def _render(self, template: str, **about: Any) -> str:
        return Markup(_templates().get_template(template).render(**about))  # noqa: S704 - a template's, so escaped


def about_findings(findings: Findings) -> list[str]:
    """Return what the head of a page says: of when it is, and of which sites."""
    sites = findings.sites
    return [words.moment(findings.now), *(sites if len(sites) <= _SITES_SHOWN else [f"{len(sites)} sites"])]


def _says_the_same(findings: Findings, shown: Findings) -> bool:
    """Whether of all jobs there is nothing else to be said than a moment before."""
    told, before = ((about.outages, about.problems, end_of(about.now)) for about in (findings, shown))
    return findings.jobs is shown.jobs and told == before and not findings.is_moving


def _address_of(job: Job | None, detailed: set[str], links: str) -> str:
    """Return where there is more of a job; empty if it is none."""
    if job is None:
        return ""
    if job.job_id in detailed:
        return f"#job-{job.job_id}"
    return f"{links}{job.path}" if links else f"#row-{job.job_id}"


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
    templates.globals |= {"symbols": words.SYMBOLS, "shapes": words.SHAPES, "colors": COLORS}
    templates.globals |= {"address_of": _address_of, "plain": Query()}
    return templates


@cache
def _source(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
