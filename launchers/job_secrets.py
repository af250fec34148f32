"""A site's secrets, as read-only files in memory that one job can read: made at its launch, gone after its end.

::

    <folder>/flcore-<nonce>/<name>    for containers; the folder is in memory (tmpfs), and each job sees its own files
    /proc/<site>/fd/<number>          for local processes: memory that has no name, and goes with the site's process

The nonce stands in the job's record, so that whoever finds the job again finds its secrets too. A value is read from
its source at each launch. It stands in no object that is shown, in no record and in no error; in the environment, which
whoever may use the engine can inspect, only where the site's config asks for that.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from pathlib import Path
from typing import Any

from flcore.errors import JobLaunchError
from flcore.job_launcher_spec import Check
from flcore.safe_files import closing, create_file, open_file, open_folder, remove
from flcore.strict_json import shown

from .container_spec import MASK, ContainerSpec, Mount
from .job_folder import no_gift, owner
from .process_limits import check_words

logger = logging.getLogger(__name__)

SECRETS_PATH = "/run/secrets"
"""Where a container sees them, as with Docker's own."""
SECRET_PREFIX = "FLCORE_SECRET_"  # noqa: S105 - a variable's name
MAX_SIZE = 500 << 10
"""Bytes of one secret; Docker's own limit, too."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}", re.ASCII)
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_MODE = 0o400


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret comes from, and where it goes; never what it is."""

    name: str
    file: str = ""
    """Its file on this host; or else"""
    env: str = ""
    """its variable in the site's own environment."""
    to_env: str = ""
    """The job's variable that holds it, beside its file; empty: none does."""
    target: str = ""
    """Where a container sees it; empty: with the others, by its name."""

    @property
    def source(self) -> str:
        return f"file {self.file}" if self.file else f"variable {self.env} of the site's process"

    @property
    def path_variable(self) -> str:
        """The variable that tells a job where the secret's file is."""
        return SECRET_PREFIX + re.sub(r"[^A-Z0-9]", "_", self.name.upper())

    def read(self) -> bytes:
        """Return what it is now. Raises JobLaunchError, which does not show it."""
        try:
            value = _read_file(self.file) if self.file else os.environb[self.env.encode()]
        except KeyError:
            raise self._error("is not set") from None
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror}") from error
        if not 0 < len(value) <= MAX_SIZE:
            raise self._error(f"must hold 1 to {MAX_SIZE} bytes")
        return value

    def as_variable(self, value: bytes) -> str:
        """Return a value as its variable holds it: without a line break at its end. Raises JobLaunchError."""
        try:
            text = value.decode().removesuffix("\n")
            check_words([f"{self.to_env}={text}"])
        except ValueError:
            raise self._error(f"cannot be put into {self.to_env}: it is too long, no UTF-8, or holds a NUL") from None
        return text

    def _error(self, why: str) -> JobLaunchError:
        return JobLaunchError(f"the secret {self.name}: {self.source} {why}")


def parse_secrets(key: str, value: Any) -> tuple[Secret, ...]:
    """Return a site's secrets from ``{name: {"file" | "env": source, "to_env": variable}}``. Raises ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{key} must be an object, got {type(value).__name__}")  # noqa: TRY004 - as all wrong arguments
    secrets = tuple(_parse_secret(f"{key}.{name}", name, entry) for name, entry in value.items())
    for what in (lambda secret: secret.path_variable, lambda secret: secret.to_env):
        for variable, count in Counter(filter(None, map(what, secrets))).items():
            if count > 1:
                raise ValueError(f"{key}: two of them make the same variable {variable}")
    return secrets


class JobSecrets:
    """The secrets of one launcher's containers. Making one touches no disk; safe to use from several threads.

    Args:
        secrets: see there.
        folder: a folder of this host that is in memory. An engine must see it at the same path.
    """

    def __init__(self, secrets: Sequence[Secret], folder: str) -> None:
        self.secrets = secrets
        self._folder = folder

    def give(self, spec: ContainerSpec, nonce: str) -> ContainerSpec:
        """Make the files of one job, and return a spec that shows them to it.

        Raises JobLaunchError; then some may be there, until :meth:`take_back`.
        """
        secrets = self._of(spec)
        if not secrets:
            return spec
        values = {secret: secret.read() for secret in secrets}
        variables = {secret.to_env: secret.as_variable(value) for secret, value in values.items() if secret.to_env}
        paths = self._make_files(values, spec.user, nonce)
        return self._shown_to(spec, paths, variables, nonce)

    def describe(self, spec: ContainerSpec, nonce: str) -> ContainerSpec:
        """Return what :meth:`give` would, without making or reading anything."""
        secrets = self._of(spec)
        variables = {secret.to_env: MASK for secret in secrets if secret.to_env}
        return self._shown_to(spec, {secret: self._path(secret, nonce) for secret in secrets}, variables, nonce)

    def take_back(self, nonce: str) -> None:
        """Remove the files of one job, of whatever process of this site. Idempotent; what goes wrong is logged."""
        path = Path(self._folder, _folder_name(nonce))
        try:
            if nonce and path.lstat().st_uid == os.geteuid():
                remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            logger.warning("the secrets in %s cannot be removed; remove them by hand: %s", path, error)

    def check(self) -> Iterator[Check]:
        """Say whether all sources can be read, and the folder is in memory."""
        for secret in self.secrets:
            yield _check(f"secret {secret.name}", secret.source, secret.read)
        if self.secrets:
            yield from self._check_place()

    def _check_place(self) -> Iterable[Check]:
        yield _check("secrets_dir", self._folder, lambda: os.close(self._open()))

    def _of(self, spec: ContainerSpec) -> tuple[Secret, ...]:
        """Return the site's secrets and the job's private files, which need no variable that says where they are."""
        files = spec.private_files.items()
        return (*self.secrets, *(Secret(f"of-{Path(target).name}", source, target=target) for target, source in files))

    def _path(self, secret: Secret, nonce: str) -> str:  # noqa: ARG002 - for processes
        return secret.target or f"{SECRETS_PATH}/{secret.name}"

    def _shown_to(
        self, spec: ContainerSpec, paths: Mapping[Secret, str], variables: Mapping[str, str], nonce: str
    ) -> ContainerSpec:
        where = {secret.path_variable: path for secret, path in paths.items() if not secret.target}
        return replace(
            spec,
            environment={**spec.environment, **where, **variables},
            secret_variables=spec.secret_variables | variables.keys(),
            mounts=(*spec.mounts, *self._mounts(paths, nonce)),
        )

    def _mounts(self, paths: Mapping[Secret, str], nonce: str) -> Iterable[Mount]:
        folder = Path(self._folder, _folder_name(nonce))
        return (Mount(str(folder / secret.name), path) for secret, path in paths.items())

    def _make_files(self, values: Mapping[Secret, bytes], user: str, nonce: str) -> dict[Secret, str]:
        try:
            with closing(self._open()) as parent:
                os.mkdir(_folder_name(nonce), 0o700, dir_fd=parent)
                with closing(open_folder(_folder_name(nonce), parent)) as folder:
                    for secret, value in values.items():
                        _write(secret.name, folder, value, user)
        except OSError as error:
            where = f"{self._folder} ('secrets_dir')"
            raise JobLaunchError(f"the secrets cannot be put into {where}: {error.strerror}") from error
        return {secret: self._path(secret, nonce) for secret in values}

    def _open(self) -> int:
        """Open the folder above all jobs' folders. Raises OSError, or JobLaunchError if it is on a disk."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._check_in_memory(folder)
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _check_in_memory(self, folder: int) -> None:
        kind = _file_system(folder)
        if kind not in _IN_MEMORY:
            place = f"{self._folder} is on {kind or 'a disk'}"
            raise JobLaunchError(f"'secrets_dir' must be in memory (tmpfs), but {place}")


class ProcessSecrets(JobSecrets):
    """The secrets of local processes: memory of this process, which those of the same user can open by its path.

    A job that outlives this process keeps what it has opened or read, and can open no more.
    """

    def __init__(self, secrets: Sequence[Secret]) -> None:
        super().__init__(secrets, "")
        self._files: dict[str, list[int]] = {}

    def take_back(self, nonce: str) -> None:
        for descriptor in self._files.pop(nonce, ()):
            os.close(descriptor)

    def _check_place(self) -> Iterable[Check]:
        return ()

    def _path(self, secret: Secret, nonce: str) -> str:  # noqa: ARG002 - one that is not made yet has no number
        return f"/proc/{os.getpid()}/fd/{nonce}"

    def _mounts(self, paths: Mapping[Secret, str], nonce: str) -> Iterable[Mount]:  # noqa: ARG002 - all is there anyway
        return ()

    def _make_files(self, values: Mapping[Secret, bytes], user: str, nonce: str) -> dict[Secret, str]:  # noqa: ARG002 - its own
        files = self._files[nonce] = []
        for secret, value in values.items():
            files.append(os.memfd_create(secret.name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
            os.write(files[-1], value)
            os.fchmod(files[-1], _MODE)
            fcntl(files[-1], F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)
        return {secret: f"/proc/{os.getpid()}/fd/{file}" for secret, file in zip(values, files, strict=True)}


def _parse_secret(key: str, name: str, value: Any) -> Secret:
    known = {"file", "env", "to_env"}
    if not _NAME.fullmatch(name):
        raise ValueError(f"{key}: a name is 1 to 64 letters, digits, '.', '_' or '-', a letter or digit first")
    if not isinstance(value, Mapping) or not set(value) <= known or len({"file", "env"} & set(value)) != 1:
        raise ValueError(f'{key} must be {{"file": …}} or {{"env": …}}, each perhaps with "to_env", got {_keys(value)}')
    for what in value.keys() - {"file"}:
        if not isinstance(value[what], str) or not _VARIABLE.fullmatch(value[what]):
            raise ValueError(f"{key}.{what} must be the name of a variable, got {shown(value[what])}")
    if "file" in value and not (isinstance(value["file"], str) and Path(value["file"]).is_absolute()):
        raise ValueError(f"{key}.file must be an absolute path, got {shown(value['file'])}")
    return Secret(name, **value)


def _keys(value: Any) -> str:
    """Return what of a wrong entry can be shown: a site may have put the secret itself there."""
    return f"the keys {', '.join(map(str, value))}" if isinstance(value, Mapping) else type(value).__name__


def _folder_name(nonce: str) -> str:
    return f"flcore-{nonce}"


def _read_file(path: str) -> bytes:
    """Return the first bytes of a file, one more than a secret may have. Its links are followed: the site made them."""
    with open_file(Path(path), follow=True) as file:
        return file.read(MAX_SIZE + 1)


def _write(name: str, folder: int, value: bytes, user: str) -> None:
    with create_file(name, folder, _MODE) as file:
        file.write(value)
        file.flush()
        os.fchmod(file.fileno(), _MODE)
        if owner(user) != owner(""):
            _give(name, file.fileno(), user)


def _give(name: str, file: int, user: str) -> None:
    try:
        os.fchown(file, *owner(user))
    except PermissionError as error:
        raise JobLaunchError(f"the secret {name}: {no_gift(user)}") from error


def _file_system(folder: int) -> str:
    """Return the kind of file system on which an open folder is; empty if that cannot be found out."""
    device = os.fstat(folder).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if fields.split()[2] == number:
            return kind.split()[0]
    return ""


def _check(what: str, where: str, attempt: Callable[[], object]) -> Check:
    try:
        attempt()
    except (JobLaunchError, OSError) as error:
        return Check(what, False, str(error))
    return Check(what, True, where)
