"""Where a file system keeps limits, a folder gets one; where not, that is said. `make test-quota` asks real ones."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from flcore.disk.project_quota import Held, held, hold, let_go, why_none

MI = 1 << 20
PROC = Path("/proc")
GET_MARKS, SET_MARKS = 0x801C581F, 0x401C5820
MARKS, RECORD = struct.Struct("=5I8x"), struct.Struct("=8QI4x")
STATE, GET, SET = (command << 8 | 2 for command in (0x5805, 0x800007, 0x800008))
INHERITED = 0x200
ENFORCED = 1 << 5


class Kernel:
    """What a kernel says of one file system: of each file its flags and its project, of each project its limit."""

    def __init__(self) -> None:
        self.marks: dict[int, tuple[int, int]] = {}
        self.limits: dict[int, int] = {}
        self.flags = ENFORCED
        self.error = 0
        self.others = 0
        """Files of each project that are elsewhere."""

    def ioctl(self, file: int, request: int, data: bytes) -> bytes:
        number = os.fstat(file).st_ino
        if request == SET_MARKS:
            flags, _, _, project, _ = MARKS.unpack(data)
            self.marks[number] = flags, project
        flags, project = self.marks.get(number, (0, 0))
        return MARKS.pack(flags, 0, 0, project, 0)

    def syscall(self, number: Any, _: Any, command: Any, project: Any, data: Any) -> int:
        assert number.value == 443
        if command.value == STATE:
            data[:4] = struct.pack("=bxH", 1, self.flags)
        elif self.error:
            ctypes.set_errno(self.error)
            return -1
        elif command.value == SET:
            self.limits[project.value] = RECORD.unpack(data.raw)[0]
        else:
            files = self.others + sum(of == project.value for _, of in self.marks.values())
            data[: RECORD.size] = RECORD.pack(self.limits.get(project.value, 0), 0, files << 12, 0, 0, files, 0, 0, 0)
        return 0


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(fcntl, "ioctl", kernel.ioctl)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: kernel)
    return kernel


def test_a_file_system_without_quotas_says_so_and_nothing_is_held() -> None:
    assert why_none(PROC) == "its file system or the kernel has no project quotas"
    assert held(PROC) is None
    let_go(PROC)
    with pytest.raises(OSError):  # noqa: PT011 - in whatever words a kernel has
        hold(PROC, MI)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    for call in (why_none, held, let_go):
        with pytest.raises(FileNotFoundError):
            call(tmp_path / "missing")


def test_a_folder_is_held_with_all_that_is_in_it(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").touch()
    (tmp_path / "link").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    assert why_none(tmp_path) is None
    hold(tmp_path, MI + 5000)
    assert held(tmp_path) == Held(MI + 4096, 3 * 4096)
    places = (tmp_path, tmp_path / "a", tmp_path / "a" / "file")
    assert [kernel.marks[place.stat().st_ino][0] for place in places] == [INHERITED, INHERITED, 0]


def test_it_keeps_its_number_until_it_goes(kernel: Kernel, tmp_path: Path) -> None:
    hold(tmp_path, MI)
    (first,) = kernel.limits
    let_go(tmp_path)
    let_go(tmp_path)
    assert held(tmp_path) is None
    assert kernel.marks[tmp_path.stat().st_ino] == (0, first)
    hold(tmp_path, 2 * MI)
    assert kernel.limits == {first: 2 << 10}


def test_a_number_that_others_use_is_left_to_them(kernel: Kernel, tmp_path: Path) -> None:
    hold(tmp_path, MI)
    (first,) = kernel.limits
    kernel.marks = {1: (0, first)}
    hold(tmp_path, 2 * MI)
    assert len(kernel.limits) == 2
    assert held(tmp_path) == Held(2 * MI, 4096)


def test_another_folders_number_is_not_taken_for_its_own(kernel: Kernel, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    hold(tmp_path / "other", MI)
    kernel.marks[tmp_path.stat().st_ino] = kernel.marks[(tmp_path / "other").stat().st_ino]
    assert held(tmp_path) is None
    let_go(tmp_path)
    assert held(tmp_path / "other") == Held(MI, 2 * 4096)


def test_where_all_numbers_are_taken_there_is_none(kernel: Kernel, tmp_path: Path) -> None:
    kernel.others = 1
    with pytest.raises(OSError, match="no project that is free"):
        hold(tmp_path, MI)


def test_one_that_xfs_has_never_heard_of_is_free(kernel: Kernel, tmp_path: Path) -> None:
    kernel.error = errno.ENOENT
    assert why_none(tmp_path) is None


def test_what_is_missing_is_said(kernel: Kernel, tmp_path: Path) -> None:
    kernel.error = errno.EPERM
    assert why_none(tmp_path) == "only root of this host can set project quotas (CAP_SYS_ADMIN)"
    kernel.flags = 1 << 4
    assert why_none(tmp_path) == "its file system enforces no project quotas: mount it with the option prjquota"


@pytest.mark.parametrize(("used", "is_full"), [(10 * MI, True), (10 * MI - (1 << 17), True), (9 * MI, False)])
def test_a_folder_is_full_as_soon_as_a_new_file_may_be_refused(used: int, is_full: bool) -> None:
    assert Held(10 * MI, used).is_full is is_full
