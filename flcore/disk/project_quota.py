"""The limit of a folder that its file system keeps: by a project quota, as ext4 and XFS have them.

A project is a number that each file bears, and that what is made in a folder inherits from it. The file system counts
what all files of one project hold, and refuses what would be more than its limit. So it is known in one call what a
folder holds, also of files without a name that a process keeps open; and no folder passes its limit for a moment.

The number stands on the folder itself, and nowhere else: whoever looks at the folder, be it after a crash, finds it. It
is made of the folder's inode number, so that two folders hardly ever have the same, whoever makes them; one for which
there are files already is passed over. A job can have its own files count for others, outside of user namespaces.

What the calls mean is in ``quotactl(2)``, ``ioctl_xfs_fsgetxattr(2)``, and Linux's headers ``<linux/fs.h>``,
``<linux/quota.h>`` and ``<linux/dqblk_xfs.h>``. Where they are not known (before Linux 5.14, or where their numbers are
other than on x86 and ARM) there are no such quotas as far as this goes. Safe to use from several threads. All functions
raise OSError.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from pathlib import Path
from typing import NamedTuple

from .folder_size import LEAST
from .projects import NO_PROJECTS, Marks, mark, marks_of
from .safe_files import MAX_FOLDER_DEPTH, closing, open_folder

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
_FIRST, _BITS = 1 << 30, 30
"""Our projects: the first, and of how many bits they are. Others begin far below: Docker, and who counts by hand."""
_TRIES, _STEP = 8, 0x9E3779B97F4A7C15
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
    """Say why no folder in this one can get a limit by its file system; None if it can."""
    with closing(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as place:
        try:
            (flags,) = struct.unpack_from("=H", _quotactl(place, _XGETQSTAT, 0, bytes(256)), 2)
            if not flags & _ENFORCED:
                return "its file system enforces no project quotas: mount it with the option prjquota"
            _record(place, _FIRST)
            project = marks_of(place).project
        except PermissionError:
            return "only root of this host can set project quotas (CAP_SYS_ADMIN)"
        except OSError:
            return "its file system or the kernel has no project quotas"
    return f"it counts for the project {project} already, whose limit is left to hold" if project else None


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

    What is moved into it takes no notice of projects again, whatever a job has made of its folder's. It keeps its
    number until it goes, and then that is free.
    """
    with closing(open_folder(folder)) as place:
        try:
            marks = marks_of(place)
        except OSError as error:
            if error.errno in NO_PROJECTS:
                return
            raise
        with closing(os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=place)) as above:
            is_of_above = marks.project == marks_of(above).project
        if marks.is_inherited and not is_of_above:  # first: its owner may do it, who may lift no limit
            mark(place, marks._replace(is_inherited=False))
        for project in _possible(place):
            if _asked(place, project)[0]:
                _set_limit(place, project, 0)


def _project(place: int) -> int:
    """Return the project of a folder that :func:`hold` has given one; 0 for another."""
    try:
        project = marks_of(place).project
    except OSError as error:
        if error.errno in NO_PROJECTS:
            return 0
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

    Of the first, there may still be files that were moved out of an earlier folder with this inode number. All bits of
    that count: on a large XFS, new folders have numbers that differ in the high ones only.
    """
    number = os.fstat(place).st_ino
    return [_FIRST + ((number * _TRIES + n) * _STEP % (1 << 64) >> (64 - _BITS)) for n in range(_TRIES)]


def _enter(folder: int, project: int, depth: int) -> None:
    """Give a project to a folder and to what is in it, on its own file system.

    What is no file or folder cannot be opened without harm, and holds nothing.
    """
    mark(folder, Marks(project, is_inherited=True))  # first: what is made meanwhile has it
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
                        mark(place, Marks(project, is_inherited=False))


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
