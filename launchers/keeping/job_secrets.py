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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fcntl import F_ADD_SEALS, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, fcntl
from functools import partial
from pathlib import Path

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import PASSING, closing, create_file, open_file, open_folder, remove
from flcore.errors import JobLaunchError
from flcore.job_launcher_spec import Check

from ..container_spec import MASK, ContainerSpec, Mount, Secret
from ..policy.argv_limits import check_words
from .job_folder import no_gift, owner

logger = logging.getLogger(__name__)

SECRETS_PATH = "/run/secrets"
"""Where a container sees them, as with Docker's own."""
MAX_SIZE = 500 << 10
"""Bytes of one secret; Docker's own limit, too."""

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_MODE = 0o400


class JobSecrets:
    """The secrets of one launcher's containers. Making one touches no disk; safe to use from several threads.

    Args:
        folder: a folder of this host that is in memory. An engine must see it at the same path.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._left: set[str] = set()
        """Nonces of jobs whose files could not be removed, and should be soon."""

    def give(self, spec: ContainerSpec, nonce: str) -> ContainerSpec:
        """Make the files of one job, and return a spec that shows them to it.

        Raises JobLaunchError; then some may be there, until :meth:`take_back`.
        """
        secrets = _of(spec)
        if not secrets:
            return spec
        values = {secret: read_secret(secret) for secret in secrets}
        variables = {secret.to_env: _as_variable(secret, value) for secret, value in values.items() if secret.to_env}
        paths = self._make_files(values, spec.host_user, nonce)
        return self._shown_to(spec, paths, variables, nonce)

    def describe(self, spec: ContainerSpec, nonce: str) -> ContainerSpec:
        """Return what :meth:`give` would, without making or reading anything."""
        secrets = _of(spec)
        variables = {secret.to_env: MASK for secret in secrets if secret.to_env}
        return self._shown_to(spec, {secret: self._path(secret, nonce) for secret in secrets}, variables, nonce)

    def take_back(self, nonce: str) -> bool:
        """Remove the files of one job, of whatever process of this site, and what could not be removed before.

        Idempotent; what goes wrong is logged. False if it is worth trying again.
        """
        for each in {*self._left, nonce}:
            self._remove(each)
        return nonce not in self._left

    def _remove(self, nonce: str) -> None:
        path = Path(self._folder, _folder_name(nonce))
        self._left.discard(nonce)
        try:
            # Anybody may make a folder of this name in a shared /dev/shm; only our own is ours to remove.
            if nonce and path.lstat().st_uid == os.geteuid():
                remove(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in PASSING:
                self._left.add(nonce)
            what = "that is tried again" if nonce in self._left else "remove them by hand"
            logger.warning("the secrets in %s cannot be removed; %s: %s", path, what, in_words(error))

    def check(self, secrets: Sequence[Secret]) -> Iterator[Check]:
        """Say whether all sources can be read, and the folder is in memory."""
        for secret in secrets:
            yield _check(f"secret {secret.name}", secret.source, partial(read_secret, secret))
        if secrets:
            yield from self._check_place()

    def _check_place(self) -> Iterable[Check]:
        yield _check("secrets_dir", self._folder, lambda: os.close(self._open()))

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
        kind = file_system_of(folder)
        if kind not in _IN_MEMORY:
            place = f"{self._folder} is on {kind or 'a disk'}"
            raise JobLaunchError(f"'secrets_dir' must be in memory (tmpfs), but {place}")


class ProcessSecrets(JobSecrets):
    """The secrets of local processes: memory of this process, which those of the same user can open by its path.

    A job that outlives this process keeps what it has opened or read, and can open no more.
    """

    def __init__(self) -> None:
        super().__init__("")
        self._files: dict[str, list[int]] = {}

    def take_back(self, nonce: str) -> bool:
        for descriptor in self._files.pop(nonce, ()):
            os.close(descriptor)
        return True

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


def _of(spec: ContainerSpec) -> tuple[Secret, ...]:
    """Return a job's secrets and its private files, which need no variable that says where they are."""
    files = spec.private_files.items()
    return (*spec.secrets, *(Secret(f"of-{Path(target).name}", source, target=target) for target, source in files))


def _as_variable(secret: Secret, value: bytes) -> str:
    """Return a value as a secret's variable holds it: without a line break at its end. Raises JobLaunchError."""
    try:
        text = value.decode().removesuffix("\n")
        check_words([f"{secret.to_env}={text}"])
    except ValueError:  # without its cause, which holds the value
        raise secret.error(f"cannot be put into {secret.to_env}: it is too long, no UTF-8, or holds a NUL") from None
    return text


def read_secret(secret: Secret) -> bytes:
    """Return what a secret is now. Raises JobLaunchError, which does not show it."""
    try:
        value = _read_file(secret.file) if secret.file else os.environb[secret.env.encode()]
    except KeyError:
        raise secret.error("is not set") from None
    except OSError as error:
        raise secret.error(f"cannot be read: {error.strerror}") from error
    if not 0 < len(value) <= MAX_SIZE:
        raise secret.error(f"must hold 1 to {MAX_SIZE} bytes")
    return value


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


def file_system_of(folder: int) -> str:
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
        return Check(what, False, in_words(error))
    return Check(what, True, where)
