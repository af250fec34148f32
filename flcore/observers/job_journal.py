"""What has happened to a site's jobs, on disk: one JSON object per line, for whoever asks later.

::

    <workspace>/.flcore/journal.jsonl      the newest lines
    <workspace>/.flcore/journal.jsonl.1    older ones; .2 still older

Each line has an ``event``, the ``time`` when it happened (seconds since the epoch), and the ``site``; what belongs to a
job has its ``job_id``.

==================  ====================================================================================
event               further fields
==================  ====================================================================================
opened              a process of the site begins to write: ``parent``, ``user`` who runs it, ``version`` of flcore
launching           ``name``, ``study`` and ``submitter`` by the job's metadata, ``parent``: BEFORE_JOB_LAUNCH was fired
held                ``reason``: the launch waits for that, and begins anew
launched            ``request``: what the runtime was asked for, secrets masked; ``engine``: the address; ``image_id``:
                    what the image's name meant; ``datasets``: the names of those that the job sees; where a JobApproval
                    asks, ``fingerprint``: of what runs, ``approved_by``: whom, or what rule
recovered           a job of an earlier process was found again, by ``parent``
state_change        those of ``JobStateChange``; the last one of a job has its ``result``
completed, aborted  ``result``: the job has ended, or (aborted) could not be launched
usage               those of ``JobUsage``
image_pulled        those of ``ImagePullProgress``, and ``parent``
federated_failure   ``status``: the job of all sites has not ended well, whatever this site's ``result`` says
engine_unreachable  ``reason``, ``launcher``, ``parent``: an outage that is not told to be over ends with that process
engine_reachable    the same
==================  ====================================================================================

Each line ends with its ``chain``, by which ``flcore audit verify`` finds what was done to the lines.

After a kill of the site's process its last state change or end may stand there twice, never not at all: both have
the same ``id`` (see ``flcore.event_ids``). Recoveries have one, too. ``parent`` is the id of the process that writes
(see ``StateDir``): while it is not alive, nobody follows what it has launched.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..config.argument_rules import count, host_path, size
from ..config.problems import Problems
from ..config.rules import checks_by_rules, optional
from ..disk.journal_file import JournalFile
from ..disk.os_errors import in_words, user_name
from ..disk.state_dir import StateDir
from ..errors import FLCoreError
from ..event_type import EventType
from ..fl_component import FLComponent
from ..fl_constant import FLContextKey, JobMetaKey
from ..fl_context import FLContext
from ..job_launcher_spec import ImagePullProgress, JobResult, JobStateChange, JobUsage, LaunchRequest
from ..job_meta import study_in
from ..workspace import STATE_DIR
from .audit_head import AuditHead, head_keepers

JOURNAL_NAME = "journal.jsonl"
"""The file's name in a site's state folder."""
NAME_LENGTH = 200
"""Characters of a job's name, and of its study's, that are kept: other parties made them up."""

_SAID = {"name": JobMetaKey.JOB_NAME, "study": JobMetaKey.STUDY, "submitter": JobMetaKey.SUBMITTER_NAME}
"""Field of a line -> key of a job's metadata."""
_TOLD = ("engine", "image_id", "datasets")
"""What is written of a ``LaunchRequest`` beside the request itself, where it says so."""


@checks_by_rules
class JobJournal(FLComponent):
    """Writes down every state change, and how every job ended, in a file that outlives the site's process.

    A job's end is on the disk when the components behind this one hear of it. What cannot be written is logged, and
    delays no job. Several processes may write to the same file.

    Args:
        path: the file, as an absolute path; by default ``.flcore/journal.jsonl`` in the site's workspace.
        max_size: how large the file may grow, as ``"10Mi"``, before the next one begins.
        max_files: how many files there are; what is older is lost.
        audit_head: where the head of the lines' chain is kept, so that lines that are cut off at the end are missed:
            ``{"file": path}``, ``{"syslog": true}`` (or a socket's path, or ``"HOST:PORT"``), or both.
    """

    def __init__(
        self,
        path: str | None = None,
        max_size: int | str = "10Mi",
        max_files: int = 5,
        audit_head: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        problems = Problems()
        checked = problems.attempt
        self.path = checked(optional(host_path), "path", path)
        self._max_size = checked(size, "max_size", max_size)
        self._max_files = checked(count, "max_files", max_files)
        keepers = checked(head_keepers, "audit_head", audit_head)
        problems.raise_all(ValueError)
        self._head = AuditHead(keepers)
        self._site = ""
        self._state: StateDir | None = None
        self._file: JournalFile | None = None
        self._missed = 0
        """Lines in a row that could not be written."""
        self._lock = threading.Lock()
        self._writers: Mapping[str, Callable[[FLContext], None]] = {
            EventType.BEFORE_JOB_LAUNCH: self._launching,
            EventType.JOB_HELD: self._held,
            EventType.AFTER_JOB_LAUNCH: self._launched,
            EventType.JOB_RECOVERED: self._recovered,
            EventType.JOB_STATE_CHANGED: self._changed,
            EventType.JOB_COMPLETED: lambda fl_ctx: self._ended("completed", fl_ctx),
            EventType.JOB_ABORTED: lambda fl_ctx: self._ended("aborted", fl_ctx),
            EventType.JOB_USAGE: self._usage,
            EventType.IMAGE_PULL_PROGRESS: self._pulled,
            EventType.FEDERATED_JOB_FAILED: self._federation_failed,
            EventType.ENGINE_UNREACHABLE: lambda fl_ctx: self._engine("engine_unreachable", fl_ctx),
            EventType.ENGINE_REACHABLE: lambda fl_ctx: self._engine("engine_reachable", fl_ctx),
        }

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        """Open the file at SYSTEM_BOOTSTRAP, before launchers find earlier jobs again; write what happens to jobs."""
        if event_type == EventType.SYSTEM_BOOTSTRAP:
            self._open(fl_ctx)
        elif event_type == EventType.SYSTEM_END:
            self.close()
        elif writer := self._writers.get(event_type):
            writer(fl_ctx)

    def close(self) -> None:
        """Close the file, and be no longer there. Idempotent.

        What is told behind that is still written: a framework may go on to tell behind its SYSTEM_END.
        """
        with self._lock:
            state, self._state = self._state, None
        if state:
            state.close()
        if self._file:
            self._keep_last_head(self._file)
            self._file.close()

    def _keep_last_head(self, file: JournalFile) -> None:
        """Keep the head of what was written since that was done last."""
        if self._head.is_needed:
            with suppress(OSError):  # of what could not be written, it was told
                self._head.keep(file.settle(), self._site)

    def _open(self, fl_ctx: FLContext) -> None:
        workspace = fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT)
        if workspace is None:
            raise ValueError("a JobJournal needs a site with a workspace")
        state = StateDir(Path(workspace.get_root_dir(), STATE_DIR))
        try:
            state.open()
        except OSError as error:
            self.log_error(fl_ctx, f"the journal cannot be opened, so it misses all of this site: {in_words(error)}")
            return
        path = Path(self.path) if self.path else state.folder / JOURNAL_NAME
        self.close()
        with self._lock:
            self._state = state
            self._file = JournalFile(path, self._max_size, self._max_files, chained=True)
        self._site = fl_ctx.get_identity_name()
        self._opened(fl_ctx)

    def _opened(self, fl_ctx: FLContext) -> None:
        about: dict[str, Any] = {"parent": self._parent_id(), "user": user_name(os.geteuid()), "version": _version()}
        self._write("opened", fl_ctx, durable=True, **about)

    def _launching(self, fl_ctx: FLContext) -> None:
        job_meta = fl_ctx.get_prop(FLContextKey.JOB_META) or {}
        said: dict[str, Any] = {name: str(job_meta.get(key, "")) for name, key in _SAID.items()}
        said = {name: text[:NAME_LENGTH] for name, text in {**said, "study": study_in(job_meta)}.items()}
        self._write("launching", fl_ctx, **said, parent=self._parent_id())

    def _held(self, fl_ctx: FLContext) -> None:
        self._write("held", fl_ctx, reason=str(fl_ctx.get_prop(FLContextKey.EVENT_DATA, "")))

    def _launched(self, fl_ctx: FLContext) -> None:
        asked = None
        with suppress(FLCoreError):
            asked = LaunchRequest.of(fl_ctx)
        more = {name: value for name in _TOLD if (value := asked and getattr(asked, name))}
        approval = fl_ctx.get_prop(FLContextKey.LAUNCH_APPROVAL) or {}
        self._write("launched", fl_ctx, request=asked and asked.request, **more, **approval)

    def _recovered(self, fl_ctx: FLContext) -> None:
        self._write("recovered", fl_ctx, parent=self._parent_id(), id=_event_id(fl_ctx))

    def _changed(self, fl_ctx: FLContext) -> None:
        change = JobStateChange.of(fl_ctx)
        self._write("state_change", fl_ctx, durable=change.result is not None, **change.as_dict())

    def _ended(self, event: str, fl_ctx: FLContext) -> None:
        result = fl_ctx.get_prop(FLContextKey.JOB_RESULT)
        if isinstance(result, JobResult):
            self._write(event, fl_ctx, durable=True, result=result.as_dict(), id=_event_id(fl_ctx))

    def _usage(self, fl_ctx: FLContext) -> None:
        self._write("usage", fl_ctx, **JobUsage.of(fl_ctx).as_dict())

    def _pulled(self, fl_ctx: FLContext) -> None:
        progress = ImagePullProgress.of(fl_ctx)
        if progress.ended:
            self._write("image_pulled", fl_ctx, parent=self._parent_id(), **progress.as_dict())

    def _federation_failed(self, fl_ctx: FLContext) -> None:
        self._write("federated_failure", fl_ctx, status=str(fl_ctx.get_prop(FLContextKey.EVENT_DATA, "")))

    def _engine(self, event: str, fl_ctx: FLContext) -> None:
        reason, launcher = (
            str(fl_ctx.get_prop(key, "")) for key in (FLContextKey.EVENT_DATA, FLContextKey.EVENT_ORIGIN)
        )
        self._write(event, fl_ctx, reason=reason, launcher=launcher, parent=self._parent_id())

    def _parent_id(self) -> str:
        return self._state.parent_id if self._state else ""

    def _write(self, event: str, fl_ctx: FLContext, *, durable: bool = False, **fields: Any) -> None:
        with self._lock:
            file, is_open = self._file, self._state is not None
        if file is None:
            return
        job_id = fl_ctx.get_job_id()
        about = {"job_id": job_id} if job_id else {}
        line = {"event": event, "time": time.time(), "site": fl_ctx.get_identity_name()} | about | fields
        durable = durable or self._head.is_due()
        try:
            head = file.write(line, durable=durable)
        except OSError as error:
            say = self.log_debug if self._missed else self.log_error  # once, not for each line
            self._missed += 1
            say(fl_ctx, f"the journal cannot be written, so it misses {event!r}: {in_words(error)}")
        else:
            if self._missed:
                self.log_warning(fl_ctx, f"the journal can be written again; it misses so many lines: {self._missed}")
            self._missed = 0
            if durable:
                self._head.keep(head, self._site)
        if not is_open:
            file.close()


def _version() -> str:
    """Return that of flcore; empty where it is not installed, but only lies there."""
    from importlib.metadata import PackageNotFoundError, version  # slow

    try:
        return version(__name__.partition(".")[0])
    except PackageNotFoundError:
        return ""


def _event_id(fl_ctx: FLContext) -> str:
    return str(fl_ctx.get_prop(FLContextKey.JOB_EVENT_ID, ""))  # not set where another framework's engine fires an end
