"""Jobs with GPUs: what a launcher gives to whom, and when it gets it back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore import EventType
from flcore.disk.job_folders import note_new
from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobRejectedError,
    JobStartError,
    NoGpuError,
    RuntimeUnavailableError,
)
from flcore.job_launcher_spec import Check
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.records.gpu_leases import GpuLeases
from launchers.runtime.fake import FakeRuntime

IDS = ["0", "1", "2", "3"]
UUID = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
ROOT = Path(__file__).parents[3]
JOB_ARGS = {"exe_module": ("-m", "work")}


class Lab:
    """One host: its engine, its GPUs, and the parents of its sites."""

    def __init__(self, folder: Path) -> None:
        self.runtime = FakeRuntime()
        self.folder = folder
        self._launchers: list[ClientDockerJobLauncher] = []

    def parent(self, site: str = "site-1", **kwargs: Any) -> Parent:
        given: dict[str, Any] = {"image": "job:1", "runtime": self.runtime, "gpu_ids": IDS, "stop_grace": 0} | kwargs
        launcher = ClientDockerJobLauncher(gpu_lease_dir=str(self.folder / "gpus"), **given)
        hasty = replace(launcher.job_settings, launch_patience=0.05, creation_grace=0.05, relist_interval=0.02)
        launcher.job_settings = hasty
        self._launchers.append(launcher)
        return Parent(self, site, launcher)

    def holders(self) -> dict[str, str]:
        return GpuLeases(self.folder / "gpus", list).holders()

    def close(self) -> None:
        self.runtime.reachable = True
        for launcher in self._launchers:
            launcher.close()


class Parent:
    def __init__(self, lab: Lab, site: str, launcher: ClientDockerJobLauncher) -> None:
        self.launcher = launcher
        self.ctx = FakeFLContext(site, workspace=lab.folder / site, job_args=JOB_ARGS)
        self._site, self._lab = site, lab

    def launch(self, job_id: str = "job-1", gpus: int = 1) -> tuple[str, ...]:
        """Launch a job, and return which GPUs its container got."""
        resources = {self._site: {"num_of_gpus": gpus}}
        self.launcher.launch_job({"job_id": job_id, "resource_spec": resources}, self.ctx)
        return self._lab.runtime.container(f"{self._site}-{job_id}").spec.gpu_ids

    def end(self, job_id: str = "job-1") -> None:
        self._lab.runtime.exit(f"{self._site}-{job_id}")
        self.ctx.recorder.wait_for_end(job_id)


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when it holds, of processes that can only be asked."""
    deadline, pause = time.monotonic() + 20, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.01)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def test_a_job_gets_as_many_as_it_asks_for(lab: Lab) -> None:
    parent = lab.parent()
    assert [parent.launch("job-1", 3), parent.launch("job-2", 0), parent.launch("job-3")] == [
        ("0", "1", "2"),
        (),
        ("3",),
    ]


def test_a_job_that_does_not_ask_gets_none_or_what_the_site_says(lab: Lab) -> None:
    for number, (defaults, expected) in enumerate([({}, ()), ({"num_of_gpus": 2}, ("0", "1"))]):
        parent = lab.parent(defaults=defaults)
        parent.launcher.launch_job({"job_id": f"job-{number}"}, parent.ctx)
        assert lab.runtime.container(f"site-1-job-{number}").spec.gpu_ids == expected


def test_a_launch_that_finds_too_few_leaves_nothing(lab: Lab) -> None:
    parent = lab.parent()
    parent.launch("job-1", 3)
    with pytest.raises(
        NoGpuError, match="job job-2: num_of_gpus: it asks for 2; 1 of 4 GPUs are free; 0: job job-1 of site-1"
    ):
        parent.launch("job-2", 2)
    assert len(lab.runtime.containers()) == 1
    assert len(list((lab.folder / "site-1/.flcore/jobs").iterdir())) == 1


def test_an_ended_job_gives_its_devices_back(lab: Lab) -> None:
    parent = lab.parent()
    parent.launch("job-1", 4)
    parent.end("job-1")
    parent.launcher.close()  # which waits for clean-ups
    assert lab.holders() == {}
    assert lab.parent("site-2").launch("job-2", 4) == tuple(IDS)


def no_image(lab: Lab) -> None:
    lab.runtime.images = set()


def no_start(lab: Lab) -> None:
    lab.runtime.start_error = "no such program"


def no_engine(lab: Lab) -> None:
    lab.runtime.reachable = False


@pytest.mark.parametrize(
    ("prevent", "kind"),
    [(no_image, ImageError), (no_start, JobStartError), (no_engine, RuntimeUnavailableError)],
    ids=["no-image", "no-start", "no-engine"],
)
def test_a_launch_that_fails_gives_its_devices_back(
    lab: Lab, prevent: Callable[[Lab], None], kind: type[JobLaunchError]
) -> None:
    parent = lab.parent()
    prevent(lab)
    with pytest.raises(kind):
        parent.launch("job-1", 4)
    lab.runtime.set_reachable(True)
    wait_until(lambda: lab.holders() == {})


def test_a_device_of_a_job_outlives_its_parent_and_comes_back_by_the_next_one(lab: Lab) -> None:
    first = lab.parent()
    first.launch("job-1", 2)
    first.launcher.close()
    assert lab.parent("site-2").launch("job-2") == ("2",)

    second = lab.parent()
    second.launcher.dispatch_event(EventType.SYSTEM_START, second.ctx)
    assert lab.holders()["0"] == "job job-1 of site-1"
    second.end("job-1")
    second.launcher.close()
    assert lab.holders() == {"2": "job job-2 of site-2"}


def test_all_gpus_are_those_that_the_runtime_finds(lab: Lab) -> None:
    lab.runtime.gpus = [UUID]
    parent = lab.parent(gpu_ids="all")
    with pytest.raises(JobRejectedError, match="num_of_gpus: more than the 1 GPUs of the site, got 2"):
        parent.launch("job-1", 2)
    assert parent.launch("job-2", 1) == (UUID,)


def test_gpus_that_nobody_names_are_one_clear_error(lab: Lab) -> None:
    with pytest.raises(
        JobLaunchError, match="neither nvidia-smi nor fake runtime names any GPU; list them in 'gpu_ids'"
    ):
        lab.parent(gpu_ids="all").launch()


def test_without_a_workspace_no_gpu_is_leased_as_nobody_would_remember_who_has_it(lab: Lab) -> None:
    launcher = lab.parent().launcher
    job_meta = {"job_id": "job-1", "resource_spec": {"site-1": {"num_of_gpus": 1}}}
    with pytest.raises(JobLaunchError, match="a site without a workspace cannot lease GPUs"):
        launcher.launch_job(job_meta, FakeFLContext(job_args=JOB_ARGS))


def checked(parent: Parent) -> Check:
    return list(parent.launcher.check(parent.ctx))[-1]


def test_a_check_says_who_has_which(lab: Lab) -> None:
    parent = lab.parent()
    assert checked(parent) == Check("GPUs", True, "4 of 4 GPUs are free")
    lab.parent("site-2").launch("job-1", 2)
    assert checked(parent) == Check(
        "GPUs", True, "2 of 4 GPUs are free; 0: job job-1 of site-2; 1: job job-1 of site-2"
    )


def test_a_check_says_that_none_were_found(lab: Lab) -> None:
    check = checked(lab.parent(gpu_ids="all"))
    assert (check.ok, check.what) == (False, "GPUs")
    assert "list them in 'gpu_ids'" in check.detail


def test_a_site_without_gpus_has_nothing_to_check(lab: Lab) -> None:
    assert "GPUs" not in [check.what for check in lab.parent(gpu_ids=()).launcher.check()]


PARENT = f"""
import sys
from pathlib import Path
from flcore.testing import FakeFLContext
from launchers.process_launcher import ClientProcessJobLauncher

workspace = Path(sys.argv[1])
launcher = ClientProcessJobLauncher(gpu_ids={IDS}, run_timeout=60)
ctx = FakeFLContext(workspace=workspace, job_args={JOB_ARGS})
launcher.launch_job({{"job_id": "job-1", "resource_spec": {{"site-1": {{"num_of_gpus": 2}}}}}}, ctx)
print("launched", flush=True)
sys.stdin.read()
"""
WORK = """
import os, sys
from pathlib import Path

Path("seen.part").write_text(str(os.getpid()) + " " + os.environ["CUDA_VISIBLE_DEVICES"])
Path("seen.part").rename("seen")
os.mkfifo("until")
open("until").read()
"""


def test_a_process_keeps_its_devices_when_its_parent_is_killed_and_no_longer(tmp_path: Path) -> None:
    custom = tmp_path / "job-1/app_site-1/custom"
    note_new(tmp_path / "job-1")
    custom.mkdir(parents=True)
    (custom / "work.py").write_text(WORK)
    leases = GpuLeases(tmp_path / ".flcore/gpus", list)
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert parent.stdout.readline() == b"launched\n"
        parent.kill()
    wait_until((tmp_path / "job-1/seen").exists)
    pid, devices = (tmp_path / "job-1/seen").read_text().split()
    job = os.pidfd_open(int(pid))
    try:
        assert (devices, leases.holders()) == ("0,1", {"0": "job job-1 of site-1", "1": "job job-1 of site-1"})
    finally:
        signal.pidfd_send_signal(job, signal.SIGKILL)
    wait_until(lambda: leases.holders() == {})
    os.close(job)


def test_an_ended_process_gives_its_devices_back(tmp_path: Path) -> None:
    launcher = ClientProcessJobLauncher(gpu_ids=IDS)
    ctx = FakeFLContext(workspace=tmp_path, job_args={"exe_module": ("-m", "this")})
    handle = launcher.launch_job({"job_id": "job-1", "resource_spec": {"site-1": {"num_of_gpus": 4}}}, ctx)
    handle.wait()
    launcher.close()
    assert list((tmp_path / ".flcore/gpus").glob("*.lock")) == []
    assert GpuLeases(tmp_path / ".flcore/gpus", list).holders() == {}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"gpu_ids": ["0", "0"]}, "gpu_ids names a device twice, got \\['0', '0'\\]"),
        ({"gpu_ids": "0"}, "gpu_ids must be a list of whole UUIDs"),
        (
            {"gpu_ids": ["0"], "limits": {"num_of_gpus": 2}},
            "limits.num_of_gpus must be no more than the 1 of 'gpu_ids'",
        ),
        ({"defaults": {"num_of_gpus": 1}}, "defaults.num_of_gpus must be no more than the 0 of 'gpu_ids', got 1"),
        ({"limits": {"num_of_gpus": True}}, "limits: num_of_gpus: must be a number of GPUs"),
        ({"gpu_memory": "80GB"}, "gpu_memory must be a number of bytes"),
        ({"gpu_lease_dir": "gpus"}, "gpu_lease_dir must be an absolute path"),
    ],
)
def test_a_wrong_argument_is_a_value_error_by_its_name(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClientDockerJobLauncher(**arguments)
