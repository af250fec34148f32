"""What a site should know of its data and disk is said when it is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flcore.disk import project_quota
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.job_launcher import JobLauncher
from launchers.keeping.site_data import BY_QUOTA
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


@pytest.mark.parametrize("why_none", [None, "its file system has no project quotas"])
def test_how_the_disk_is_limited_is_said_of_a_workspace_that_is_not_there_yet_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why_none: str | None
) -> None:
    answers = {tmp_path: why_none}
    monkeypatch.setattr(project_quota, "why_none", answers.__getitem__)
    ctx = FakeFLContext(workspace=tmp_path / "ws" / "site-1")
    said = [check.detail for check in docker(limits=LIMIT).check(ctx) if check.what == "disk"]
    measured = f"measured now and then: {why_none}"
    assert said == [measured if why_none else BY_QUOTA]


def test_a_disk_that_cannot_be_asked_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(project_quota, "why_none", broken)
    ctx = FakeFLContext(workspace=tmp_path)
    said = [check.detail for check in docker(limits=LIMIT).check(ctx) if check.what == "disk"]
    assert said == ["measured now and then: Input/output error"]
