"""Which project a file counts for, and whether what is made in a folder, or moved there, must count for the same.

A project is a number that each file of some file systems bears: see ``ioctl_xfs_fsgetxattr(2)`` and ``<linux/fs.h>``.
All functions take what is open, and raise OSError; on a file system without projects of a kind in ``NO_PROJECTS``.
"""

from __future__ import annotations

import errno
import fcntl
import struct
from contextlib import suppress
from typing import NamedTuple

NO_PROJECTS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_FSGETXATTR, _FSSETXATTR = 0x801C581F, 0x401C5820
"""Where these numbers are other than on x86 and ARM, there are no projects as far as this goes."""
_FSXATTR = struct.Struct("=5I8x")
"""``struct fsxattr``: flags, two of no matter here, the project, another one."""
_INHERITED = 0x200
"""``FS_XFLAG_PROJINHERIT``"""


class Marks(NamedTuple):
    """What a file says of its project."""

    project: int
    is_inherited: bool
    """Whether what comes into a folder must be of its project."""


def marks_of(place: int) -> Marks:
    flags, _, _, project, _ = _asked(place)
    return Marks(project, bool(flags & _INHERITED))


def mark(place: int, marks: Marks) -> None:
    """Have a file say that of its project. Its owner may, outside of user namespaces."""
    flags, extent, extents, _, copied = old = _asked(place)
    flags = flags | _INHERITED if marks.is_inherited else flags & ~_INHERITED
    new = (flags, extent, extents, marks.project, copied)
    if new != old:
        fcntl.ioctl(place, _FSSETXATTR, _FSXATTR.pack(*new))


def take_in_all(folder: int) -> None:
    """Have whatever is moved into a folder be welcome there, of whatever project, if that can be."""
    with suppress(OSError):
        if (marks := marks_of(folder)).is_inherited:
            mark(folder, marks._replace(is_inherited=False))


def _asked(place: int) -> tuple[int, ...]:
    return _FSXATTR.unpack(fcntl.ioctl(place, _FSGETXATTR, bytes(_FSXATTR.size)))
