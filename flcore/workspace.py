"""A site's folder on disk, laid out as NVIDIA FLARE lays it out.

::

    <root>/.flcore/                    what the site must not forget of its jobs; no job sees it
    <root>/.flcore/folders/<job id>    says that the folder of this name is a job's
    <root>/.staged-<random>/           the files of one that is being launched; nobody but the site sees it
    <root>/<job id>/                   the job's own folder: all that it may write, and nobody else's business
    <root>/<job id>/meta.json          its metadata
    <root>/<job id>/<site>.log         its output, once it has ended
    <root>/<job id>/app_<site>/config  its app
    <root>/<job id>/app_<site>/custom  its code, first on the job's PYTHONPATH
"""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .disk.job_folders import STATE_DIR as STATE_DIR
from .disk.job_folders import forget_missing, is_foreign, note_new, note_of
from .disk.os_errors import foreign_owner, in_words
from .disk.safe_files import copy_tree, remove, write_new
from .disk.staged_files import StagedFiles, staged
from .errors import ConfigError, JobLaunchError, OutcomeUnknownError
from .fl_constant import JobConstants, JobMetaKey
from .job_meta import JobMeta, get_job_id, rejection

logger = logging.getLogger(__name__)

_WAY_OUT = "run it as who may, or in another workspace ('workspace' in its config, or --workspace)"


class Workspace:
    """Where things of a site are. Making one touches no disk."""

    def __init__(self, root_dir: str | Path, site_name: str) -> None:
        self._root = Path(root_dir).absolute()
        self._site = site_name

    def get_root_dir(self) -> str:
        return str(self._root)

    def get_run_dir(self, job_id: str) -> str:
        """Return the job's own folder."""
        return str(self._root / job_id)

    def get_app_dir(self, job_id: str) -> str:
        return str(self._root / job_id / f"app_{self._site}")

    def get_app_custom_dir(self, job_id: str) -> str:
        return str(Path(self.get_app_dir(job_id)) / "custom")

    def hindrance(self) -> str:
        """Return why this process cannot use it, and the way out; empty if it can. Touches nothing."""
        state, root = self._root / STATE_DIR, self._root
        there = [place for place in (state, root) if os.path.lexists(place)]
        for place in there or [next(place for place in root.parents if os.path.lexists(place))]:
            if why := _why_closed(place):
                return f"{why}; {_WAY_OUT}"
        return ""

    @contextmanager
    def staged(self, job_meta: JobMeta, app: Path | None) -> Iterator[JobFiles]:
        """Have a job's metadata, and a copy of its app, beside its folder, until :meth:`JobFiles.put`.

        If the block raises, the job's folder is again as an earlier run of the job left it, or not there; only what may
        run (OutcomeUnknownError) keeps its files. Links in the app are copied as links, and none that an earlier run
        left is followed. Nothing is done without an app. Raises ConfigError if it cannot be copied, and
        JobRejectedError if the job's folder would be one that the site has not made for a job.
        """
        job_id = get_job_id(job_meta)
        run_dir, app_dir = Path(self.get_run_dir(job_id)), self.get_app_dir(job_id)
        check_run_dir(job_meta, run_dir)
        if app is None:
            yield JobFiles(job_id, app_dir)
            return
        with ExitStack() as stack:
            try:
                files = stack.enter_context(staged(self._root, run_dir))
                with files.opened() as folder:
                    copy_tree(app, Path(app_dir).name, folder)
                job_files = JobFiles(job_id, app_dir, files)
                job_files.write_meta(job_meta)
            except (OSError, TypeError, ValueError) as error:
                raise ConfigError(
                    f"job {job_id}: its app {app} cannot be copied to {run_dir}: {in_words(error)}"
                ) from error
            with job_files.taken_back_on_failure():
                yield job_files


class JobFiles:
    """A job's metadata and app, while its launch is under way: beside the job's folder first, then in it."""

    def __init__(self, job_id: str, app_dir: str, files: StagedFiles | None = None) -> None:
        self._job_id = job_id
        self._place = app_dir
        self._files = files
        self._are_put = files is None
        self._meta = ""
        """What is written down."""

    @property
    def app_dir(self) -> str:
        """Where the app is now. Nobody but the site can change it before it is :meth:`put`."""
        return self._place if self._are_put or not self._files else str(self._files.path / Path(self._place).name)

    def write_meta(self, job_meta: JobMeta) -> None:
        """Write down the metadata by which the job is launched. Idempotent. Raises OSError, TypeError or ValueError."""
        meta = json.dumps(dict(job_meta), indent=2) + "\n"
        if not self._files or meta == self._meta:
            return
        with self._files.opened() as folder:
            remove(JobConstants.META_FILE, folder)
            write_new(JobConstants.META_FILE, folder, [meta.encode()], 0o644)
        self._meta = meta

    def put(self) -> None:
        """Put them into the job's folder, in place of those of an earlier run. Raises JobLaunchError."""
        if self._are_put or not self._files:
            return
        try:
            note_new(Path(self._place).parent)
            self._files.put()
        except OSError as error:
            where = Path(self._place).parent
            raise JobLaunchError(
                f"job {self._job_id}: its app cannot be put into {where}: {in_words(error)}"
            ) from error
        self._are_put = True

    @contextmanager
    def taken_back_on_failure(self) -> Iterator[None]:
        """Have the folder be as it was if the block raises, unless the job may run all the same."""
        try:
            yield
        except OutcomeUnknownError:
            raise
        except BaseException:
            self._take_back()
            raise

    def _take_back(self) -> None:
        if not self._files:
            return
        try:
            self._files.take_back()
            forget_missing(Path(self._place).parent)
        except OSError as error:
            where = f"; what an earlier run had there is in {self._files.kept}" if self._files.kept else ""
            about = {"job_id": self._job_id}
            logger.error(  # noqa: TRY400 - the message says it all
                "job %s: its files cannot be taken back: %s%s", self._job_id, in_words(error), where, extra=about
            )


def _why_closed(folder: Path) -> str:
    """Return why files cannot be made in a folder that is there; empty if they can."""
    if os.path.exists(folder) != os.path.isdir(folder):  # noqa: PTH110, PTH112 - these raise nothing
        return f"{folder} is no folder"
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        return ""
    with suppress(OSError):
        if os.statvfs(folder).f_flag & os.ST_RDONLY:
            return f"{folder} is on a disk that can only be read"
    return foreign_owner(folder) or f"{folder} cannot be opened by its own user, or is a link that leads nowhere"


def check_run_dir(job_meta: JobMeta, folder: Path) -> None:
    """Raise JobRejectedError if what would be a job's folder is one that the site has not made for a job."""
    try:
        foreign = is_foreign(folder)
    except OSError as error:
        raise JobLaunchError(f"whose {folder} is cannot be found out: {in_words(error)}") from error
    if foreign:
        raise rejection(job_meta, JobMetaKey.JOB_ID, _not_made_for_a_job(folder), get_job_id(job_meta))


def _not_made_for_a_job(folder: Path) -> str:
    note = note_of(folder)
    by_hand = f"mkdir -p {shlex.quote(str(note.parent))} && touch {shlex.quote(str(note))}"
    what = f"names {folder}, which the site did not make for a job"
    return f"{what} (if an earlier version of flcore did, say so by `{by_hand}`); take another id, or move it away"
