"""Which jobs there are: what journals and records on disk tell, and what the engines say now, put together."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Self

from flcore.errors import FLCoreError
from flcore.observers.job_history import Outage, SiteHistory
from flcore.observers.journal_sieve import ALL, Wanted
from flcore.plain_text import harmless

from ..container_spec import LABEL_PARENT, LABEL_STATE_DIR
from ..docker_state import GONE
from ..records.known_containers import agrees
from ..records.known_engines import engine_of
from ..runtime.base import ContainerSummary, Runtime
from ..settings import EngineAddress
from .engines import Engines
from .job_view import JobView, Listed, join, view_of_folder
from .last_jobs import tell_of_the_last
from .left_networks import LeftNetwork, left_networks
from .site_files import FollowedHistory, FoundRecord, SiteFiles, UnparsedHistory


class Holding(NamedTuple):
    """A container that a launcher has made, and whose it is."""

    summary: ContainerSummary
    runtime: Runtime
    is_followed: bool
    """A process of its site lives, as far as can be seen from here."""
    is_on_record: bool
    """Its site has a record of it: something is left to be done."""
    is_known: bool
    """Its site has written down that it made it. Else its labels alone say so, which anybody can give it."""
    note: Path | None = None
    """The file that only says so, which is of no use without the container."""


class JobIndex:
    """What the commands, the report and the live page ask. Safe to use from several threads.

    Each time records are read and engines are asked anew, and of the journals what is new; what that does not touch, of
    jobs that have ended, stays as it was.

    It changes nothing, and needs no process of a site. To be closed, which lets go of the engines.

    Args:
        sites: returns the sites that are there now.
        engines: those to be asked; by default none.
        whole_machine: jobs of other sites count, too, which only the engines, or their labels, tell of.
        places: where the sites are looked for, in words.
        wanted: what is wanted of the journals. Of some jobs only, :meth:`jobs` tells of no others, and
            :meth:`outages` of none.
    """

    def __init__(
        self,
        sites: Callable[[], Iterable[SiteFiles]],
        engines: Engines | None = None,
        *,
        whole_machine: bool = False,
        places: str = "no folder",
        wanted: Wanted = ALL,
    ) -> None:
        self._find_sites = sites
        self._engines = engines or Engines(())
        self._whole_machine = whole_machine
        self.places = places
        self._wanted = wanted
        self._followed: dict[tuple[Path, Path], _Followed] = {}
        self._outages: list[Outage] = []
        self._problems: list[str] = []
        self._claims: Sequence[str] = ()
        self._lock = threading.Lock()

    def jobs(self) -> list[JobView]:
        """Return all jobs, in the order in which they began. Engines that do not answer are in :attr:`problems`."""
        with self._lock:
            self._problems = []
            listed = self._list()
            views: list[JobView] = []
            outages: list[Outage] = []
            sites = self._look_at_sites(listed)
            in_use = (engine for site in sites for engine in site.engines_in_use())
            guess_matters = not sites or any(site.files.may_have_used_engines() for site in sites)
            self._problems += self._engines.problems(in_use, guess_matters=guess_matters)
            listed = [one for one in listed if self._is_wanted(one.key[1])]
            known: set[str] = set()
            for site in sites:
                theirs = [one for one in listed if one.site_id == site.id and site.knows(one)]
                known.update(one.summary.id for one in theirs)
                told = site.jobs(theirs)
                views += told
                if self._wanted.last is None:
                    views += site.jobs_in_folders(self._is_wanted, {view.history.job_id for view in told})
                outages += site.followed.history.settled_outages(site.files.is_alive)
            here = {site.id for site in sites}
            claims = [one for one in listed if self._whole_machine or one.site_id in here]
            self._claims = claims_in_words([one for one in claims if one.summary.id not in known])
            self._outages = outages
            views = [view for view in views if self._is_wanted(view.history.job_id)]
            return sorted(views, key=lambda view: view.history.began_at)

    def job_ids(self, beginning: str) -> list[str]:
        """Return the ids of the jobs that begin so, by what the sites have on disk; quicker than :meth:`jobs`."""
        found: set[str] = set()
        for site in self._sites_there([]):
            with suppress(OSError):
                found |= site.job_ids(beginning)
        return sorted(found)

    def holdings(self) -> list[Holding]:
        """Return the containers that launchers have made: of the last runs, and of others."""
        with self._lock:
            self._problems = []
            listed = self._list()
            sites = {site.id: site for site in self._read_sites(listed, None)}
            if any(not sites[one.site_id].has_noted(one) for one in listed if one.site_id in sites):
                sites = {site.id: site for site in self._look_at_sites(listed)}  # perhaps a journal tells of it
            self._problems += self._engines.problems(
                engine for site in sites.values() for engine in site.files.engines()
            )
            mine = [one for one in listed if self._whole_machine or one.site_id in sites]
            return [_holding(one, sites.get(one.site_id)) for one in mine]

    def left_networks(self) -> list[LeftNetwork]:
        """Return the networks of jobs' own of which the sites here, and their engines, have no job any more."""
        with self._lock:
            listed = self._list()
            sites = {site.id: site for site in self._read_sites(listed, None)}
            nonces = {one.summary.nonce for one in listed}
            nonces |= {record.fields.get("nonce", "") for site in sites.values() for record in site.records}
            return list(left_networks(self._engines.answered(), sites, nonces, self._problems))

    def unreadable_records(self) -> list[Path]:
        """Return the records that no start of their site could read, of the sites that are there now."""
        with self._lock:
            found: list[Path] = []
            for site in self._sites_there([]):
                try:
                    found += site.unreadable_records()
                except OSError as error:
                    self._note_unread(site, error)
            return found

    def outages(self) -> Sequence[Outage]:
        """Return when engines did not answer, by the journals, as :meth:`jobs` has found them the last time."""
        return self._outages

    def watched_paths(self) -> Sequence[Path]:
        """Return the folders in which something changes when a job does, of the sites that are there now."""
        with self._lock:
            return [path for site in self._sites_there([]) for path in site.watched_paths()]

    @property
    def problems(self) -> Sequence[str]:
        """What could not be found out the last time, a line each."""
        return self._problems

    @property
    def claims(self) -> Sequence[str]:
        """What only says itself that it is a job's, as :meth:`jobs` has found it the last time: a line, or none."""
        return self._claims

    def asked(self) -> Sequence[str]:
        """Return which engines were asked the last time, and where."""
        with self._lock:
            return self._engines.in_words()

    def close(self) -> None:
        """Let go of the engines. Idempotent."""
        with self._lock:
            self._engines.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_wanted(self, job_id: str) -> bool:
        """Whether a journal was read for this job: of another one it would seem that nobody knows it."""
        return self._wanted.is_met_by({"job_id": job_id})

    def _list(self) -> list[Listed]:
        """Ask each engine once.

        Before the files are read: then what ends meanwhile is told by them, and so is seen to have ended. The other way
        round, a job that ends between the two looks would be on record, and nowhere.
        """
        noted = dict.fromkeys(engine for site in self._sites_there([]) for engine in site.engines())
        return [one for one in self._engines.ask(noted) if one.claims_to_be_ours]

    def _sites_there(self, listed: Iterable[Listed]) -> Iterable[SiteFiles]:
        found = [*self._find_sites()]
        if self._whole_machine:
            found += [site for one in listed if (site := _site_named_by(one))]
        sites: dict[Path, SiteFiles] = {}
        for site in found:  # the first of one folder counts: a config may say of its journal what no label does
            sites.setdefault(site.folder.resolve(), site)
        return sites.values()

    def _look_at_sites(self, listed: Sequence[Listed]) -> list[_SiteNow]:
        """Return what the sites have; of the last jobs only, if more is not wanted, and those can be told."""
        wanted = self._wanted
        sites = self._read_sites(listed, wanted)
        if wanted.last is None:
            return sites
        elsewhere = {*(one.key[1] for one in listed), *(r.fields["job_id"] for site in sites for r in site.records)}
        with suppress(OSError):  # which is told by who reads on
            if tell_of_the_last(wanted.last, [site.followed.unparsed for site in sites], elsewhere):
                return sites
        self._followed = {}
        return self._read_sites(listed, wanted._replace(last=None))

    def _read_sites(self, listed: Iterable[Listed], wanted: Wanted | None) -> list[_SiteNow]:
        """Read what the sites have; of their journals what is wanted, or nothing."""
        found = []
        before, self._followed = self._followed, {}
        for site in self._sites_there(listed):
            key = site.folder, site.journal
            followed = self._followed[key] = before.get(key) or _Followed(site, wanted or self._wanted)
            try:
                site_id, records = site.site_id(), site.records()
                if wanted:
                    followed.look()
                found.append(_SiteNow(site, site_id, records, followed))
            except OSError as error:
                self._note_unread(site, error)
        return found

    def _note_unread(self, site: SiteFiles, error: OSError) -> None:
        why = f"{site.folder} cannot be read: {error.strerror or error}"
        if isinstance(error, PermissionError):
            why += "; its jobs are shown to the user of its site, and to root"
        if why not in self._problems:
            self._problems.append(why)


class _Followed:
    """A site's journal, as far as it was read, and the views of jobs that are over, of which it alone tells."""

    def __init__(self, site: SiteFiles, wanted: Wanted) -> None:
        self.history = SiteHistory()
        self.unparsed = UnparsedHistory(site.journal)
        self._journal = self.unparsed if wanted.last is not None else FollowedHistory(site.journal, wanted)
        self.over: dict[tuple[str, str], JobView] = {}
        """These views, by site and job id."""

    def look(self) -> None:
        """Take in what is new. Raises OSError."""
        before, self.history = self.history, self._journal.look()
        changed = self.history.settle()
        if self.history is not before:
            self.over = {}
        for key in changed:
            self.over.pop(key, None)


class _SiteNow(NamedTuple):
    """What a site has on disk now."""

    files: SiteFiles
    id: str
    records: Sequence[FoundRecord]
    followed: _Followed

    def knows(self, one: Listed) -> bool:
        """Whether the site has written down itself, in its records or its journal, that a container is a job's."""
        who, told = one.who, self.followed.history.containers.get(one.summary.id)
        own = [record.fields for record in self.records if record.fields.get("nonce") == who.nonce]
        if own:
            return all(agrees(fields, who) for fields in own)
        return told == (who.container_name, who.site, who.job_id) or self.files.note_of(who) is not None

    def engines_in_use(self) -> Iterable[EngineAddress]:
        """Return the engines of jobs of which something is left to be done."""
        return filter(None, (engine_of(record.fields) for record in self.records))

    def has_noted(self, one: Listed) -> bool:
        """Whether its records alone tell whether a container is a job's."""
        nonces = {record.fields.get("nonce") for record in self.records}
        return one.summary.nonce in nonces or self.files.note_of(one.who) is not None

    def jobs(self, listed: Iterable[Listed]) -> list[JobView]:
        """Return the site's jobs, by what it has, and by its containers."""
        records = {(record.fields["site"], record.fields["job_id"]): record for record in self.records}
        containers: dict[tuple[str, str], list[Listed]] = defaultdict(list)
        for one in listed:
            containers[one.key].append(one)
        told_elsewhere = {**records, **containers}
        known = self.followed.over
        return [
            view
            if (view := known.get(key)) and key not in told_elsewhere
            else self._view(key, records.get(key), containers.get(key, ()))
            for key in {**self.followed.history.jobs, **told_elsewhere}
        ]

    def jobs_in_folders(self, is_wanted: Callable[[str], bool], known: Set[str]) -> list[JobView]:
        """Return those jobs, beside what is known, of which nothing but their folders is left."""
        folders = self.files.folders(lambda name: name not in known and is_wanted(name))
        return [view_of_folder(folder, self.files.workspace) for folder in folders]

    def _view(self, key: tuple[str, str], record: FoundRecord | None, listed: Sequence[Listed]) -> JobView:
        told = self.followed.history.jobs.get(key)
        view = join(told, record, listed, self.files.is_alive, self.files.workspace)
        if not record and not listed and not view.is_active:  # what is lost stays so, too: no dead process comes back
            self.followed.over[key] = view
        return view


def _holding(one: Listed, site: _SiteNow | None) -> Holding:
    nonce = one.summary.nonce
    if site is None or not site.knows(one):
        return Holding(one.summary, one.runtime, is_followed=False, is_on_record=False, is_known=False)
    record = next((record for record in site.records if record.fields.get("nonce") == nonce), None)
    parents = {one.labels[LABEL_PARENT], record.fields["parent"] if record else ""}
    is_followed = any(map(site.files.is_alive, parents))
    note = None if record else site.files.note_of(one.who)
    return Holding(one.summary, one.runtime, is_followed, record is not None, is_known=True, note=note)


def claims_in_words(claims: Sequence[Listed]) -> list[str]:
    """Say in one line what only says itself that it is a job's; nothing if there is nothing such.

    What has gone since it was listed is passed over: what it was of may have ended, and be forgotten.
    """
    there = [one for one in claims[:_MOST_LOOKED_AT] if not _is_gone(one)] + [*claims[_MOST_LOOKED_AT:]]
    if not there:
        return []
    named = ", ".join(harmless(one.summary.name) for one in there[:_MOST_NAMED])
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    what = claim(*(one.runtime for one in there))
    return [f"known as a job's by no site that can be read here, and so left alone: {named}{more}: {what}"]


def claim(*runtimes: Runtime) -> str:
    """Say what becomes of a container, of one of these, that only says itself that it is a job's."""
    removed_by = " or ".join(f"{command} rm" for command in sorted({runtime.command for runtime in runtimes}))
    return (
        "labels alone say that it is a job's, and anybody can give those; if its site is elsewhere, name that by "
        f"--site or --workspace, as a user who may read it; if it is of no use, remove it by: {removed_by}"
    )


_MOST_LOOKED_AT = 16
_MOST_NAMED = 5


def _is_gone(one: Listed) -> bool:
    try:
        return one.runtime.inspect(one.summary.id) == GONE
    except FLCoreError:
        return False


def _site_named_by(one: Listed) -> SiteFiles | None:
    """Return the site whose state folder a container's label names, if it is here and says so itself."""
    folder = Path(one.labels.get(LABEL_STATE_DIR, ""))
    if not folder.is_absolute():
        return None
    site = SiteFiles(folder.parent)
    try:
        return site if site.folder == folder and site.is_to_be_believed() and site.site_id() == one.site_id else None
    except (OSError, ValueError):
        return None
