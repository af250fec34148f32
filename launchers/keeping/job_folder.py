"""A job's own folder on the host, while its job is launched: made, given to the job's user, and seen to be still it.

One that a launch has made goes again if the launch fails.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Self

from flcore.disk import project_quota
from flcore.disk.job_folders import forget_missing, note_new
from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import give, make_private
from flcore.errors import JobLaunchError, OutcomeUnknownError


class JobFolder:
    """One launch's folder. Making one touches no disk; to be closed.

    It stays open until the launch is over: so nothing else can have its number meanwhile. As a context manager around
    the launch it is closed at the end, and goes again if it was made, the launch fails, and it is empty.

    Args:
        job_id: for errors.
        path: no link is followed in its last part, and below; what is above is the site's. None: there is none.
    """

    def __init__(self, job_id: str, path: Path | None) -> None:
        self._job_id = job_id
        self._path = path
        self._folder = -1
        self.must_be_given = False
        """Whether nothing in it is the job's user's yet."""
        self._is_new = False

    def make(self, user: str | None) -> None:
        """Make it if need be, closed to everybody but the job's user, who gets all that is in it.

        ``user`` is a ``uid:gid`` of this host; empty is the site's own, None that it is known at the start only. Raises
        JobLaunchError.
        """
        self.must_be_given = user is None
        if self._path is None:
            return
        try:
            self._is_new = not os.path.lexists(self._path)
            note_new(self._path)
            self._folder = make_private(self._path)
            if user is not None:
                self._give(user)
        except OSError as error:
            raise JobLaunchError(
                f"job {self._job_id}: its folder cannot be made: {self._path}: {in_words(error)}"
            ) from error

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

    def lift_quota(self) -> None:
        """Have it have no quota, as one has whose last run lost its site: nothing can be moved into such a folder."""
        if self._path:
            with suppress(OSError):  # whoever moves something hears of it
                project_quota.let_go(self._path)

    def give(self, user: str) -> None:
        """Give what has come into it since to the job's user, too. Raises JobLaunchError."""
        try:
            self._give(user)
        except OSError as error:
            raise JobLaunchError(
                f"job {self._job_id}: its files cannot be given away: {self._path}: {in_words(error)}"
            ) from error

    def close(self) -> None:
        """Idempotent."""
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)

    def _give(self, user: str) -> None:
        uid, gid = owner(user)
        if self._folder < 0 or (uid, gid) == (os.geteuid(), os.getegid()):
            return
        try:
            give(self._folder, uid, gid)
        except PermissionError as error:
            raise JobLaunchError(f"job {self._job_id}: {no_gift(user)}: {in_words(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, trace: object) -> None:
        self.close()
        if error and self._is_new and self._path and not isinstance(error, OutcomeUnknownError):
            with suppress(OSError):  # somebody has put something there
                self._path.rmdir()
                forget_missing(self._path)


def owner(user: str) -> tuple[int, int]:
    """Return the uid and gid of a job's user, as this host counts them; empty is the site's own."""
    uid, _, gid = user.partition(":")
    return (int(uid), int(gid)) if uid else (os.geteuid(), os.getegid())


def no_gift(user: str) -> str:
    """Say why a job's user gets no file of the site."""
    about = f"only root can give files to the jobs' user {user}"
    if os.geteuid() == 0:
        why = "CAP_CHOWN is missing, its user namespace lacks that user, or NFS squashes root"
        ways_out = "run the site as that user, grant the capability, or take a disk of this host for the workspace"
        return f"{about}, and this root may not: {why}; {ways_out}"
    return f"{about}; run the site as root, or leave 'user' and 'user_range' out"
