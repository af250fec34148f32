"""A site's folder on disk, laid out as NVIDIA FLARE lays it out.

::

    <root>/.flcore/                    what the site must not forget of its jobs; no job sees it
    <root>/<job id>/                   the job's own folder: all that it may write
    <root>/<job id>/meta.json          its metadata
    <root>/<job id>/<site>.log         its output, once it has ended
    <root>/<job id>/app_<site>/config  its app
    <root>/<job id>/app_<site>/custom  its code, first on the job's PYTHONPATH
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
        is_new = not run_dir.exists()
        try:
            if app is not None:
                self._deploy(job_meta, app, run_dir)
            yield
        except BaseException:
            if app is not None and is_new:
                shutil.rmtree(run_dir, ignore_errors=True)
            raise

    def _deploy(self, job_meta: JobMeta, app: Path, run_dir: Path) -> None:
        job_id = get_job_id(job_meta)
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            _remove(Path(self.get_app_dir(job_id)))
            shutil.copytree(app, self.get_app_dir(job_id), symlinks=True)
            meta = json.dumps(dict(job_meta), indent=2) + "\n"
            write_new(run_dir / JobConstants.META_FILE, [meta.encode()], 0o644)
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"job {job_id}: its app {app} cannot be copied to {run_dir}: {error}") from error


def write_new(path: Path, chunks: Iterable[bytes], mode: int) -> None:
    """Write a file, all of it or none, in place of whatever is there.

    For folders that a job can write to, while none does: a link that it left is not followed. Raises OSError.
    """
    part = path.with_name(f".{path.name}.part")
    _remove(part)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb") as file:
            file.writelines(chunks)
        _remove(path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    """Remove what is there, be it a folder, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
