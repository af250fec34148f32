"""What a site must not forget: written before the engine is asked, read after any death, shared by processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from launchers.records.job_record import JobIdentity, JobRecord, RecordStore, check_records, unreadable_records

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


def test_who_registers_buries_the_dead_even_where_none_has_come_as_far_as_a_record(tmp_path: Path) -> None:
    (tmp_path / "parents").mkdir()
    (tmp_path / "parents" / "dead").touch()
    store = RecordStore(tmp_path)
    store.open()
    assert [path.name for path in (tmp_path / "parents").iterdir()] == [store.parent_id]
    store.close()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # it is its child that dies
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


@pytest.mark.parametrize("content", [b"", b"\n", b"\0" * 512, b'\n{"jo', b'\n{"job_id": "job'])
def test_a_record_without_its_first_line_is_no_record(store: RecordStore, content: bytes) -> None:
    path = store.folder / "jobs" / "job-1.0000.jsonl"
    path.write_bytes(content)
    assert store.take_over("docker") == []
    assert files(store) == []
    assert unreadable_records(store.folder) == []


def put_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def put_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def make_huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(1 << 40)


def overwrite(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def add_fields(**fields: Any) -> Callable[[Path], object]:
    return lambda path: JobRecord(path).note(**fields)


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "a folder in its place": put_folder,
    "a pipe": put_pipe,
    "a link": put_link,
    "a terabyte": make_huge,
    "no text": overwrite(b"\xff\xfe"),
    "no object": overwrite(b"[]"),
    "another file": overwrite(b"\nhello\nworld"),
    "nested without an end": overwrite(b"[" * 100_000),
    "no job": add_fields(job_id=None),
    "a path for a job": add_fields(job_id="../../etc"),
    "a path for a nonce": add_fields(nonce="../x"),
    "no launcher": add_fields(launcher=[1]),
    "no time": add_fields(time="yesterday"),
    "a time that no clock has": add_fields(time=float("nan")),
}


@pytest.mark.parametrize("spoil", UNREADABLE.values(), ids=UNREADABLE)
def test_a_record_that_cannot_be_read_costs_itself_only_and_is_kept_aside(
    store: RecordStore, spoil: Callable[[Path], object]
) -> None:
    bad, _ = add(store, "bad"), add(store, "good")
    store.close()
    spoil(bad.path)
    found = opened(store).take_over("docker")
    assert [record.fields["job_id"] for record in found] == ["good"]
    assert [path.name for path in unreadable_records(store.folder)] == [bad.path.name]
    assert not os.path.lexists(bad.path)


def test_a_record_that_cannot_be_read_is_said_once(store: RecordStore, caplog: pytest.LogCaptureFixture) -> None:
    put_folder(add(store).path)
    for _ in range(2):
        store.take_over("docker")
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "it is kept as" in caplog.text


def test_a_check_says_that_records_could_not_be_read(store: RecordStore) -> None:
    assert list(check_records(store.folder)) == []
    put_folder(add(store).path)
    store.take_over("docker")
    (check,) = check_records(store.folder)
    assert (check.what, check.ok) == ("records", False)
    assert f"1 in {store.folder / 'unreadable'} could not be read" in check.detail


def test_two_records_of_one_name_are_both_kept_aside(store: RecordStore) -> None:
    for _ in range(2):
        put_folder(add(store).path)
        store.take_over("docker")
    assert len(unreadable_records(store.folder)) == 2


def test_a_process_that_can_open_no_file_blames_no_record(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store)
    store.close()
    other = opened(store)
    with monkeypatch.context() as too_many_files:
        too_many_files.setattr("launchers.records.job_record.open_file", no_descriptor)
        with pytest.raises(OSError, match="Too many open files"):
            other.take_over("docker")
    assert len(other.take_over("docker")) == 1


def no_descriptor(*_: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_record_that_goes_while_it_is_read_costs_no_other(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, _ = add(store, "a"), add(store, "b")
    store.close()
    other = opened(store)
    listed = list((store.folder / "jobs").glob("*.jsonl"))
    gone.forget()
    monkeypatch.setattr(Path, "glob", lambda *_: listed)
    assert [record.fields["job_id"] for record in other.take_over("docker")] == ["b"]
    assert unreadable_records(store.folder) == []


def test_a_record_that_says_of_nobody_that_he_follows_its_job_is_taken_over(store: RecordStore) -> None:
    add(store).note(parent=None)
    store.close()
    assert len(opened(store).take_over("docker")) == 1


def test_what_is_no_file_among_the_living_is_nobody_and_stops_nothing(store: RecordStore) -> None:
    (store.folder / "parents" / "folder").mkdir()
    os.mkfifo(store.folder / "parents" / "pipe")
    add(store)
    store.close()
    assert len(opened(store).take_over("docker")) == 1


def test_who_cannot_be_asked_about_is_not_taken_for_dead(store: RecordStore) -> None:
    other = opened(store)
    loop = store.folder / "parents" / "loop"
    loop.symlink_to(loop)  # stands for a disk's error
    assert other.is_alive("loop")


def test_a_sites_id_that_cannot_be_read_is_kept_aside_too(store: RecordStore) -> None:
    (store.folder / "site-id").write_bytes(b"\xff\xfe")
    assert len(opened(store).site_id) == 16
    assert (store.folder / "site-id.unreadable").read_bytes() == b"\xff\xfe"


def test_a_disk_that_refuses_keeps_no_record_from_being_taken_over(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store)
    store.close()
    other = opened(store)
    monkeypatch.setattr(JobRecord, "note", full_disk)
    assert len(other.take_over("docker")) == 1


def test_a_record_that_cannot_be_removed_is_removed_later(store: RecordStore, monkeypatch: pytest.MonkeyPatch) -> None:
    record = add(store, "a")
    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(Path, "unlink", full_disk)
        record.forget()
    assert files(store) == [record.path]
    add(store, "b").forget()
    assert files(store) == []


def test_a_process_whose_file_cannot_be_removed_is_dead_after_its_end_even_so(
    store: RecordStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened(store)
    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(Path, "unlink", full_disk)
        store.close()
    assert not other.is_alive(store.parent_id)


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_record_is_never_overwritten(store: RecordStore) -> None:
    add(store).note(container_id="abc")
    with pytest.raises(FileExistsError):
        add(store)
    assert b"abc" in files(store)[0].read_bytes()


def test_a_full_disk_is_an_error() -> None:
    with pytest.raises(OSError, match="No space left"):
        JobRecord(Path("/dev/full")).note(container_id="abc")
