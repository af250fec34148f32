"""The commands beside a site whose jobs are local processes, where there is no engine to be asked."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore import FLContext, JobHandleSpec, Site
from flcore.observers import JobJournal
from launchers.process_launcher import ProcessJobLauncher
from launchers.runtime import docker
from launchers.runtime.base import Whereabouts
from launchers.runtime.fake import FakeRuntime
from launchers.settings import EngineAddress
from tests.operator_lab import TIMEOUT, Done, OperatorLab, until

SCRIPT = """
import os, time
print("one\\ntwo", flush=True)
while not os.path.exists("go"):
    time.sleep(0.01)
print("three")
"""


class OneJob(ProcessJobLauncher):
    """Its jobs write, and go on when there is a file."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, list[str]]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", [sys.executable, "-c", SCRIPT]


@pytest.fixture
def job(lab: OperatorLab, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobHandleSpec]:
    class Absent(FakeRuntime):
        whereabouts = Whereabouts(EngineAddress("unix:///var/run/docker.sock"), is_guessed=True)

    absent = Absent()
    absent.set_reachable(False)
    monkeypatch.setattr(docker, "DockerRuntime", lambda *_, **__: absent)
    monkeypatch.chdir(lab.folder)
    with Site("site-1", {"journal": JobJournal(), "launcher": OneJob()}, lab.workspace()) as site:
        handle = site.launch_job({"job_id": "job-1"})
        yield handle
        go_on(lab)
        handle.wait()


def go_on(lab: OperatorLab) -> None:
    Path(lab.workspace(), "job-1", "go").touch()


def flcore(lab: OperatorLab, *words: str) -> Done:
    return lab.flcore(*words, sites=())


def test_a_running_processs_output_is_shown_and_followed_until_its_end(lab: OperatorLab, job: JobHandleSpec) -> None:
    until(lambda: flcore(lab, "logs", "job-1").lines == ["one", "two"])
    assert flcore(lab, "logs", "job-1", "--tail", "1").lines == ["two"]
    with ThreadPoolExecutor(1) as pool:
        following = pool.submit(flcore, lab, "logs", "job-1", "--follow")
        go_on(lab)
        assert following.result(TIMEOUT).lines == ["one", "two", "three"]
    job.wait()
    until(lambda: not lab.records())
    assert flcore(lab, "logs", "job-1").lines == ["one", "two", "three"]


def test_no_engine_is_missed_that_no_job_here_can_be_on(lab: OperatorLab, job: JobHandleSpec) -> None:
    until(lambda: [row["state"] for row in flcore(lab, "ps", "--json").objects] == ["running"])
    assert flcore(lab, "ps").err == ""
