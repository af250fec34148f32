"""The limit of a folder that its file system keeps: by a project quota, as ext4 and XFS have them.

A project is a number that each file bears, and that what is made in a folder inherits from it. The file system counts
what all files of one project hold, and refuses what would be more than its limit. So it is known in one call what a
folder holds, also of files without a name that a process keeps open; and no folder passes its limit for a moment.

The number stands on the folder itself, and nowhere else: whoever looks at the folder, be it after a crash, finds it. It
is made of the folder's inode number, so that no two folders of a file system have the same, whoever makes them.

What the calls mean is in ``quotactl(2)``, ``ioctl_xfs_fsgetxattr(2)``, and Linux's headers ``<linux/fs.h>``,
``<linux/quota.h>`` and ``<linux/dqblk_xfs.h>``. Where they are not known (before Linux 5.14, or where their numbers are
other than on x86 and ARM) there are no such quotas as far as this goes. Safe to use from several threads. All functions
raise OSError.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from .folder_size import LEAST
from .safe_files import MAX_FOLDER_DEPTH, closing, open_folder

_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
_FSXATTR = struct.Struct("=5I8x")
"""``struct fsxattr``: flags, two of no matter here, the project, another one."""
_INHERITED = 0x200
"""``FS_XFLAG_PROJINHERIT``: what is made in a folder gets its project."""
_QUOTACTL_FD = 443
"""The number of the system call, which has no function in most C libraries."""
_GETQUOTA, _SETQUOTA, _XGETQSTAT = 0x800007, 0x800008, 0x5805
_PROJECTS = 2
_DQBLK = struct.Struct("=8QI4x")
"""``struct if_dqblk``: a hard and a soft limit in KiB, bytes; the same of files; two times; which of them are set."""
_FILES = 5
"""Where in that is how many files there are."""
_LIMITS = 1 | 4
"""``QIF_BLIMITS`` and ``_ILIMITS``"""
_ENFORCED = 1 << 5
"""``FS_QUOTA_PDQ_ENFD``: that they are counted is not enough."""
_UNIT = 1024
_FIRST, _COUNT = 1 << 30, 1 << 30
"""Our projects. Others begin far below: Docker, Kubernetes and whoever counts by hand."""
_TRIES, _STEP = 8, 0x9E3779B1
_ROOM = 1 << 18
"""Bytes; XFS refuses a file that would leave less than 184 KiB."""
_AS_IT_IS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Held(NamedTuple):
    """What a folder's file system says of it, in bytes."""

    limit: int
    used: int
    """By each file 4 KiB at least."""

    @property
    def is_full(self) -> bool:
        """Whether more is refused, at least a new file: for one, XFS wants room for what its folder might need, too."""
        return self.used > self.limit - min(_ROOM, self.limit // 16)


def why_none(folder: Path) -> str | None:
    """Say why no folder beside this one, or in it, can get a limit by its file system; None if it can."""
    with closing(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as place:
        try:
            (flags,) = struct.unpack_from("=H", _quotactl(place, _XGETQSTAT, 0, bytes(256)), 2)
            if not flags & _ENFORCED:
                return "its file system enforces no project quotas: mount it with the option prjquota"
            _record(place, _FIRST)
        except PermissionError:
            return "only root of this host can set project quotas (CAP_SYS_ADMIN)"
        except OSError:
            return "its file system or the kernel has no project quotas"
    return None


def hold(folder: Path, limit: int) -> None:
    """Have a folder, with what is in it, never hold more than so many bytes. Idempotent.

    Rounded down to 4 KiB, as which each file counts at least. What it holds beyond that stays.
    """
    with closing(open_folder(folder)) as place:
        project = _project(place) or _free_project(place)
        _set_limit(place, project, 0)  # else what is there already might be refused
        _enter(place, project, MAX_FOLDER_DEPTH)
        _set_limit(place, project, max(LEAST, limit // LEAST * LEAST))


def held(folder: Path) -> Held | None:
    """Return what a folder may hold, and holds; None if :func:`hold` has not set that, or it stands no more."""
    with closing(open_folder(folder)) as place:
        project = _project(place)
        found = _record(place, project) if project else None
    return found if found and found.limit else None


def let_go(folder: Path) -> None:
    """Have a folder have no limit of its file system any more. Idempotent; nothing, if it has none.

    What is moved into it takes no notice of projects again. It keeps its number until it goes, and then that is free.
    """
    with closing(open_folder(folder)) as place:
        if project := _project(place):
            _set_limit(place, project, 0)
            _mark(place, project, inherited=False)


def _project(place: int) -> int:
    """Return the project of a folder that :func:`hold` has given one; 0 for another."""
    try:
        _, project = _marks(place)
    except OSError as error:
        if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL):
            return 0  # a file system without projects
        raise
    return project if project in _possible(place) else 0  # its owner may have given it another's


def _free_project(place: int) -> int:
    """Return a project for a folder, of which there is no file yet."""
    for project in _possible(place):
        if not _asked(place, project)[_FILES]:
            return project
    raise OSError(errno.EUSERS, "its file system has no project that is free")


def _possible(place: int) -> list[int]:
    """Return the projects that a folder may get, in the order in which they are tried.

    Of the first, there may still be files that were moved out of an earlier folder with this inode number.
    """
    number = os.fstat(place).st_ino
    return [_FIRST + (number + attempt * _STEP) % _COUNT for attempt in range(_TRIES)]


def _enter(folder: int, project: int, depth: int) -> None:
    """Give a project to a folder and to what is in it, on its own file system.

    What is no file or folder cannot be opened without harm, and holds nothing.
    """
    _mark(folder, project, inherited=True)  # first: what is made meanwhile has it
    with os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if (is_folder and depth) or entry.is_file(follow_symlinks=False):
                with closing(os.open(entry.name, _AS_IT_IS, dir_fd=folder)) as place:
                    info = os.fstat(place)
                    if info.st_dev != os.fstat(folder).st_dev:
                        continue
                    if stat.S_ISDIR(info.st_mode):
                        _enter(place, project, depth - 1)
                    else:
                        _mark(place, project, inherited=False)


def _marks(place: int) -> tuple[int, int]:
    """Return the flags of a file and its project."""
    flags, _, _, project, _ = _FSXATTR.unpack(fcntl.ioctl(place, _FSGETXATTR, bytes(_FSXATTR.size)))
    return flags, project


def _mark(place: int, project: int, *, inherited: bool) -> None:
    old = fcntl.ioctl(place, _FSGETXATTR, bytes(_FSXATTR.size))
    flags, extent, extents, _, copied = _FSXATTR.unpack(old)
    flags = flags | _INHERITED if inherited else flags & ~_INHERITED
    new = _FSXATTR.pack(flags, extent, extents, project, copied)
    if new != old:
        fcntl.ioctl(place, _FSSETXATTR, new)


def _set_limit(place: int, project: int, size: int) -> None:
    """Set the limit of a project, in bytes; 0 is none."""
    record = _DQBLK.pack(size // _UNIT, 0, 0, size // LEAST, 0, 0, 0, 0, _LIMITS)
    _quotactl(place, _SETQUOTA, project, record)


def _record(place: int, project: int) -> Held:
    limit, _, used, _, _, files, *_ = _asked(place, project)
    return Held(limit * _UNIT, max(used, files * LEAST))


def _asked(place: int, project: int) -> tuple[int, ...]:
    try:
        answer = _quotactl(place, _GETQUOTA, project, bytes(_DQBLK.size))
    except FileNotFoundError:  # as XFS says of one that there never was
        answer = bytes(_DQBLK.size)
    return _DQBLK.unpack(answer)


def _quotactl(place: int, command: int, project: int, data: bytes) -> bytes:
    import ctypes  # which few who import flcore need

    buffer = ctypes.create_string_buffer(data, len(data))
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(word) for word in (_QUOTACTL_FD, place, command << 8 | _PROJECTS, project)]
    if libc.syscall(*words, buffer) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return buffer.raw
