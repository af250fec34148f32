"""Jobs as an index tells of them, for tests of what is shown of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from flcore import JobResult, JobReturnCode
from flcore.observers.job_history import JobHistory, Outage, StateEntry
from launchers.operator.job_view import JobView

BEGAN = 1_700_000_000.0
SUCCEEDED = JobResult(JobReturnCode.SUCCESS, exit_code=0, started_at=BEGAN + 1, finished_at=BEGAN + 6)
FAILED = JobResult(JobReturnCode.EXECUTION_ERROR, exit_code=3, error="exit code 3: Traceback | ValueError: no data")
VOID_ELEMENTS = frozenset({"meta", "link", "br", "hr", "img", "input"})
BLOCKS = frozenset({"div", "dd", "dt", "h2", "h3", "li", "p", "td", "th"})
HOSTILE = (
    "</script></style><script>window.pwned=1</script><img src=x onerror=window.pwned=1>\"'\x1b[31m\nfake line \u202e"
)


def job_view(
    job_id: str = "job-1",
    site: str = "site-1",
    *,
    result: JobResult | None = None,
    states: Sequence[tuple[str, float]] = (("created", 0.5), ("running", 1.0), ("exited", 6.0)),
    began: float = BEGAN,
    workspace: Path | None = None,
    **history: Any,
) -> JobView:
    """Return a run whose launch began at a time, and whose container entered states so many seconds later."""
    entries = [StateEntry(state, began + after) for state, after in states]
    told = JobHistory(job_id, site, launching_at=began, states=entries, result=result, **history)
    return JobView(told, entries[-1].state if entries else "launching", "launcher", workspace)


def running(job_id: str = "job-1", site: str = "site-1", **history: Any) -> JobView:
    """Return a run that is under way."""
    return job_view(job_id, site, states=(("created", 0.5), ("running", 1.0)), **history)


@dataclass
class Jobs:
    """An index of jobs that a test makes up."""

    views: list[JobView] = field(default_factory=list)
    found_outages: list[Outage] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)

    def jobs(self) -> list[JobView]:
        return list(self.views)

    def outages(self) -> Sequence[Outage]:
        return list(self.found_outages)

    def watched_paths(self) -> Sequence[Path]:
        return list(self.folders)


class ParsedPage(HTMLParser):
    """What a browser would make of a page: its elements, each with its attributes and all its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attrs}, list[str]())
        self.elements.append(element)
        if tag not in VOID_ELEMENTS:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, []))

    def handle_endtag(self, tag: str) -> None:
        if tag in BLOCKS:
            self.handle_data(" ")
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        """Return the texts of the elements that have these attributes; ``class_`` is one of its classes."""
        return [" ".join("".join(texts).split()) for _, _, texts in self._found(tag, attributes)]

    def attributes(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [found for _, found, _ in self._found(tag, attributes)]

    def _found(self, tag: str, wanted: dict[str, str]) -> list[tuple[str, dict[str, str], list[str]]]:
        return [element for element in self.elements if element[0] == tag and _has(element[1], wanted)]


def _has(attributes: dict[str, str], wanted: dict[str, str]) -> bool:
    wanted = dict(wanted)
    one_class = wanted.pop("class_", None)
    is_of_class = one_class is None or one_class in attributes.get("class", "").split()
    return is_of_class and all(attributes.get(name) == value for name, value in wanted.items())
