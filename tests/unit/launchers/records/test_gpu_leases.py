"""Leases of GPUs: never one device twice, and none lost. Killed processes are in ``tests/processes``."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from flcore.errors import JobLaunchError, JobRejectedError, NoGpuError
from launchers.records.gpu_leases import GpuLeases
from launchers.records.job_record import JobIdentity, JobRecord, RecordStore
from launchers.records.leases import Lease

IDS = ("0", "1", "2", "3")
UUIDS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "MIG-c2a1b0de-5f1e-4c57-9d1b-0d0f0e1a2b3c")


class Parent:
    """A site's parent: its records, and its view of the leases in a folder that others share."""

    def __init__(self, site: str, folder: Path, ids: tuple[str, ...] = IDS) -> None:
        self.site = site
        self.leases = GpuLeases(folder / "gpus", lambda: ids)
        self.store = RecordStore(folder / site)
        self.store.open()

    def begin(self, job_id: str) -> JobRecord:
        return self.store.add("launcher", self.who(job_id))

    def take(self, record: JobRecord, count: int = 1) -> tuple[str, ...]:
        return self.leases.take(count, self.who(record.path.name.split(".")[0]), record.path).names

    def take_without_record(self, job_id: str, count: int = 1) -> Lease:
        return self.leases.take(count, self.who(job_id), None)

    def who(self, job_id: str) -> JobIdentity:
        return JobIdentity(job_id, self.site, f"{self.site}-{job_id}", nonce="0123")


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Parent]:
    parent = Parent("site-1", tmp_path)
    yield parent
    parent.store.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Parent]:
    parent = Parent("site-2", tmp_path)
    yield parent
    parent.store.close()


def test_two_parents_get_different_devices(one: Parent, two: Parent) -> None:
    assert one.take(one.begin("a"), 2) == ("0", "1")
    assert two.take(two.begin("b"), 2) == ("2", "3")


def test_who_finds_too_few_free_is_told_who_has_them(one: Parent, two: Parent) -> None:
    one.take(one.begin("a"), 2)
    two.take_without_record("b")
    with pytest.raises(NoGpuError) as raised:
        two.take(two.begin("c"), 2)
    assert str(raised.value) == (
        "job c: num_of_gpus: it asks for 2; 1 of 4 GPUs are free; "
        "0: job a of site-1; 1: job a of site-1; 2: job b of site-2"
    )


def test_a_refused_job_takes_none(one: Parent) -> None:
    one.take(one.begin("a"), 3)
    with pytest.raises(NoGpuError):
        one.take(one.begin("b"), 2)
    assert one.take(one.begin("c")) == ("3",)


def test_more_than_the_site_has_is_never_to_be_had(one: Parent) -> None:
    with pytest.raises(JobRejectedError, match="job a: num_of_gpus: more than the 4 GPUs of the site, got 5"):
        one.take(one.begin("a"), 5)


def test_a_device_is_free_as_soon_as_the_record_of_its_job_is_gone(one: Parent, two: Parent) -> None:
    record = one.begin("a")
    one.take(record, 4)
    record.forget()
    assert two.leases.holders() == {}
    assert two.take(two.begin("b"), 4) == IDS


def test_a_parents_death_frees_no_device_of_a_job_on_record(one: Parent, two: Parent) -> None:
    one.take(one.begin("a"))
    one.store.close()
    assert two.leases.holders() == {"0": "job a of site-1"}


def test_a_torn_record_frees_no_device(one: Parent, two: Parent, caplog: pytest.LogCaptureFixture) -> None:
    record = one.begin("a")
    one.take(record)
    record.path.write_text('\n{"job_id": "a')
    assert two.leases.holders() == {"0": f"a job of {record.path}"}
    assert "passed over" in caplog.text


def test_a_record_that_cannot_be_read_frees_no_device(one: Parent, two: Parent) -> None:
    record = one.begin("a")
    one.take(record)
    record.forget()
    record.path.mkdir()
    assert "0" in two.leases.holders()
    assert two.take(two.begin("b")) == ("1",)


def test_a_workspace_that_is_not_there_frees_no_device(one: Parent, two: Parent) -> None:
    record = one.begin("a")
    one.take(record)
    record.path.parent.rename(record.path.parent.with_name("elsewhere"))
    link = two.leases.folder / "0"
    assert two.leases.holders()["0"].endswith(f"is not there; if no job uses the device, remove {link}")
    link.unlink()
    assert two.take(two.begin("b")) == ("0",)


def test_a_file_made_by_hand_keeps_a_device_from_jobs(one: Parent) -> None:
    one.leases.folder.mkdir()
    (one.leases.folder / "0").touch()
    assert one.take(one.begin("a")) == ("1",)


def test_other_files_in_the_folder_disturb_nobody(one: Parent) -> None:
    one.leases.folder.mkdir()
    for name in ("README", "00", "GPU-x", ".part"):
        (one.leases.folder / name).touch()
    assert one.take(one.begin("a"), 4) == IDS


def test_sites_that_name_devices_differently_are_told_before_one_is_leased_twice(tmp_path: Path, one: Parent) -> None:
    one.take(one.begin("a"))
    other = Parent("site-3", tmp_path, UUIDS)
    with pytest.raises(JobLaunchError, match=f"by index and by UUID: 0 may be one of {UUIDS[0]}, .*; use UUIDs"):
        other.take(other.begin("b"))
    other.store.close()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "gpus").touch()
    parent = Parent("site-1", tmp_path)
    with pytest.raises(JobLaunchError, match="job a: the site cannot write down which GPUs it has"):
        parent.take(parent.begin("a"))
    parent.store.close()


def test_asking_who_has_what_makes_no_folder(one: Parent) -> None:
    assert one.leases.holders() == {}
    assert not one.leases.folder.exists()


def test_without_a_record_a_device_is_given_back_by_its_lock(one: Parent, two: Parent) -> None:
    lease = one.take_without_record("a", 2)
    assert two.leases.holders() == {"0": "job a of site-1", "1": "job a of site-1"}
    assert lease.lock
    lease.lock.end()
    lease.lock.end()
    assert two.leases.holders() == {}


def test_a_lock_lasts_as_long_as_a_process_that_inherited_it(one: Parent, two: Parent) -> None:
    lease = one.take_without_record("a")
    assert lease.lock
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, pass_fds=[lease.lock.descriptor]) as process:
        lease.lock.let_go()
        held = two.leases.holders()
        process.kill()
    assert held == {"0": "job a of site-1"}
    assert two.leases.holders() == {}


def test_what_is_left_of_leases_goes_with_the_next(one: Parent) -> None:
    record = one.begin("a")
    one.take(record, 2)
    lease = one.take_without_record("b")
    assert lease.lock
    lease.lock.let_go()
    record.forget()
    one.take(one.begin("c"))
    assert [path.name for path in one.leases.folder.iterdir()] == ["0"]


def test_many_threads_never_have_one_device_twice(tmp_path: Path) -> None:
    in_use: set[str] = set()
    ever_used: set[str] = set()
    lock = threading.Lock()

    def work(number: int) -> None:
        parent = Parent(f"site-{number}", tmp_path)
        for turn in range(40):
            record = parent.begin(f"job-{turn}")
            with suppress(NoGpuError):
                gpu_ids = set(parent.take(record, 1 + turn % 2))
                with lock:
                    assert not gpu_ids & in_use
                    in_use.update(gpu_ids)
                    ever_used.update(gpu_ids)
                with lock:
                    in_use.difference_update(gpu_ids)
            record.forget()
        parent.store.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert ever_used == set(IDS)


def test_what_is_kept_for_a_job_is_taken_by_it_and_by_nobody_else(one: Parent, two: Parent) -> None:
    two.leases.reserve(1, two.who("a"))
    assert one.leases.holders() == {"0": "job a of site-2"}
    assert one.take(one.begin("b"), 2) == ("1", "2")
    record = two.begin("a")
    assert two.take(record) == ("0",)
    two.leases.give_back("a")
    assert one.leases.holders()["0"] == "job a of site-2"
    record.forget()
    assert "0" not in one.leases.holders()


def test_a_job_takes_what_is_kept_for_it_first_and_gives_up_the_rest(one: Parent, two: Parent) -> None:
    blocking = two.begin("z")
    two.take(blocking, 2)
    one.leases.reserve(2, one.who("a"))
    blocking.forget()
    assert one.take(one.begin("a")) == ("2",)
    assert two.leases.holders() == {"2": "job a of site-1"}


def test_a_job_may_take_more_than_is_kept_for_it(one: Parent) -> None:
    one.leases.reserve(1, one.who("a"))
    assert one.take(one.begin("a"), 3) == ("0", "1", "2")


def test_who_cannot_take_enough_keeps_what_was_kept_for_it(one: Parent, two: Parent) -> None:
    two.take(two.begin("z"), 3)
    one.leases.reserve(1, one.who("a"))
    with pytest.raises(NoGpuError, match="it asks for 2; 1 of 4 GPUs are free"):
        one.take(one.begin("a"), 2)
    assert two.leases.holders()["3"] == "job a of site-1"


def test_what_is_kept_for_a_job_again_is_in_place_of_what_was(one: Parent) -> None:
    one.leases.reserve(4, one.who("a"))
    one.leases.reserve(1, replace(one.who("a"), nonce="4567"))
    assert one.leases.holders() == {"0": "job a of site-1"}
    assert [path.name for path in one.leases.folder.glob("*.lock")] == ["a.4567.lock"]


def test_what_is_given_back_is_free_and_may_be_given_back_twice(one: Parent) -> None:
    one.leases.reserve(4, one.who("a"))
    one.leases.give_back("a")
    one.leases.give_back("a")
    assert one.leases.count() == (4, 4)
    assert one.take(one.begin("b"), 4) == IDS


def test_what_somebody_else_was_given_meanwhile_by_hand_is_not_taken(one: Parent, two: Parent) -> None:
    one.leases.reserve(1, one.who("a"))
    (one.leases.folder / "0").unlink()
    two.take(two.begin("b"))
    assert one.take(one.begin("a")) == ("1",)


def test_what_a_process_keeps_is_free_when_it_is_killed(tmp_path: Path, one: Parent) -> None:
    keeping = (
        "import signal, sys; from pathlib import Path; from launchers.records.gpu_leases import GpuLeases; "
        "from launchers.records.job_record import JobIdentity; leases = GpuLeases(Path(sys.argv[1]), lambda: ['0']); "
        "leases.reserve(1, JobIdentity('a', 'site-2', '', nonce='1')); print('kept', flush=True); signal.pause()"
    )
    command = [sys.executable, "-c", keeping, str(tmp_path / "gpus")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[4]) as process:
        assert process.stdout
        assert process.stdout.readline() == b"kept\n"
        kept = one.leases.holders()
        process.kill()
    assert kept == {"0": "job a of site-2"}
    assert one.leases.holders() == {}
