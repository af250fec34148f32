"""A job as it is submitted: a folder with its metadata and its apps, before any site has seen it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .config.hocon import load_hocon
from .config.strict_json import load_json, shown
from .disk.presence import is_folder
from .errors import ConfigError, JobRejectedError
from .fl_constant import JobConstants, JobMetaKey
from .job_meta import (
    Deployment,
    check_one_app_each,
    get_deployments,
    get_mandatory_clients,
    get_min_clients,
    is_identifier,
)

__all__ = ["SubmittedJob"]

_LIKE_METADATA = re.compile(r"meta\.[a-z0-9.]{1,20}", re.ASCII | re.IGNORECASE)
"""Files that somebody takes for a job's metadata: NVIDIA FLARE has YAML, and defaults, too."""
_WAY_OUT = f"write it as {JobConstants.META_FILE}, or in HOCON as {JobConstants.META_FILE_HOCON}"


@dataclass(frozen=True, slots=True)
class SubmittedJob:
    """A folder with ``meta.json``, or ``meta.conf`` (HOCON), and the apps that its ``deploy_map`` names."""

    path: Path
    """The folder."""
    meta: dict[str, Any]
    """The metadata, as another party wrote them; of what is read here it is known that it is well-formed."""
    meta_file: Path
    """The file that they stand in."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a job's folder. Raises ConfigError or JobRejectedError, naming the file and the key.

        Metadata without a ``deploy_map`` get one, if the folder has just one app: it is for all sites.
        """
        folder = Path(path)
        if not is_folder(folder):
            raise ConfigError(f"{folder}: is no job folder; it needs a meta.json and an app")
        file, meta = _read_metadata(folder)
        if not isinstance(meta, dict):
            raise ConfigError(f"{file}: must be an object, got {shown(meta)}")
        job = cls(folder, meta if JobMetaKey.DEPLOY_MAP in meta else meta | _for_all_sites(folder), file)
        for app in dict.fromkeys(deployment.app for deployment in job.deployments):
            if not is_folder(folder / app) or (folder / app).is_symlink():
                raise ConfigError(f"{folder}: the deploy_map names the app {app!r}, which is no folder here")
        with job._naming_the_file():
            check_one_app_each(meta)
        return job

    @property
    def deployments(self) -> tuple[Deployment, ...]:
        """The entries of the ``deploy_map``. Raises JobRejectedError, naming the file and the key."""
        with self._naming_the_file():
            return get_deployments(self.meta)

    def min_clients(self, clients: int) -> int:
        """Return how many of its clients the job needs. Raises JobRejectedError, naming the file and the key."""
        with self._naming_the_file():
            return get_min_clients(self.meta, clients)

    def mandatory_clients(self, clients: Sequence[str]) -> frozenset[str]:
        """Return the clients without which the job fails. Raises JobRejectedError, naming the file and the key."""
        with self._naming_the_file():
            return get_mandatory_clients(self.meta, clients)

    @contextmanager
    def _naming_the_file(self) -> Iterator[None]:
        try:
            yield
        except JobRejectedError as error:
            raise JobRejectedError(f"{self.meta_file}: {error}") from error

    @property
    def name(self) -> str:
        """The job's name where it has a usable one, else its folder's."""
        name = self.meta.get(JobMetaKey.JOB_NAME)
        candidates = (name, self.path.absolute().name, "job")
        return next(str(candidate) for candidate in candidates if is_identifier(candidate))

    def new_job_id(self) -> str:
        """Return an id for one more run of this job."""
        return f"{self.name[:40]}-{secrets.token_hex(4)}"


def _read_metadata(folder: Path) -> tuple[Path, Any]:
    """Return the file of a job's metadata, and what it says. Where there are two it is the JSON, as in NVIDIA FLARE."""
    file, hocon = folder / JobConstants.META_FILE, folder / JobConstants.META_FILE_HOCON
    if os.path.lexists(hocon) and not os.path.lexists(file):
        return hocon, load_hocon(hocon)
    if not os.path.lexists(file) and (other := _like_metadata_in(folder)):
        raise ConfigError(f"{folder}: its metadata is in {other}, which is not read; {_WAY_OUT}")
    return file, load_json(file, trusted=False)


def _for_all_sites(folder: Path) -> dict[str, Any]:
    """Return the ``deploy_map`` of a job that has none, and one app."""
    apps: list[str] = []
    with suppress(OSError):  # who may not list it, names the app
        apps = sorted(path.name for path in folder.iterdir() if is_identifier(path.name) and is_folder(path))
    if len(apps) == 1:
        return {JobMetaKey.DEPLOY_MAP: {apps[0]: [JobConstants.ALL_SITES]}}
    there = f"the folders {', '.join(apps)}" if apps else "no folder"
    way_out = 'say which is the app of which site, as {"deploy_map": {"app": ["site-1"]}}'
    raise ConfigError(f"{folder}: its metadata has no deploy_map, and beside it is {there}; {way_out}")


def _like_metadata_in(folder: Path) -> str:
    with suppress(OSError):  # that is said of the file that is read
        return min((path.name for path in folder.iterdir() if _LIKE_METADATA.fullmatch(path.name)), default="")
    return ""
