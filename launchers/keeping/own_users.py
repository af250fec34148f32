"""Users of jobs' own: what the kernel counts, and keeps, by user is then one job's alone."""

from __future__ import annotations

import os
import pwd
import re
import secrets
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import closing, open_private, take_back
from flcore.errors import JobLaunchError, SiteBusyError
from flcore.job_launcher_spec import Check

from ..records.job_record import JobIdentity
from ..records.leases import Leases
from ..runtime.engine_traits import EngineTraits

_PREFIX = "uid-"
_NAME = re.compile(_PREFIX + r"[1-9][0-9]*", re.ASCII)


class OwnUsers:
    """The users that the jobs of one launcher may have: each is one job's at a time, of all sites that share a folder.

    Making one touches no disk; safe to use from several threads and processes.

    Args:
        uids: the users, as containers count them; the gid of each is the same number.
        folder: of the leases.
    """

    def __init__(self, uids: range, folder: Path) -> None:
        self.uids = uids
        self._leases = Leases(folder, lambda name: bool(_NAME.fullmatch(name)), ("user", "users"))

    def lend(self, who: JobIdentity, record: Path) -> str:
        """Return the ``uid:gid`` that is a job's as long as there is its record.

        Any that is free, so that it is hardly ever one that another job had just before. Raises JobLaunchError, such as
        SiteBusyError.
        """

        def choose(holders: Mapping[str, str]) -> Sequence[str]:
            first = secrets.randbelow(len(self.uids))
            names = map(_name, chain(self.uids[first:], self.uids[:first]))
            free = next((name for name in names if name not in holders), "")
            if not free:
                raise SiteBusyError(f"job {who.job_id}: {self._free_and_leased(holders)}")
            return [free]

        (name,) = self._leases.take(choose, who, record).names
        uid = name.removeprefix(_PREFIX)
        return f"{uid}:{uid}"

    def take_back(self, folder: Path, engine: EngineTraits) -> None:
        """Make an ended job's folder the site's own again, so that no later job of its user can have it.

        Idempotent; raises OSError.
        """
        try:
            opened = open_private(folder)
        except FileNotFoundError:  # it was made for a launch that has failed
            return
        with closing(opened):
            if os.fstat(opened).st_uid in engine.uids_on_host(self.uids):
                take_back(opened, os.geteuid(), os.getegid())

    def check_right(self, engine: EngineTraits) -> None:
        """Raise JobLaunchError if this process may not give files to these users. Touches no disk."""
        uids = engine.uids_on_host(self.uids)
        with closing(os.memfd_create("gift", os.MFD_CLOEXEC)) as gift:
            for uid in (uids[0], uids[-1]):
                try:
                    os.fchown(gift, uid, uid)
                except OSError as error:
                    raise JobLaunchError(_no_right(uid, error)) from error

    def check(self, engine: EngineTraits) -> Check:
        """Say whether jobs can have these users, and who has one."""
        uids = engine.uids_on_host(self.uids)
        others = ", ".join(f"{user.pw_uid} is {user.pw_name}" for user in pwd.getpwall() if user.pw_uid in uids)
        if others:
            return Check("users", False, f"'user_range' has users of this host: {others}; take uids that nobody has")
        try:
            self.check_right(engine)
            holders = self._leases.holders()
        except (JobLaunchError, OSError) as error:
            return Check("users", False, in_words(error))
        return Check("users", True, self._free_and_leased(holders))

    def _free_and_leased(self, holders: Mapping[str, str]) -> str:
        leased = [f"{uid}: {holders[name]}" for uid in self.uids if (name := _name(uid)) in holders]
        free = f"{len(self.uids) - len(leased)} of the {len(self.uids)} users of 'user_range' are free"
        return "; ".join([free, *leased])


def _name(uid: int) -> str:
    return f"{_PREFIX}{uid}"


def _no_right(uid: int, error: OSError) -> str:
    way_out = "run the site as root, in a user namespace that has all of the range, or leave 'user_range' out"
    return f"'user_range': the site cannot give a file to the user {uid}: {error.strerror}; {way_out}"
