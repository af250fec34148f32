"""What a run was allowed, beside what it has used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from flcore import JobResult, JobReturnCode
from flcore.job_launcher_spec import JobUsage
from launchers.operator.job_view import JobView
from launchers.report.asked import Asked, asked
from tests.job_views import BEGAN, SUCCEEDED, job_view

MIB = 1 << 20


def usage_of(memory: Sequence[int], cores: float = 0.5) -> list[JobUsage]:
    return [
        JobUsage("job-1", "site-1", BEGAN + second, second * cores, used * MIB) for second, used in enumerate(memory)
    ]


def run(memory: Sequence[int] = (), cores: float = 0.5, result: JobResult = SUCCEEDED, **host: Any) -> JobView:
    return job_view(result=result, usage=usage_of(memory, cores), request={"Image": "x", "HostConfig": host})


def rows(view: JobView) -> dict[str, Asked]:
    return {row.resource: row for row in asked(view)}


@pytest.mark.parametrize(
    ("most", "kind", "verdict"),
    [
        (500, "too-little", "hardly enough: 98 % of it was in use"),
        (300, "enough", "about right"),
        (100, "too-much", "too much: 256 MiB would do"),
    ],
)
def test_memory_is_too_little_enough_or_too_much(most: int, kind: str, verdict: str) -> None:
    row = rows(run([10, 20, 30, 40, 50, most], Memory=512 * MIB))["memory"]
    assert (row.limit, row.used) == ("512 MiB", f"{most} MiB at most")
    assert (row.kind, row.verdict) == (kind, verdict)
    assert row.share == pytest.approx(100 * most / 512)


def test_what_was_killed_for_want_of_memory_had_too_little_whatever_was_measured() -> None:
    killed = JobResult(JobReturnCode.EXECUTION_ERROR, 137, 9, oom_killed=True)
    row = rows(run([10, 20], result=killed, Memory=512 * MIB))["memory"]
    assert (row.kind, row.used, row.share) == ("too-little", "20 MiB when measured last", None)
    assert row.verdict == "too little: it was killed for want of memory; allow it more"


def test_of_a_few_measurements_nothing_is_said_to_be_too_much() -> None:
    assert rows(run([10, 20], Memory=512 * MIB))["memory"].verdict == "about right"


def test_processors_are_told_on_average_and_at_most() -> None:
    row = rows(run([1] * 8, cores=1.9, NanoCpus=2_000_000_000))["processors"]
    assert (row.limit, row.used, row.kind) == ("2", "1.9 on average, 1.9 at most", "too-little")


def test_without_a_limit_there_is_no_verdict() -> None:
    assert [(row.limit, row.verdict) for row in asked(run([1, 2]))] == [("no limit", ""), ("no limit", "")]


def test_what_was_not_measured_says_so() -> None:
    assert {row.used for row in asked(run(Memory=MIB))} == {"not measured"}


def test_what_was_measured_once_says_so() -> None:
    assert rows(run([5]))["processors"].used == "measured once: it was too short"


def test_gpus_are_named() -> None:
    row = rows(run(DeviceRequests=[{"DeviceIDs": ["0", "GPU-7"]}]))["GPUs"]
    assert (row.limit, row.verdict) == ("0, GPU-7", "")


@pytest.mark.parametrize(
    "host", [{"Memory": "512Mi"}, {"Memory": -1}, {"NanoCpus": True}, {"DeviceRequests": {}}, {"DeviceRequests": [1]}]
)
def test_a_request_of_another_shape_limits_nothing(host: dict[str, Any]) -> None:
    assert {row.limit for row in asked(run([1, 2], **host))} == {"no limit"}


def test_nothing_is_said_of_a_run_whose_request_nobody_tells() -> None:
    assert asked(job_view(result=SUCCEEDED)) == []


def run_on_disk(*held: int | None, result: JobResult = SUCCEEDED, limit: int | None = 512 * MIB) -> JobView:
    sizes = [None if size is None else size * MIB for size in held]
    usage = [JobUsage("job-1", "site-1", BEGAN + n, n, MIB, size, limit) for n, size in enumerate(sizes)]
    return job_view(result=result, usage=usage, request={"Image": "x", "HostConfig": {}})


def test_a_folder_is_told_beside_what_it_may_hold() -> None:
    row = rows(run_on_disk(None, 100, 300, 200))["disk"]
    assert (row.limit, row.used, row.kind) == ("512 MiB", "300 MiB at most", "enough")


def test_a_job_that_was_ended_for_its_folder_had_too_little() -> None:
    ended = JobResult(JobReturnCode.ABORTED, 143, 15, ended_by="the site: its folder holds more ('disk')")
    row = rows(run_on_disk(100, result=ended))["disk"]
    assert (row.kind, row.verdict) == ("too-little", "too little: it was ended for that; allow it more")


def test_of_a_folder_without_a_limit_there_is_nothing_to_tell() -> None:
    assert "disk" not in rows(run_on_disk(None, limit=None))


def test_a_folder_that_nobody_has_looked_at_was_not_measured() -> None:
    assert rows(run_on_disk(None))["disk"].used == "not measured"
