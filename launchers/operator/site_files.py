"""What one site has on disk of its jobs. Everything here only reads: nothing is made, mended or locked for long."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from flcore.config.strict_json import load_json
from flcore.disk.journal_file import as_object, open_journal, whole_lines_of
from flcore.disk.journal_reader import JournalReader
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_file, is_folder, is_there
from flcore.disk.state_dir import StateDir
from flcore.errors import ConfigError
from flcore.fl_constant import JobConstants, JobMetaKey
from flcore.job_meta import is_identifier
from flcore.observers.job_history import JobHistory, SiteHistory
from flcore.observers.job_journal import JOURNAL_NAME, NAME_LENGTH
from flcore.observers.journal_sieve import ALL, LinesOfJobs, Wanted, job_ids
from flcore.workspace import STATE_DIR

from ..records.job_record import JobIdentity, read_record, unreadable_records
from ..records.known_containers import KnownContainers
from ..records.known_engines import known_engines
from ..records.site_id import read_site_id
from ..settings import EngineAddress

logger = logging.getLogger(__name__)


class FoundRecord(NamedTuple):
    """A launcher's record of a job."""

    path: Path
    fields: Mapping[str, Any]


class FoundFolder(NamedTuple):
    """A job's folder, which has its output: it has ended."""

    job_id: str
    site: str
    name: str
    """In its metadata: anything that its author liked."""
    began_at: float
    """About: when its metadata was written down."""


class SiteFiles:
    """One site's journal and records. All methods raise OSError where they are not ours to read.

    Args:
        workspace: the site's.
        journal: where its journal is, if not where it is by default.
    """

    def __init__(self, workspace: Path, journal: Path | None = None) -> None:
        self.workspace = workspace.absolute()
        self.folder = self.workspace / STATE_DIR
        self.journal = journal or self.folder / JOURNAL_NAME
        self._state = StateDir(self.folder)
        self._known = KnownContainers(self.folder)

    def is_to_be_believed(self) -> bool:
        """Whether its state folder is one, no link, and root's or ours: whoever else has it may write there anything.

        For a site that nobody has named but a container, by its label.
        """
        info = self.folder.lstat()
        return stat.S_ISDIR(info.st_mode) and info.st_uid in (0, os.geteuid())

    def engines(self) -> list[EngineAddress]:
        """Return the engines that this site has used, if it is to be believed; never raises.

        Whoever else has the folder could have root, or us, log in wherever he likes.
        """
        try:
            return known_engines(self.folder) if self.is_to_be_believed() else []
        except OSError:  # which is told by who reads the rest
            return []

    def may_have_used_engines(self) -> bool:
        """Whether it has used one, or does not say it to us; never raises. One of local processes has used none."""
        try:
            return not self.is_to_be_believed() or bool(known_engines(self.folder))
        except OSError:
            return True

    def site_id(self) -> str:
        """Return what the labels of this site's containers carry; empty if it has never launched any."""
        return read_site_id(self.folder)

    def records(self) -> list[FoundRecord]:
        """Return the records of what is left to be done, the oldest first."""
        found = []
        for path in _records_in(self.folder / "jobs"):
            try:
                found.append(FoundRecord(path, read_record(path)))
            except FileNotFoundError:  # its end has come meanwhile
                continue
            except PermissionError:
                raise
            except OSError as error:
                logger.warning("%s: a record that cannot be read is passed over: %s", path, in_words(error))
        return sorted(filter(_is_whole, found), key=lambda record: record.fields["time"])

    def note_of(self, who: JobIdentity) -> Path | None:
        """Return the file by which the site knows a container as its own, beside its records; None if none does."""
        return self._known.note_of(who)

    def unreadable_records(self) -> list[Path]:
        """Return the records that no start of the site could read, and that are kept for somebody to look at."""
        return unreadable_records(self.folder)

    def folders(self, is_asked_for: Callable[[str], bool]) -> list[FoundFolder]:
        """Return what there is of jobs that have ended, by their ids, where nothing else is needed to tell of them."""
        try:
            names = [path.name for path in self.workspace.iterdir() if is_asked_for(path.name)]
        except OSError:
            return []
        found = (_folder_of(self.workspace / name) for name in sorted(names) if is_identifier(name))
        return [folder for folder in found if folder]

    def history(self) -> SiteHistory:
        """Return what the journal tells; all of it is read."""
        return FollowedHistory(self.journal).look()

    def all_runs(self) -> tuple[list[JobHistory], Mapping[str, str]]:
        """Return what the journal tells of each run of each job, and the user of each process, by its id."""
        runs: list[JobHistory] = []
        history = FollowedHistory(self.journal, Wanted(usage=False), runs.append).look()
        return [*runs, *history.jobs.values()], history.users

    def job_ids(self, beginning: str) -> set[str]:
        """Return the ids of the jobs that begin so, by the journal and the records; quicker than what they tell."""
        found = {str(record.fields["job_id"]) for record in self.records()}
        with ExitStack() as stack:
            for file in open_journal(self.journal, stack):
                for _, whole in whole_lines_of(file):
                    found |= job_ids(whole, beginning)
        return {job_id for job_id in found if job_id.startswith(beginning)}

    def is_alive(self, parent_id: str) -> bool:
        """Whether the process of the site that has this id still lives."""
        return is_identifier(parent_id) and self._state.is_alive(parent_id)

    def watched_paths(self) -> list[Path]:
        """Return the file and the folders in which something changes when a job does, if they are ours to read."""
        paths = self.journal, self.folder, self.folder / "jobs"
        return [path for path in paths if os.access(path, os.R_OK, effective_ids=True)]


class FollowedHistory:
    """What one journal tells, as often as it is asked; each time only what is new is read. For one thread at a time.

    Args:
        journal: the newest file.
        wanted: what of it.
        earlier: where runs go, see :class:`SiteHistory`; for one look.
    """

    def __init__(
        self, journal: Path, wanted: Wanted = ALL, earlier: Callable[[JobHistory], object] | None = None
    ) -> None:
        self._earlier = earlier
        self._journal = journal
        self._wanted = wanted
        self._reader = JournalReader(journal, wanted.lines)
        self._history = SiteHistory(earlier=self._earlier)

    def look(self) -> SiteHistory:
        """Return what it tells now: the same object as before, unless all had to be read anew. Raises OSError."""
        self._reader.read(self._start_anew, self._take_in)
        return self._history

    def _start_anew(self) -> None:
        self._history = SiteHistory(earlier=self._earlier)

    def _take_in(self, line: Mapping[str, Any]) -> None:
        if self._wanted.is_met_by(line):
            _take_in(self._history, line, self._journal)


class UnparsedHistory:
    """What one journal tells, at one look, of the jobs of which it is asked to tell. For one thread at a time."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.lines = LinesOfJobs()
        """Those of jobs."""
        self.is_odd = False
        """There are lines that are not as a site writes them, which may be of any job."""
        self._history = SiteHistory()

    def look(self) -> SiteHistory:
        """Read the journal, and return what tells of no job yet. Raises OSError."""
        self.lines, self.is_odd, self._history = LinesOfJobs(), False, SiteHistory()
        JournalReader(self._journal, self.lines.keep).read(lambda: None, self._take_in_another)
        return self._history

    def tell_of(self, job_id: str) -> float:
        """Have the history tell of a job; return when it began, at whatever site last; 0 if that is not known."""
        there, lines = len(self._history.jobs), self.lines.of(job_id)
        for line in chain.from_iterable(lines):
            if (fields := as_object(line)) is not None:
                _take_in(self._history, fields, self._journal)
        count = len(self._history.jobs) - there
        self.is_odd |= count < len(lines)  # none of a site's can be read
        return max((job.began_at for job in islice(reversed(self._history.jobs.values()), count)), default=0.0)

    def knows(self, job_ids: Iterable[str]) -> bool:
        """Whether there are lines of these jobs, for each site that writes more than what jobs have used."""
        sites = len(self.lines.sites) or 1
        return all(len(self.lines.of(job_id)) == sites for job_id in job_ids)

    def knows_all(self) -> bool:
        """Whether there are lines of all jobs, and of none it is told only what it has used. Raises OSError."""
        with ExitStack() as stack:
            files = open_journal(self._journal, stack)
            return all(self.lines.has_all_that_used(whole) for file in files for _, whole in whole_lines_of(file))

    def _take_in_another(self, line: Mapping[str, Any]) -> None:
        self.is_odd |= "job_id" in line
        _take_in(self._history, line, self._journal)


def _take_in(history: SiteHistory, line: Mapping[str, Any], journal: Path) -> None:
    if _names_its_job(line):
        try:
            history.take_in(line)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s: a line that cannot be read is passed over: %r", journal, error)


def _names_its_job(line: Mapping[str, Any]) -> bool:
    """Whether what a line says of its job can stand in a path. Nothing else gets into a journal that a site writes."""
    site, job_id = line.get("site"), line.get("job_id", "no-job")
    return isinstance(site, str) and isinstance(job_id, str) and _can_be_name(site) and _can_be_name(job_id)


@lru_cache(maxsize=1024)
def _can_be_name(text: str) -> bool:
    return is_identifier(text)  # thousands of lines are of one job


def _records_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")
    except FileNotFoundError:
        return []


def _folder_of(path: Path) -> FoundFolder | None:
    """Return a job's folder: one with an app for a site, and the output that this site has kept; else None."""
    try:
        if path.is_symlink():
            return None
        sites = [log.stem for log in path.glob("*.log") if is_identifier(log.stem) and is_file(log)]
        site = next((site for site in sorted(sites) if is_folder(path / f"app_{site}")), None)
        if site is None:
            return None
        meta = path / JobConstants.META_FILE
        began_at = (meta if is_there(meta) else path / f"{site}.log").lstat().st_mtime
        return FoundFolder(path.name, site, _name_in(meta), began_at)
    except OSError:
        return None


def _name_in(meta: Path) -> str:
    try:
        job_meta = load_json(meta, trusted=False)
    except ConfigError:
        return ""
    return str(job_meta.get(JobMetaKey.JOB_NAME, ""))[:NAME_LENGTH] if isinstance(job_meta, Mapping) else ""


def _is_whole(record: FoundRecord) -> bool:
    fields = record.fields
    named = all(is_identifier(fields.get(key)) for key in ("job_id", "site", "parent"))
    return named and isinstance(fields.get("time"), int | float)
