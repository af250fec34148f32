"""A site's startup kit, as NVIDIA FLARE provisions it: what of it a job's process needs, and no more."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from flcore.config.strict_json import check_values, load_json, read_text
from flcore.disk.os_errors import in_words
from flcore.disk.presence import is_there
from flcore.disk.safe_files import closing, open_folder, remove
from flcore.errors import ConfigError, FLCoreError, JobLaunchError, JobRejectedError
from flcore.fl_constant import JobMetaKey
from flcore.job_meta import FOLDERS_OF_SITES, get_job_id
from flcore.workspace import STATE_DIR

from ..keeping.job_folder import owner

KIT_FILES = (
    *("startup/fed_client.json", "startup/fed_server.json", "startup/rootCA.pem", "startup/signature.json"),
    *("startup/client.crt", "startup/server.crt", "startup/*__resources.json", "startup/*__j_resources.json"),
    *("local/*resources.json", "local/*.json.default", "local/privacy.json", "local/authorization.json"),
    *("local/comm_config.json", "local/log_config.json", "local/custom"),
)
"""What of a kit a job's process reads, its key excepted."""

_KEYS = "startup/*.key"
_PARENTS_ONLY = "*__p_resources.json"
_SIGNATURES = "startup/signature.json"
_JSON = (".json", ".default")
_OF_SITES = {STATE_DIR, *FOLDERS_OF_SITES}
"""Folders of a site's, none of which a parent puts into a job's."""
_OF_JOBS = "jobs_comm_config"
"""What jobs see as their ``comm_config.json``: a parent takes the first file of that name in all its kit."""
_COMM_CONFIGS = ("comm_config.json", "comm_config.json.default")
"""What a kit may say of connections, first match wins; NVIDIA FLARE finds any ``.json`` of the workspace first."""
_PARENT_ALONE = {"backbone_conn_gen": 1, "allow_adhoc_conns": False}
"""Has a process make no connection but the one to its parent."""
_CONNECTIONS = "backbone"
"""What else would have it make some."""
_STORAGE_KEYS = ("root_dir", "uri_root")


class FlareKit:
    """One site's kit. Making one touches no disk.

    A job's process does not start without a private key, though one that talks to its parent alone has no use for it:
    it gets a decoy, one that nobody knows and that opens nothing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.decoy = root / STATE_DIR / "decoy.key"
        self.comm_config = root / STATE_DIR / _OF_JOBS

    def shown(self, globs: Sequence[str], with_key: bool, alone: bool) -> dict[Path, Path]:
        """Return what a job sees: ``path in the kit -> file that stands there``.

        One that talks to its parent alone sees a config of ours for its connections, in place of the kit's and where it
        is found first: NVIDIA FLARE reads such a file, be it the job's own, before it looks at the environment.
        """
        paths = {path for glob in globs for path in self.root.glob(glob) if not path.match(_PARENTS_ONLY)}
        keys = {path: path if with_key else self.decoy for path in self.root.glob(_KEYS)}
        shown = {path: keys.get(path, path) for path in sorted({*paths, *keys})}
        name = _COMM_CONFIGS[0]
        places = {self.root / name, *({self.root / "local" / name} & paths)} if alone else ()
        return {**shown, **dict.fromkeys(sorted(places), self.comm_config)}

    def signs_its_key(self) -> bool:
        """Whether a job's process would find out that a key is another: up to 2.7 kits are signed, and it looks."""
        path = self.root / _SIGNATURES
        signed = _json_of(path) if is_there(path) else {}
        return isinstance(signed, Mapping) and any(Path("startup", name).match(_KEYS) for name in signed)

    def make_decoy(self) -> None:
        """Make the decoy, if there is none; all may read it."""
        if is_there(self.decoy):
            return
        from cryptography.hazmat.primitives import serialization  # which comes with NVIDIA FLARE
        from cryptography.hazmat.primitives.asymmetric import rsa

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        form, plain = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        _write(self.decoy, key.private_bytes(serialization.Encoding.PEM, form, plain))

    def make_comm_config(self) -> None:
        """Make the config of the connections of jobs: as the kit's is now, but for those past the parent."""
        found = next((path for name in _COMM_CONFIGS if is_there(path := self.root / "local" / name)), None)
        config = _json_of(found) if found else {}
        if not isinstance(config, Mapping):
            raise JobLaunchError(f"the kit's {found}: must be an object")
        ours = {**config, **_PARENT_ALONE}
        ours.pop(_CONNECTIONS, None)
        _write(self.comm_config, json.dumps(ours, indent=2).encode())


def _write(path: Path, data: bytes) -> None:
    """Write a file that all may read, at once: jobs that have the earlier one keep it."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # of a name of its own: launches overlap
        part = Path(file.name)
        try:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            part.rename(path)
        except BaseException:
            part.unlink()
            raise


def check_run_folder(job_id: str, folder: Path, app: str) -> None:
    """Raise JobRejectedError if a folder in a kit is none that the parent has made for a job, with the app's folder.

    A parent makes it anew for each job, whatever was there, and asks a launcher only then. What has no app, or what
    sites have beside their jobs, was not made so: the parent could not, or would not, remove it.
    """
    if not os.path.lexists(folder):
        return
    try:
        names = os.listdir(folder) if stat.S_ISDIR(folder.lstat().st_mode) else []  # noqa: PTH208 - no more is needed
        is_made = app in names and stat.S_ISDIR((folder / app).lstat().st_mode)
    except OSError as error:
        raise JobLaunchError(f"job {job_id}: whose {folder} is cannot be found out: {in_words(error)}") from error
    if not is_made or not _OF_SITES.isdisjoint(names):
        why = f"names {folder}, which NVIDIA FLARE did not make for a job: it has no folder {app}, or is a site's own"
        raise JobRejectedError(f"job {job_id}: job_id: {why}; move it out of the kit, and launch the job again")


def deployed_meta(workspace: Any, job_id: str) -> dict[str, Any] | None:
    """Return the metadata with which NVIDIA FLARE has deployed a job's app; None if it is not here, or not to be read.

    ``workspace``: NVIDIA FLARE's.
    """
    try:
        get_job_id({JobMetaKey.JOB_ID: job_id})
        check_run_folder(job_id, Path(workspace.get_run_dir(job_id)), Path(workspace.get_app_dir(job_id)).name)
        found = load_json(Path(workspace.get_job_meta_path(job_id)))
    except (FLCoreError, OSError):
        return None
    return {**found, JobMetaKey.JOB_ID: job_id} if isinstance(found, dict) else None


def remove_deployed(workspace: Any, job_id: str) -> None:
    """Remove a job's app, which was looked at, before it is deployed to be launched.

    Up to 2.8 a client checks the signatures of an app that it has, in place of those of the one that comes, and refuses
    this if a component of NVIDIA FLARE's has changed the other.
    """
    folder = Path(workspace.get_run_dir(job_id))
    with suppress(OSError), closing(open_folder(folder.parent)) as kit:
        remove(folder.name, kit)


def is_readable(path: Path, user: str) -> bool:
    """Whether a user of this host can read a file of the site as it is; one that is not there yet will be made so."""
    uid, gid = owner(user)
    try:
        found = path.stat()
    except FileNotFoundError:
        return True
    bit = stat.S_IRUSR if uid == found.st_uid else stat.S_IRGRP if gid == found.st_gid else stat.S_IROTH
    return bool(found.st_mode & bit)


def folders_of_user(workspace: Any) -> list[str]:
    """Return the folders that a job's user owns: the workspace's own, and those in which a server stores all jobs.

    A server's job opens these too, and makes them if need be, but has nothing to find there.
    """
    config = workspace.get_resources_file_path()
    return sorted({workspace.get_root_dir(), *(storage(Path(config)) if config else ())})


def storage(config: Path) -> list[str]:
    """Return the folders that a site's config names as storage. One in another form than JSON is not looked into."""
    named = _named_as_storage(_json_of(config)) if config.suffix in _JSON else ()
    return [path for path in named if Path(path).is_absolute() and path != "/"]


def _json_of(path: Path) -> Any:
    """Return what a JSON file of the kit says. Raises JobLaunchError, naming it."""
    try:
        value = json.loads(read_text(path, trusted=True))
        check_values(value)
    except ConfigError as error:
        raise JobLaunchError(f"the kit's {error}") from error
    except (ValueError, RecursionError) as error:
        raise JobLaunchError(f"the kit's {path}: is no JSON that can be read: {error}") from error
    return value


def _named_as_storage(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from (str(value[key]) for key in _STORAGE_KEYS if key in value)
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _named_as_storage(inner)
