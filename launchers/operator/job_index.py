"""Which jobs there are: what journals and records on disk tell, and what the engines say now, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flcore.job_history import JobHistory, Outage

from ..runtime.base import ContainerSummary, Runtime


@dataclass(slots=True)
class JobView:
    """All that is known of the last run of one job at one site."""

    history: JobHistory
    """From the journal; where there is none, made from the record and the container."""
    state: str
    """Docker's; or ``launching``: there is no container yet; or ``lost``: nobody follows it, and it is nowhere."""
    launcher: str = ""
    workspace: Path | None = None
    """The site's; None where only the engine knows of the site."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """The launcher's own; empty when nothing is left to be done."""
    container: ContainerSummary | None = None
    """What the engine lists; None if it has none, or does not answer."""
    runtime: Runtime | None = None
    """Of that engine."""
    has_parent: bool | None = None
    """Whether a process of the site follows the job; None where that cannot be told."""

    @property
    def is_active(self) -> bool:
        """Whether its end is yet to come, or yet to be seen."""
        return self.history.result is None and self.state != "lost"

    @property
    def log_path(self) -> Path | None:
        """Where its output is kept after its end."""
        who = self.history
        return self.workspace / who.job_id / f"{who.site}.log" if self.workspace else None


class Index(Protocol):
    """What the commands, the report and the live page ask. Reads anew each time; safe to use from several threads."""

    def jobs(self) -> list[JobView]:
        """Return all jobs, in the order in which they began. Engines that do not answer are in :attr:`problems`."""
        ...

    def outages(self) -> Sequence[Outage]:
        """Return when engines did not answer, by the journals."""
        ...

    def watched_paths(self) -> Sequence[Path]:
        """Return the files and folders in which something changes when a job does."""
        ...

    @property
    def problems(self) -> Sequence[str]:
        """What could not be found out the last time, a line each."""
        ...
