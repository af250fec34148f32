"""What a site should know of its data and disk is said when it is checked."""

from __future__ import annotations

from typing import Any

from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.job_launcher import JobLauncher
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.runtime.fake import FakeRuntime

LIMIT = {"disk": "10Gi"}


def docker(**keys: Any) -> JobLauncher:
    return ClientDockerJobLauncher(runtime=FakeRuntime(), image="job:1", **keys)


def warnings(launcher: JobLauncher) -> list[str]:
    return [check.detail for check in launcher.check() if check.what == "disk" and check.warning and check.ok]


def test_a_limit_of_the_disk_that_holds_everywhere_is_nothing_to_talk_about() -> None:
    assert not warnings(docker(limits=LIMIT))


def test_where_a_job_can_write_without_limit_is_said() -> None:
    mounts = [{"source": "/srv/out", "target": "/out", "read_only": False}, {"source": "/srv/in", "target": "/in"}]
    places = "the files of its image ('read_only'), /out ('mounts')"
    assert warnings(docker(limits=LIMIT, read_only=False, mounts=mounts)) == [
        f"'disk' limits a job's folder; without limit it can write to {places}"
    ]


def test_a_site_that_limits_no_disk_is_told_nothing_of_it() -> None:
    assert not warnings(docker(read_only=False))


def test_a_studys_limit_is_one_too() -> None:
    assert warnings(docker(read_only=False, studies={"cardio": {"limits": LIMIT}}))


def test_of_a_local_process_it_is_said_that_it_can_write_elsewhere() -> None:
    (said,) = warnings(ClientProcessJobLauncher(runtime=FakeRuntime(), limits=LIMIT))
    assert "it is a local process" in said
