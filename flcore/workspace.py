"""A site's folder on disk, laid out as NVIDIA FLARE lays it out.

::

    <root>/.flcore/                    what the site must not forget of its jobs; no job sees it
    <root>/<job id>/                   the job's own folder: all that it may write, and nobody else's business
    <root>/<job id>/meta.json          its metadata
    <root>/<job id>/<site>.log         its output, once it has ended
    <root>/<job id>/app_<site>/config  its app
    <root>/<job id>/app_<site>/custom  its code, first on the job's PYTHONPATH
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .disk.safe_files import closing, copy_tree, make_private, remove, write_new
from .errors import ConfigError
from .fl_constant import JobConstants
from .job_meta import JobMeta, get_job_id

STATE_DIR = ".flcore"
"""The folder, in a site's workspace, of what the site must not forget of its jobs. No job's id can be its name."""


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

    @contextmanager
    def deployed(self, job_meta: JobMeta, app: Path | None) -> Iterator[None]:
        """Put a job's metadata and a copy of its app into the job's folder, in place of those of an earlier run.

        A folder that was not there before goes again if the block raises. Links in the app are copied as links, and
        none that an earlier run left is followed. Nothing is done without an app. Raises ConfigError if it cannot be
        copied.
        """
        run_dir = Path(self.get_run_dir(get_job_id(job_meta)))
        is_new = not os.path.lexists(run_dir)
        try:
            if app is not None:
                self._deploy(job_meta, app, run_dir)
            yield
        except BaseException:
            if app is not None and is_new:
                with suppress(OSError):
                    remove(run_dir)
            raise

    def _deploy(self, job_meta: JobMeta, app: Path, run_dir: Path) -> None:
        job_id = get_job_id(job_meta)
        try:
            with closing(make_private(run_dir)) as folder:
                app_dir = Path(self.get_app_dir(job_id)).name
                remove(app_dir, folder)
                copy_tree(app, app_dir, folder)
                meta = json.dumps(dict(job_meta), indent=2) + "\n"
                write_new(JobConstants.META_FILE, folder, [meta.encode()], 0o644)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"job {job_id}: its app {app} cannot be copied to {run_dir}: {error}") from error
