"""A container is a site's own by what the site has written down, not by its labels."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from launchers.records.job_record import JobIdentity
from launchers.records.known_containers import KnownContainers, agrees

WHO = JobIdentity("job-1", "site-1", "site-1-job-1", "c1", "n1")
SAID = {"job_id": "job-1", "site": "site-1", "name": "site-1-job-1", "nonce": "n1", "container_id": "c1"}
SAID_OF = json.dumps(SAID)
OTHERS = [
    replace(WHO, container_name="copy"),
    replace(WHO, container_id="c2"),
    replace(WHO, nonce="n2"),
    replace(WHO, job_id="job-2"),
    replace(WHO, site="site-2"),
]


def put(folder: Path, place: str, content: str = json.dumps(SAID)) -> Path:
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    return path


@pytest.mark.parametrize("place", ["jobs", "unreadable", "kept"])
def test_what_is_written_down_is_known(tmp_path: Path, place: str) -> None:
    path = put(tmp_path, f"{place}/job-1.n1.jsonl")
    assert KnownContainers(tmp_path).note_of(WHO) == path


@pytest.mark.parametrize("who", OTHERS, ids=["name", "id", "nonce", "job", "site"])
def test_what_differs_in_anything_is_not(tmp_path: Path, who: JobIdentity) -> None:
    put(tmp_path, "jobs/job-1.n1.jsonl")
    assert KnownContainers(tmp_path).note_of(who) is None
    assert not agrees(SAID, who)


def test_an_id_that_is_not_known_yet_may_be_any(tmp_path: Path) -> None:
    put(tmp_path, "jobs/job-1.n1.jsonl", json.dumps(SAID | {"container_id": ""}))
    assert KnownContainers(tmp_path).note_of(replace(WHO, container_id="c2"))


@pytest.mark.parametrize("content", ["", "\0\0", "[" * 100_000, "7", json.dumps({"nonce": "n1"})])
@pytest.mark.parametrize("name", ["job-1.n1.jsonl", "job-1.n1.jsonl.1234abcd"])
def test_the_name_of_a_record_that_cannot_be_read_still_says_it(tmp_path: Path, name: str, content: str) -> None:
    put(tmp_path, f"unreadable/{name}", content)
    assert KnownContainers(tmp_path).note_of(WHO)


def test_what_can_be_read_of_such_a_record_counts(tmp_path: Path) -> None:
    put(tmp_path, "unreadable/job-1.n1.jsonl", '{"name": "site-1-job-1", "container_id": "c1"}\n{"torn')
    assert KnownContainers(tmp_path).note_of(replace(WHO, container_id="c2")) is None


def test_a_record_whose_job_has_another_now_knows_nothing(tmp_path: Path) -> None:
    put(tmp_path, "unreadable/job-1.n1.jsonl.settled")
    assert KnownContainers(tmp_path).note_of(WHO) is None


@pytest.mark.parametrize("what", [{"job_id": "../jobs/job-1"}, {"nonce": "*"}, {"nonce": ""}])
def test_what_cannot_stand_in_a_path_is_not_looked_for(tmp_path: Path, what: dict[str, str]) -> None:
    put(tmp_path, "jobs/job-1.n1.jsonl")
    assert KnownContainers(tmp_path).note_of(replace(WHO, **what)) is None


def test_a_pipe_among_the_records_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    os.mkfifo(tmp_path / "jobs/job-1.n1.jsonl")
    assert KnownContainers(tmp_path).note_of(WHO)  # its name says it


@pytest.mark.parametrize(("who", "is_told"), [(WHO, True), *((other, other.nonce == "n2") for other in OTHERS)])
def test_the_journal_tells_of_a_container_by_its_id(tmp_path: Path, who: JobIdentity, is_told: bool) -> None:
    line = {"event": "state_change", "container_name": "site-1-job-1"} | SAID
    put(tmp_path, "journal.jsonl", json.dumps(line) + "\n")
    assert KnownContainers(tmp_path).are_told_of(who) is is_told


def test_what_was_asked_for_and_has_never_appeared_is_forgotten_after_a_week(tmp_path: Path) -> None:
    unmade = json.dumps(SAID | {"container_id": ""})
    paths = [
        put(tmp_path, f"kept/job-1.{nonce}.jsonl", said)
        for nonce, said in (("n1", SAID_OF), ("n2", unmade), ("n3", unmade))
    ]
    for path in paths[:2]:
        os.utime(path, (0, 0))
    KnownContainers(tmp_path).forget_what_was_never_made()
    assert [path.exists() for path in paths] == [True, False, True]


def test_without_a_journal_nothing_is_told(tmp_path: Path) -> None:
    assert not KnownContainers(tmp_path).are_told_of(WHO)
