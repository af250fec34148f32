"""What a site must not forget: written before the engine is asked, read after any death, shared by processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers.records.job_record import JobIdentity, JobRecord, RecordStore

NONCE = "0123456789abcdef"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RecordStore]:
    store = RecordStore(tmp_path / "state")
    store.open()
    yield store
    store.close()


def opened(store: RecordStore) -> RecordStore:
    """Return a store on the same folder, as another process would open it."""
    other = RecordStore(store.folder)
    other.open()
    return other


def files(store: RecordStore) -> list[Path]:
    return sorted((store.folder / "jobs").iterdir())


def add(store: RecordStore, job_id: str = "job-1", launcher: str = "docker") -> JobRecord:
    return store.add(launcher, JobIdentity(job_id, "site-1", f"site-1-{job_id}", nonce=NONCE))


def test_making_a_store_touches_no_disk(tmp_path: Path) -> None:
    assert not RecordStore(tmp_path / "state").exists
    assert list(tmp_path.iterdir()) == []


def test_a_sites_id_stays_the_same(store: RecordStore) -> None:
    assert store.site_id == opened(store).site_id != ""


def test_two_sites_have_two_ids(tmp_path: Path, store: RecordStore) -> None:
    assert opened(RecordStore(tmp_path / "other")).site_id != store.site_id


def test_what_was_noted_is_there_after_the_death_of_the_process(store: RecordStore) -> None:
    record = add(store)
    record.note(container_id="abc")
    record.note(durable=True, told=["running", ["created", "running"], 1.5])
    store.close()
    other = opened(store)
    (found,) = other.take_over("docker")
    assert found.fields == {
        "job_id": "job-1",
        "nonce": NONCE,
        "parent": store.parent_id,
        "site": "site-1",
        "launcher": "docker",
        "name": "site-1-job-1",
        "time": found.fields["time"],
        "container_id": "abc",
        "told": ["running", ["created", "running"], 1.5],
    }


def test_later_fields_take_the_place_of_earlier_ones(store: RecordStore) -> None:
    record = add(store)
    record.note(container_id="old")
    record.note(container_id="new")
    store.close()
    (found,) = opened(store).take_over("docker")
    assert found.fields["container_id"] == "new"


def test_a_forgotten_record_is_gone_and_stays_so(store: RecordStore) -> None:
    record = add(store)
    record.forget()
    record.note(container_id="abc")
    record.forget()
    assert files(store) == []


def test_nobody_else_may_read_it(store: RecordStore) -> None:
    add(store)
    assert [stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (store.folder, *files(store))] == [0, 0]


def test_two_runs_of_one_job_have_two_records(store: RecordStore) -> None:
    for nonce in ("a" * 16, "b" * 16):
        store.add("docker", JobIdentity("job-1", "site-1", "site-1-job-1", nonce=nonce))
    assert len(files(store)) == 2


# --- who may take over ---


def test_the_records_of_the_living_are_left_alone(store: RecordStore) -> None:
    add(store)
    other = opened(store)
    assert other.take_over("docker") == []
    assert store.take_over("docker") == []


def test_a_record_is_taken_over_once(store: RecordStore) -> None:
    add(store)
    store.close()
    second, third = opened(store), opened(store)
    assert len(second.take_over("docker")) == 1
    assert third.take_over("docker") == []
    assert second.take_over("docker") == []
    second.close()
    assert len(third.take_over("docker")) == 1


def test_another_launchers_records_are_left_alone(store: RecordStore) -> None:
    add(store, launcher="docker")
    store.close()
    other = opened(store)
    assert other.take_over("swarm") == []
    assert len(other.take_over("docker")) == 1


def test_who_lives_is_known(store: RecordStore) -> None:
    other = opened(store)
    assert other.is_alive(store.parent_id)
    store.close()
    assert not other.is_alive(store.parent_id)
    assert not other.is_alive("never-heard-of")
    assert other.is_alive(other.parent_id)


def test_the_dead_are_buried(store: RecordStore) -> None:
    dead = RecordStore(store.folder)
    (store.folder / "parents" / dead.parent_id).touch()
    store.take_over("docker")
    assert [path.name for path in (store.folder / "parents").iterdir()] == [store.parent_id]


def test_a_killed_process_leaves_its_records_to_others(tmp_path: Path) -> None:
    def live_and_die() -> None:
        store = RecordStore(tmp_path)
        store.open()
        add(store).note(container_id="abc")
        os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=live_and_die)
    process.start()
    process.join()
    (found,) = opened(RecordStore(tmp_path)).take_over("docker")
    assert found.fields["container_id"] == "abc"


# --- what a crash, a full disk or a stranger leaves ---


def test_a_line_that_was_torn_spoils_no_other(store: RecordStore) -> None:
    record = add(store)
    record.note(container_id="abc")
    with record.path.open("ab") as file:
        file.write(b'\n{"told": ["exi')
    record.note(kept=True)
    store.close()
    (found,) = opened(store).take_over("docker")
    assert (found.fields["container_id"], found.fields["kept"], "told" in found.fields) == ("abc", True, False)


@pytest.mark.parametrize("content", [b"", b'\n{"job_id": "job', b"[]", b"\xff\xfe"])
def test_a_record_without_its_first_line_is_no_record(store: RecordStore, content: bytes) -> None:
    path = store.folder / "jobs" / "job-1.0000.jsonl"
    path.write_bytes(content)
    assert store.take_over("docker") == []
    assert files(store) == []


def test_a_record_is_never_overwritten(store: RecordStore) -> None:
    add(store).note(container_id="abc")
    with pytest.raises(FileExistsError):
        add(store)
    assert b"abc" in files(store)[0].read_bytes()


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        JobRecord(Path("/dev/full")).note(container_id="abc")
