"""Finds again what a dead process of this site has left: the jobs on record, and containers that no record tells of."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial

from flcore.disk.os_errors import in_words
from flcore.errors import RuntimeUnavailableError

from ..container_spec import LABEL_JOB_ID, LABEL_LAUNCHER, LABEL_PARENT, LABEL_SITE, LABEL_SITE_ID, LABEL_STUDY
from ..docker_state import TERMINAL_STATES
from ..records.job_record import JobIdentity, JobRecord, RecordStore
from ..records.known_containers import KnownContainers
from ..records.known_job import KnownJob, known_job
from ..records.told import TOLD_END_ID, Told
from ..runtime.base import ContainerSummary, Runtime
from ..settings import IGNORE, STOP, JobSettings
from ..tracking.state_tracker import StateTracker
from ..tracking.tracked_job import JobHooks, TrackedJob
from ..tracking.worker_loop import retry_delay

logger = logging.getLogger(__name__)

START_PATIENCE = 5.0
"""Seconds for which threads are tried to be started that cannot be now."""
_INTERRUPTED_LAUNCH = "the site, whose process died before the job was started"


class JobRecovery:
    """Takes over jobs for one launcher. All methods may be called from any thread.

    Args:
        launcher: its name.
        store: the site's records.
        jobs: the jobs that the launcher keeps, by nonce; those that are found are added.
        hooks: makes a job's hooks, from its id and record, and on whose request it is ended if it never started.
        on_recovered: called with each job that was found, before anything else is told of it.
        settings: see there.
    """

    def __init__(
        self,
        launcher: str,
        store: RecordStore,
        jobs: dict[str, TrackedJob],
        hooks: Callable[[str, JobRecord | None, str], JobHooks],
        on_recovered: Callable[[TrackedJob], None],
        settings: JobSettings,
    ) -> None:
        self._launcher = launcher
        self._store = store
        self._jobs = jobs
        self._hooks = hooks
        self._on_recovered = on_recovered
        self._settings = settings
        self._ignored: set[str] = set()
        self._failures = 0
        """How often the records could not be taken over."""
        self._is_taking_over = False
        """Meanwhile a container may be that of a record which is just being read."""

    def take_over(self, tracker: StateTracker) -> None:
        """Take over the jobs on record of processes that are dead, and have the tracker look for what is not.

        Nothing is done for a site that has no records, not even asked of an engine. Where a disk refuses, it is tried
        again, in the pool, until the tracker is closed. Raises RuntimeUnavailableError if no thread can be started for
        that; then nothing was done.
        """
        if not self._store.exists:
            return
        self._is_taking_over = True
        # Before a record is taken from its dead owner: whoever has it must follow its job.
        tracker.start(START_PATIENCE)
        try:
            self._store.open()
            records = self._store.take_over(self._launcher)
        except OSError as error:
            delay = retry_delay(self._failures)
            level = logging.DEBUG if self._failures else logging.ERROR
            self._failures += 1
            logger.log(
                level, "the jobs of earlier processes cannot be found, will be in %g s: %s", delay, in_words(error)
            )
            tracker.ask_later(delay, partial(self.take_over, tracker))
            return
        KnownContainers(self._store.folder).forget_what_was_never_made()
        for record in records:
            try:
                self._take_over(record, tracker)
            except Exception:  # it costs this job only
                about = {key: record.fields[key] for key in ("site", "job_id")}
                logger.exception("%s: its job cannot be taken over", record.path, extra=about)
        self._is_taking_over = False
        tracker.sweep()

    def deal_with(self, unknown: list[ContainerSummary], runtime: Runtime, tracker: StateTracker) -> bool:
        """Adopt, stop or ignore those of the containers, listed but not tracked, that are orphans.

        Return whether that must be tried again.
        """
        if self._is_taking_over:
            return True
        again = False
        for summary in unknown:
            try:
                again |= self._is_too_young(summary, runtime, tracker)
            except RuntimeUnavailableError:
                raise  # so will be what is asked for the others
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are dealt with
                about = {"container_name": summary.name, "container_id": summary.id}
                what = "cannot be dealt with, will be tried again"
                logger.warning("container %s: %s: %r", summary.name, what, error, extra=about)
                again = True
        return again

    def _is_too_young(self, summary: ContainerSummary, runtime: Runtime, tracker: StateTracker) -> bool:
        """Deal with a container, unless it may be too young to be an orphan."""
        if not self._is_orphan(summary):
            return False
        # The list is older than this. A young container may be one whose launcher, in this or another process, has its
        # id not yet: it has asked for it, and will find it by its nonce.
        seen = runtime.inspect(summary.id)
        if seen.created_at is None:
            return False
        if time.time() - seen.created_at < self._settings.creation_grace:
            return True
        if not self._is_known(summary):
            self._leave(summary, "says by its labels that it is a job's of this site, which knows nothing of it")
        elif self._settings.keep and seen.state in TERMINAL_STATES:
            self._ignored.add(summary.id)
        elif self._settings.orphans == IGNORE:
            self._leave(summary, "is no known job's")
        else:
            self._adopt(summary, tracker)
        return False

    def _take_over(self, record: JobRecord, tracker: StateTracker) -> None:
        record, known = self._read(record)
        job = TrackedJob(known.who, self._hooks(known.who.job_id, record, _INTERRUPTED_LAUNCH), known.told)
        if known.end_request:
            job.restore_end_request(known.end_request)
        job.output_is_kept = known.output_is_kept
        self._add(job)  # told first: whatever comes of it is told of a job that the site's components know
        # The record says how far it had come: its end was seen, so nobody need be asked; it had a container; or the
        # engine may have been asked for one, and that may appear as long as the engine may take for it.
        if known.seen:
            tracker.restore(job, known.seen, known.output)
        elif known.who.container_id:
            tracker.watch(job)
        else:
            tracker.expect(job, asked_ago=max(0.0, time.time() - known.asked_at))

    def _read(self, record: JobRecord) -> tuple[JobRecord, KnownJob]:
        """Return what a record says; what can be found out anew, where the rest cannot be read."""
        try:
            return record, known_job(record.fields)
        except ValueError as error:
            record = self._store.begin_anew(record, error)
            return record, known_job(record.fields)

    def _is_orphan(self, summary: ContainerSummary) -> bool:
        """Whether a container is this launcher's, and none that it or another living process keeps."""
        labels, parent = summary.labels, summary.labels.get(LABEL_PARENT, "")
        if labels.get(LABEL_SITE_ID) != self._store.site_id or labels.get(LABEL_LAUNCHER) != self._launcher:
            return False
        if summary.nonce in self._jobs or summary.id in self._ignored:
            return False
        # Another living process of this site keeps its own. One with our id and no record is left of a launch of ours
        # that gave up while the engine did not answer.
        return parent == self._store.parent_id or not self._store.is_alive(parent)

    def _is_known(self, summary: ContainerSummary) -> bool:
        """Whether the site has written down that it made a container: labels can be anybody's."""
        who, known = _identity_of(summary), KnownContainers(self._store.folder)
        return known.note_of(who) is not None or known.are_told_of(who)

    def _leave(self, summary: ContainerSummary, why: str) -> None:
        self._ignored.add(summary.id)
        about = {"container_name": summary.name, "container_id": summary.id}
        logger.warning("container %s (%s) %s; it is left alone", summary.name, summary.id[:12], why, extra=about)

    def _adopt(self, summary: ContainerSummary, tracker: StateTracker) -> None:
        who = _identity_of(summary)
        told = Told(told_end_id=KnownContainers(self._store.folder).end_id_of(who))
        try:
            record = self._begin_record(who, told)
        except FileExistsError:  # another process was faster
            self._ignored.add(summary.id)
            return
        job = TrackedJob(who, self._hooks(who.job_id, record, _INTERRUPTED_LAUNCH), told)
        if self._settings.orphans == STOP:
            job.request_end("the site, which had no record of it ('orphans')", time.time())
        logger.warning("%s: an orphan", who)
        self._add(job)
        tracker.watch(job)

    def _begin_record(self, who: JobIdentity, told: Told) -> JobRecord | None:
        """Write down that we have an orphan now; None where the disk refuses: the next process finds it as we have.

        What was told of it stands in the same line, for with that line the record goes which has said so before.

        Raises FileExistsError if another process has it already.
        """
        try:
            return self._store.add(self._launcher, who, **{TOLD_END_ID: told.told_end_id})
        except FileExistsError:
            raise
        except OSError as error:
            logger.warning("%s: that it was found cannot be written down: %s", who, in_words(error))
            return None

    def _add(self, job: TrackedJob) -> None:
        self._jobs[job.identity.nonce] = job
        logger.info("%s: recovered", job.identity)
        self._on_recovered(job)


def _identity_of(summary: ContainerSummary) -> JobIdentity:
    job_id, site, study = (summary.labels.get(label, "") for label in (LABEL_JOB_ID, LABEL_SITE, LABEL_STUDY))
    return JobIdentity(job_id, site, summary.name, summary.id, summary.nonce, study)
