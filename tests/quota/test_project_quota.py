"""A file system holds a folder to its limit, whoever writes what there, and says in one call what it holds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flcore.disk.folder_size import sizes_so_far
from flcore.disk.project_quota import Held, held, hold, let_go, why_none
from flcore.disk.projects import Marks, mark
from flcore.disk.safe_files import closing, open_folder, remove
from launchers.testing.patience import until
from tests.quota.conftest import as_job, made

KI, MI = 1 << 10, 1 << 20
BLOCK = 4096
LIMIT = 2 * MI

FILL = """
import sys
with open(sys.argv[1], "wb", buffering=0) as file:
    for _ in range(16 * 1024):
        file.write(bytes(4096))
"""
MIXED = """
import fcntl, os, struct, sys
top, shape = sys.argv[1], struct.Struct("=5I8x")
os.mkdir(top); os.mkdir(top + "/a"); os.mkdir(top + "/a/b")
place = os.open(top, os.O_RDONLY)
flags, extent, extents, project, more = shape.unpack(fcntl.ioctl(place, 0x801C581F, bytes(28)))
fcntl.ioctl(place, 0x401C5820, shape.pack(flags | 0x200, extent, extents, 5, more))
"""
MANY = """
import os, sys
for number in range(10_000):
    os.mknod(f"{sys.argv[1]}/{number}")
"""
CHANGE = """
import fcntl, os, struct, sys
file, shape = os.open(sys.argv[1], os.O_RDONLY), struct.Struct("=5I8x")
flags, extent, extents, project, more = shape.unpack(fcntl.ioctl(file, 0x801C581F, bytes(28)))
fcntl.ioctl(file, 0x401C5820, shape.pack(flags, extent, extents, int(sys.argv[2]), more))
"""
ASK = """
import sys
from pathlib import Path
from flcore.disk.project_quota import held, hold, let_go, why_none
folder = Path(sys.argv[1])
print(held(folder))
"""
SET = ASK.replace("held(folder)", "why_none(folder)") + "hold(folder, 1 << 30)"
IN_A_NAMESPACE = "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0"
REFUSALS = ("Disk quota exceeded", "No space left on device")


def is_refusal(said: str) -> bool:
    return any(refusal in said for refusal in REFUSALS)


def told(folder: Path) -> Held:
    found = held(folder)
    assert found
    return found


def project_of(folder: Path) -> int:
    said = subprocess.run(["lsattr", "-dp", folder], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[0])


def counted(folder: Path) -> int:
    *_, whole = sizes_so_far(folder)
    return whole


def test_a_file_system_that_keeps_limits_is_known(disk: Path) -> None:
    assert why_none(disk) is None


@pytest.mark.parametrize("limit", [LIMIT, LIMIT + KI, 3 * MI - 1])
def test_a_job_can_write_up_to_the_last_block_of_its_limit_and_no_further(folder: Path, limit: int) -> None:
    hold(folder, limit)
    assert is_refusal(as_job(FILL, folder / "data"))
    assert told(folder).limit == told(folder).used == limit // BLOCK * BLOCK
    assert told(folder).is_full
    assert (folder / "data").stat().st_size in (told(folder).limit, told(folder).limit - BLOCK)


def test_what_is_empty_has_its_limit_too(folder: Path) -> None:
    hold(folder, LIMIT)
    assert is_refusal(as_job(MANY, folder))
    assert told(folder).is_full
    assert LIMIT - 256 * KI <= counted(folder) <= LIMIT + BLOCK


def test_it_is_known_what_a_folder_holds(folder: Path) -> None:
    hold(folder, LIMIT)
    (folder / "data").write_bytes(bytes(MI))
    assert MI <= told(folder).used <= MI + 2 * BLOCK
    assert not told(folder).is_full
    (folder / "data").unlink()
    until(lambda: told(folder).used, lambda used: used <= 2 * BLOCK, "XFS takes its time, but not for ever")


def test_a_file_without_a_name_counts_as_long_as_it_is_open(folder: Path) -> None:
    hold(folder, LIMIT)
    with (folder / "data").open("wb", buffering=0) as file:
        file.write(bytes(MI))
        (folder / "data").unlink()
        assert counted(folder) <= 2 * BLOCK
        assert told(folder).used >= MI


def test_folders_in_it_are_held_with_it(folder: Path) -> None:
    hold(folder, LIMIT)
    as_job("import os, sys; os.makedirs(sys.argv[1])", folder / "a/b")
    as_job(FILL, folder / "a/b/data")
    assert told(folder).is_full


def test_what_is_there_already_counts(folder: Path) -> None:
    (folder / "app" / "custom").mkdir(parents=True)
    (folder / "app" / "custom" / "data").write_bytes(bytes(MI))
    hold(folder, LIMIT)
    assert told(folder).used >= MI


def test_what_is_beyond_the_limit_already_stays_and_nothing_is_added(folder: Path) -> None:
    (folder / "data").write_bytes(bytes(3 * MI))
    hold(folder, LIMIT)
    assert told(folder).is_full
    assert is_refusal(as_job(FILL, folder / "more"))
    assert (folder / "data").stat().st_size == 3 * MI


def test_each_folder_has_its_own_limit(disk: Path, folder: Path) -> None:
    other = made(disk / "other")
    hold(folder, LIMIT)
    hold(other, LIMIT)
    as_job(FILL, folder / "data")
    (other / "data").write_bytes(bytes(MI))
    assert told(folder).is_full
    assert told(other).used <= MI + 2 * BLOCK


def test_a_limit_can_be_set_anew(folder: Path) -> None:
    hold(folder, LIMIT)
    as_job(FILL, folder / "data")
    hold(folder, 2 * LIMIT)
    assert told(folder).limit == 2 * LIMIT
    assert LIMIT <= told(folder).used < LIMIT + 2 * BLOCK


def test_another_process_finds_it_again(folder: Path) -> None:
    hold(folder, LIMIT)
    (folder / "data").write_bytes(bytes(MI))
    done = subprocess.run([sys.executable, "-c", ASK, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(told(folder))


def test_a_folder_that_is_let_go_of_has_no_limit(disk: Path, folder: Path) -> None:
    hold(folder, LIMIT)
    (disk / "app").mkdir()
    with pytest.raises(OSError, match="Invalid cross-device link"):
        (disk / "app").rename(folder / "app")
    for _ in range(2):
        let_go(folder)
        assert held(folder) is None
    (folder / "data").write_bytes(bytes(2 * LIMIT))
    (disk / "app").rename(folder / "app")


def test_a_folder_that_is_held_once_more_holds_what_it_held(folder: Path) -> None:
    hold(folder, LIMIT)
    (folder / "data").write_bytes(bytes(MI))
    let_go(folder)
    (folder / "more").write_bytes(bytes(MI // 2))
    hold(folder, LIMIT)
    assert MI * 3 // 2 <= told(folder).used <= MI * 3 // 2 + 4 * BLOCK


def test_nothing_of_a_folder_that_is_removed_counts_for_the_next(disk: Path) -> None:
    for number in range(3):
        folder = made(disk / f"{number}")
        hold(folder, LIMIT)
        assert told(folder).used <= BLOCK
        (folder / "data").write_bytes(bytes(MI))
        (folder / "data").unlink()
        folder.rmdir()


def test_a_number_that_is_taken_is_given_to_no_other_folder(disk: Path, folder: Path) -> None:
    hold(folder, LIMIT)
    (folder / "data").write_bytes(bytes(MI))
    (folder / "data").rename(disk / "data")  # it stays in its project, and the folder's inode number is used again
    folder.rmdir()
    for number in range(8):
        other = made(disk / f"{number}")
        hold(other, LIMIT)
        assert told(other).used <= BLOCK


def test_a_job_can_set_no_limit_and_is_told_so(folder: Path) -> None:
    hold(folder, LIMIT)
    said = as_job(SET, folder)
    assert "only root of this host can set project quotas (CAP_SYS_ADMIN)" in said
    assert "Operation not permitted" in said
    assert told(folder).limit == LIMIT


def test_a_job_can_take_its_files_out_of_what_is_counted_but_not_out_of_its_folder(folder: Path) -> None:
    """Why folders are looked at even so: a file's owner may give it another project."""
    hold(folder, LIMIT)
    as_job(FILL, folder / "data")
    assert as_job(CHANGE, folder / "data", 0) == ""
    assert told(folder).used <= 2 * BLOCK
    assert counted(folder) >= LIMIT - 2 * BLOCK


def test_a_job_that_gives_its_folder_another_project_changes_nothing_for_that(disk: Path, folder: Path) -> None:
    other = made(disk / "other")
    hold(other, LIMIT)
    hold(folder, LIMIT)
    assert as_job(CHANGE, folder, project_of(other)) == ""
    assert held(folder) is None
    let_go(folder)
    hold(folder, 2 * LIMIT)
    assert told(other) == Held(LIMIT, BLOCK)
    assert told(folder).limit == 2 * LIMIT


def test_a_job_in_a_user_namespace_cannot_even_do_that(folder: Path) -> None:
    hold(folder, LIMIT)
    as_job(FILL, folder / "data")
    assert "Invalid argument" in as_job(f"{IN_A_NAMESPACE}{CHANGE}", folder / "data", 0)
    assert told(folder).is_full


def test_a_file_system_that_only_counts_has_no_limits() -> None:
    why = "its file system enforces no project quotas: mount it with the option prjquota"
    assert why_none(Path("/mnt/unlimited")) == why


def test_each_folder_of_a_large_file_system_has_a_project_of_its_own() -> None:
    place = Path("/mnt/large/many")
    place.mkdir()
    folders = [made(place / f"{number}") for number in range(40)]
    for folder in folders:
        hold(folder, LIMIT)
    assert len({project_of(folder) for folder in folders}) == len(folders)


def test_whatever_a_job_has_made_of_the_projects_in_its_folder_can_be_removed(folder: Path) -> None:
    assert as_job(MIXED, folder / "mixed") == ""
    remove(folder / "mixed")
    assert not (folder / "mixed").exists()


@pytest.mark.parametrize("project", [0, 7])
def test_a_limit_is_lifted_whatever_a_job_has_made_of_its_folders_project(folder: Path, project: int) -> None:
    hold(folder, LIMIT)
    (folder / "sub").mkdir()
    own = project_of(folder)
    assert as_job(CHANGE, folder, project) == ""
    let_go(folder)
    with closing(open_folder(folder)) as place:
        mark(place, Marks(own, is_inherited=False))
    assert held(folder) is None
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere").rename(folder / "moved")


def test_who_may_lift_no_limit_can_have_files_be_moved_there(folder: Path) -> None:
    hold(folder, LIMIT)
    assert "Operation not permitted" in as_job(ASK.replace("print(held(folder))", "let_go(folder)"), folder)
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere").rename(folder / "moved")


def test_a_workspace_that_counts_for_a_project_of_others_is_left_to_that(disk: Path) -> None:
    with closing(open_folder(disk)) as place:
        mark(place, Marks(42, is_inherited=True))
    assert why_none(disk) == "it counts for the project 42 already, whose limit is left to hold"


def test_the_file_system_and_who_looks_count_alike(folder: Path) -> None:
    hold(folder, LIMIT)
    as_job("import os, sys\nfor number in range(300): os.symlink('x', f'{sys.argv[1]}/{number}')", folder)
    as_job(FILL.replace("16 * 1024", "400"), folder / "data")
    assert counted(folder) <= LIMIT
