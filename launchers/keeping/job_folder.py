"""A job's own folder on the host, while its job is launched: made, given to the job's user, and seen to be still it."""

from __future__ import annotations

import os
from pathlib import Path

from flcore.disk.safe_files import give, make_private
from flcore.errors import JobLaunchError


class JobFolder:
    """One launch's folder. Making one touches no disk; to be closed.

    It stays open until the launch is over: so nothing else can have its number meanwhile.

    Args:
        job_id: for errors.
        path: no link is followed in its last part, and below; what is above is the site's. None: there is none.
        user: ``uid:gid`` of the job's process; empty is the site's own.
    """

    def __init__(self, job_id: str, path: Path | None, user: str) -> None:
        self._job_id = job_id
        self._path = path
        self._user = user
        self._folder = -1

    def make(self) -> None:
        """Make it if need be, closed to everybody but the job's user, who gets all that is in it.

        Raises JobLaunchError.
        """
        if self._path is None:
            return
        try:
            self._folder = make_private(self._path)
            self._give()
        except OSError as error:
            raise JobLaunchError(f"job {self._job_id}: its folder cannot be made: {self._path}: {error}") from error

    def confirm(self) -> None:
        """Raise JobLaunchError if what would be mounted now is another folder, or a link."""
        if self._path is None:
            return
        try:
            same = os.path.samestat(os.fstat(self._folder), self._path.lstat())
        except OSError:
            same = False
        if not same:
            raise JobLaunchError(f"job {self._job_id}: its folder was replaced during the launch: {self._path}")

    def close(self) -> None:
        """Idempotent."""
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)

    def _give(self) -> None:
        uid, gid = owner(self._user)
        if (uid, gid) == (os.geteuid(), os.getegid()):
            return
        try:
            give(self._folder, uid, gid)
        except PermissionError as error:
            raise JobLaunchError(f"job {self._job_id}: {no_gift(self._user)}: {error}") from error


def owner(user: str) -> tuple[int, int]:
    """Return the uid and gid of a job's user; empty is the site's own."""
    uid, _, gid = user.partition(":")
    return (int(uid), int(gid)) if uid else (os.geteuid(), os.getegid())


def no_gift(user: str) -> str:
    """Say why a job's user gets no file of the site."""
    return f"only root can give files to the jobs' user {user}; run the site as root, or leave 'user' out"
