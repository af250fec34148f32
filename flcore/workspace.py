"""A site's folder on disk, laid out as NVIDIA FLARE lays it out.

::

    <root>/<job id>/                   the job's own folder: all that it may write
    <root>/<job id>/meta.json          its metadata
    <root>/<job id>/<site>.log         its output, once it has ended
    <root>/<job id>/app_<site>/config  its app
    <root>/<job id>/app_<site>/custom  its code, first on the job's PYTHONPATH
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .errors import ConfigError
from .fl_constant import JobConstants
from .job_meta import JobMeta, get_job_id


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

    def get_log_path(self, job_id: str) -> str:
        """Return where the job's output is kept after its end."""
        return str(self._root / job_id / f"{self._site}.log")

    def deploy(self, job_meta: JobMeta, app: Path) -> None:
        """Put a job's metadata and a copy of its app into the job's folder, in place of those of an earlier run.

        Links in the app are copied as links, and none that an earlier run left is followed. Raises ConfigError if the
        app cannot be copied.
        """
        job_id = get_job_id(job_meta)
        run_dir = Path(self.get_run_dir(job_id))
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
            _remove(Path(self.get_app_dir(job_id)))
            shutil.copytree(app, self.get_app_dir(job_id), symlinks=True)
            _write_new(run_dir / JobConstants.META_FILE, json.dumps(dict(job_meta), indent=2) + "\n")
        except (OSError, TypeError, ValueError) as error:
            raise ConfigError(f"job {job_id}: its app {app} cannot be copied to {run_dir}: {error}") from error


def _remove(path: Path) -> None:
    """Remove what is there, be it a folder, a file or a link."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    _remove(path)
    with path.open("x") as file:
        file.write(text)
