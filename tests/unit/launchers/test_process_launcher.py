"""Jobs as real processes of this host."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flcore import JobReturnCode
from flcore.disk.job_folders import note_new
from flcore.testing import FakeFLContext
from launchers.container_spec import LABEL_JOB_ID, LABEL_LAUNCHER, LABEL_SITE, ContainerSpec, Mount
from launchers.process_launcher import ClientProcessJobLauncher, ProcessJobLauncher, ServerProcessJobLauncher

META = {"job_id": "job-1"}
TIMEOUT = 20.0


class Lab:
    """A site's workspace with the code of job-1."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.custom = workspace / "job-1" / "app_site-1" / "custom"
        note_new(workspace / "job-1")
        self.custom.mkdir(parents=True)

    def context(self, code: str, **more: Any) -> FakeFLContext:
        """Return the context of a job that runs this module."""
        (self.custom / "work.py").write_text(code)
        job_args = {"exe_module": ("-m", "work"), "job_id": ("-n", "job-1"), **more}
        return FakeFLContext(workspace=self.workspace, job_args=job_args)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[ClientProcessJobLauncher]:
    launcher = ClientProcessJobLauncher(stop_grace=5, datasets={"digits": str(tmp_path)}, env={"A": "site"})
    yield launcher
    launcher.close()


def test_a_process_sees_what_the_site_sees(launcher: ClientProcessJobLauncher, lab: Lab, tmp_path: Path) -> None:
    ctx = lab.context("", auth_token=("-t", "a-token"))
    assert launcher.plan(META, ctx).spec == ContainerSpec(
        name="site-1-job-1",
        image="",
        command=(sys.executable, "-u", "-m", "work", "-n", "job-1"),
        environment={
            "A": "site",
            "FLCORE_DATASET_DIGITS": str(tmp_path),
            "PYTHONPATH": str(lab.custom),
            "NVFLARE_JOB_AUTH_TOKEN": "a-token",
        },
        secret_variables=frozenset({"NVFLARE_JOB_AUTH_TOKEN"}),
        working_dir=f"{tmp_path}/job-1",
        mounts=(
            Mount(f"{tmp_path}/job-1", f"{tmp_path}/job-1", read_only=False),
            Mount(str(tmp_path), str(tmp_path)),
        ),
        labels={LABEL_SITE: "site-1", LABEL_JOB_ID: "job-1", LABEL_LAUNCHER: "ClientProcessJobLauncher"},
    )


def test_a_servers_process_listens_on_this_host_only(tmp_path: Path) -> None:
    ctx = FakeFLContext("server", workspace=tmp_path, job_args={"exe_module": ("-m", "work")})
    spec = ServerProcessJobLauncher().plan(META, ctx).spec
    assert spec.name == "server-job-1"
    assert spec.command == (sys.executable, "-u", "-m", "work", "--host", "127.0.0.1")


def test_it_volunteers_for_every_job() -> None:
    launcher, ctx = ClientProcessJobLauncher(), FakeFLContext()
    launcher.dispatch_event("_before_job_launch", ctx)
    assert ctx.launchers == [launcher]


def test_it_cannot_be_made_without_a_command() -> None:
    with pytest.raises(TypeError, match="get_command"):
        ProcessJobLauncher()  # type: ignore[abstract]


def test_an_image_that_a_job_names_is_meant_for_other_sites(launcher: ClientProcessJobLauncher, lab: Lab) -> None:
    meta = {"job_id": "job-1", "deploy_map": {"app": [{"sites": ["@ALL"], "image": "not-on-any-list:1"}]}}
    assert launcher.plan(meta, lab.context("")).spec.image == ""


def test_a_jobs_own_code_runs_in_its_own_folder(launcher: ClientProcessJobLauncher, lab: Lab) -> None:
    code = "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['A'], 'a-secret' in os.environ); sys.exit(103)"
    ctx = lab.context(code)
    handle = launcher.launch_job(META, ctx)
    assert handle.wait() is JobReturnCode.CONFIG_ERROR
    assert handle.logs() == f"['-n', 'job-1'] {lab.workspace}/job-1 site False\n"
    launcher.close()
    assert ctx.recorder.states() == ["created", "running", "exited"]
    assert (lab.workspace / "job-1" / "site-1.log").read_text() == handle.logs()


def test_a_job_can_be_terminated(launcher: ClientProcessJobLauncher, lab: Lab) -> None:
    ctx = lab.context("import signal; print('ready'); signal.pause()")
    handle = launcher.launch_job(META, ctx)
    assert handle.enter_states("running", TIMEOUT)
    assert handle.terminate(by="the test") is JobReturnCode.ABORTED
    result = ctx.recorder.wait_for_end()
    assert (result.ended_by, result.exit_code, result.signal) == ("the test", 143, 15)


def test_what_it_needs_is_there(tmp_path: Path) -> None:
    launcher = ClientProcessJobLauncher(datasets={"digits": str(tmp_path)})
    assert [(check.what, check.ok) for check in launcher.check()] == [("runtime", True), ("dataset digits", True)]
    launcher.close()
