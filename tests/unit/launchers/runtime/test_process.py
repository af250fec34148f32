"""The runtime of local processes, with real ones; beside the contract of all runtimes."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobStartError
from launchers.container_spec import ContainerSpec
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.records.job_record import JobIdentity
from launchers.runtime.process import ProcessRuntime
from launchers.settings import JobSettings
from launchers.tracking.state_tracker import StateTracker
from launchers.tracking.tracked_job import TrackedJob

TIMEOUT = 20.0


class Lab:
    """A runtime of processes that run shell scripts."""

    def __init__(self, folder: Path) -> None:
        self.runtime = ProcessRuntime()
        self.folder = folder

    def create(self, script: str, name: str = "one", **more: Any) -> str:
        return self.runtime.create(ContainerSpec(name, "", ("sh", "-c", script), **more))

    def start(self, script: str, name: str = "one", **more: Any) -> str:
        container_id = self.create(script, name, **more)
        self.runtime.start(container_id)
        return container_id

    def start_ready(self, script: str) -> str:
        """Start a script that opens the fifo ``ready`` when it is, and return then."""
        ready = self.folder / "ready"
        os.mkfifo(ready)
        container_id = self.start(script, working_dir=str(self.folder))
        assert ready.read_text() == "ready\n"
        return container_id

    def end_of(self, container_id: str) -> ContainerState:
        """Return what is seen after the end."""
        with self.runtime.open_events() as events:
            while (seen := self.runtime.inspect(container_id)).state is not DOCKER_STATE.EXITED:
                next(events)
            return seen

    def run(self, script: str, **more: Any) -> ContainerState:
        container_id = self.start(script, **more)
        try:
            return self.end_of(container_id)
        finally:
            self.runtime.remove(container_id)

    def output_of(self, script: str, **more: Any) -> str:
        container_id = self.start(script, **more)
        self.end_of(container_id)
        return b"".join(self.runtime.logs(container_id)).decode()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for summary in lab.runtime.list_containers():
        lab.runtime.remove(summary.id)
    lab.runtime.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a path of its own would be one more


def is_gone(pid: int) -> bool:
    """Whether there is no such process, or only what is left of one for its parent to see."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def end_seen(pid: int) -> bool:
    """Wait until a process that is not ours has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor) as pidfd, ThreadPoolExecutor(1) as pool:
        import select

        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(pool.submit(poll.poll, TIMEOUT * 1000).result())


# --- how processes end ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGSEGV])
def test_a_signal_is_128_and_its_number(lab: Lab, number: signal.Signals) -> None:
    assert lab.run(f"kill -{number.value} $$").exit_code == 128 + number


def test_what_is_left_of_a_process_group_ends_with_its_leader(lab: Lab) -> None:
    child = int(lab.output_of("sleep 600 >/dev/null 2>&1 & echo $!"))
    assert end_seen(child)


def test_a_signal_reaches_the_whole_group(lab: Lab) -> None:
    container_id = lab.start_ready("sleep 600 & echo $!; echo ready >ready; wait")
    child = int(b"".join(lab.runtime.logs(container_id)))
    assert lab.runtime.send_signal(container_id, "SIGTERM")
    assert end_seen(child)


def test_a_process_may_end_in_its_own_way(lab: Lab) -> None:
    container_id = lab.start_ready("trap 'exit 7' TERM; echo ready >ready; while :; do sleep 0.01; done")
    assert lab.runtime.send_signal(container_id, "SIGTERM")
    assert lab.end_of(container_id).exit_code == 7


def test_a_suspended_process_is_paused_and_can_be_stopped(lab: Lab) -> None:
    container_id = lab.start("sleep 600")
    pid = pid_of(lab)
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
    assert lab.runtime.inspect(container_id).state is DOCKER_STATE.PAUSED
    os.kill(pid, signal.SIGCONT)
    os.waitid(os.P_PID, pid, os.WCONTINUED | os.WNOWAIT)
    assert lab.runtime.inspect(container_id).state is DOCKER_STATE.RUNNING
    os.kill(pid, signal.SIGSTOP)
    assert lab.runtime.send_signal(container_id, "SIGTERM")
    assert lab.end_of(container_id).exit_code == 143


def pid_of(lab: Lab) -> int:
    """Return the id of the one process that this test has started."""
    (summary,) = lab.runtime.list_containers()
    popen = lab.runtime.native(summary.id)
    assert popen
    return popen.pid


def test_an_ended_process_leaves_no_zombie(lab: Lab) -> None:
    container_id = lab.start("exit 3")
    pid = pid_of(lab)
    lab.end_of(container_id)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_a_removed_process_is_gone(lab: Lab) -> None:
    container_id = lab.start("sleep 600")
    pid = pid_of(lab)
    lab.runtime.remove(container_id)
    assert is_gone(pid)


# --- what processes see ---


def test_a_process_inherits_a_few_variables_and_no_others(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_THE_SITE", "1")
    monkeypatch.setenv("PYTHONPATH", "/of/the/site")
    monkeypatch.setenv("LANG", "C.UTF-8")
    program = "import os; print(sorted(set(os.environ) - {'HOME', 'LC_ALL', 'LC_CTYPE', 'TZ', 'TMPDIR', 'PWD'}))"
    spec = ContainerSpec("one", "", (sys.executable, "-c", program), environment={"MINE": "1"})
    container_id = lab.runtime.create(spec)
    lab.runtime.start(container_id)
    lab.end_of(container_id)
    names = b"['CUDA_DEVICE_ORDER', 'CUDA_VISIBLE_DEVICES', 'LANG', 'MINE', 'PATH']\n"
    assert b"".join(lab.runtime.logs(container_id)) == names


@pytest.mark.parametrize(("gpu_ids", "visible"), [((), b"''"), (("0", "2"), b"'0,2'")])
def test_cuda_shows_a_process_its_own_gpus_only(lab: Lab, gpu_ids: tuple[str, ...], visible: bytes) -> None:
    program = "import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))"
    spec = ContainerSpec("one", "", (sys.executable, "-c", program), {"CUDA_VISIBLE_DEVICES": "7"}, gpu_ids=gpu_ids)
    container_id = lab.runtime.create(spec)
    lab.runtime.start(container_id)
    lab.end_of(container_id)
    assert b"".join(lab.runtime.logs(container_id)).strip() == visible


def test_the_environment_of_the_spec_wins(lab: Lab) -> None:
    assert lab.output_of("echo $LANG $B", environment={"LANG": "mine", "B": "b b"}) == "mine b b\n"


def test_a_process_runs_where_the_spec_says(lab: Lab) -> None:
    assert lab.output_of("pwd", working_dir=str(lab.folder)) == f"{lab.folder}\n"


def test_a_process_reads_nothing_and_has_no_descriptor_of_the_site(lab: Lab) -> None:
    with (lab.folder / "secret").open("w"):
        assert lab.output_of("cat; echo /proc/$$/fd/*").split()[:3] == [f"/proc/{pid_of(lab)}/fd/{n}" for n in range(3)]


def test_no_shell_reads_the_command(lab: Lab) -> None:
    container_id = lab.runtime.create(ContainerSpec("one", "", ("echo", "$HOME", "a  b", ";", "*")))
    lab.runtime.start(container_id)
    lab.end_of(container_id)
    assert b"".join(lab.runtime.logs(container_id)) == b"$HOME a  b ; *\n"


def test_much_output_is_kept_whole(lab: Lab) -> None:
    assert lab.output_of("i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done").count("\n") == 20000


def test_output_can_be_read_while_the_process_runs(lab: Lab) -> None:
    container_id = lab.start_ready("echo output; echo ready >ready; sleep 600")
    assert b"".join(lab.runtime.logs(container_id)) == b"output\n"


# --- starts that fail ---


@pytest.mark.parametrize(
    ("command", "working_dir", "exit_code", "words"),
    [
        (("no-such-command",), "/", 127, "No such file or directory: no-such-command"),
        (("true",), "/no/such/folder", 127, "No such file or directory: /no/such/folder"),
        (("/",), "/", 126, "Permission denied: /"),
    ],
)
def test_a_start_that_fails_says_why_and_stays_so(
    lab: Lab, command: tuple[str, ...], working_dir: str, exit_code: int, words: str
) -> None:
    container_id = lab.runtime.create(ContainerSpec("one", "", command, working_dir=working_dir))
    with pytest.raises(JobStartError, match=f"process one: {words}"):
        lab.runtime.start(container_id)
    seen = lab.runtime.inspect(container_id)
    assert (seen.state, seen.exit_code, seen.error) == (DOCKER_STATE.CREATED, exit_code, words)


def test_a_kernel_that_cannot_tell_of_the_end_gets_no_process_to_run(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def pidfd_open(pid: int, flags: int = 0) -> int:
        started.append(pid)
        raise OSError(38, "Function not implemented", "pidfd_open")

    container_id = lab.create("sleep 600")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pidfd_open", pidfd_open)
        with pytest.raises(JobStartError, match="Function not implemented"):
            lab.runtime.start(container_id)
    assert is_gone(started[0])
    assert lab.runtime.inspect(container_id).state is DOCKER_STATE.CREATED


# --- what is left ---


def test_two_hundred_processes_leave_no_descriptor_and_no_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(lab.folder))
    lab.run("exit 0")
    (folder,) = lab.folder.iterdir()
    with lab.runtime.open_events():
        before = open_descriptors()
        with ThreadPoolExecutor(2) as pool:
            codes = list(pool.map(lambda n: lab.run(f"exit {n}", name=f"job-{n}").exit_code, range(200)))
        assert open_descriptors() == before
    assert codes == list(range(200))
    assert list(folder.iterdir()) == []
    lab.runtime.close()
    assert not folder.exists()


def test_closing_leaves_the_output_of_what_goes_on(lab: Lab) -> None:
    container_id = lab.start_ready("echo output; echo ready >ready; sleep 600")
    lab.runtime.close()
    assert b"".join(lab.runtime.logs(container_id)) == b"output\n"


def test_making_a_runtime_touches_nothing() -> None:
    before = open_descriptors()
    runtime = ProcessRuntime()
    assert open_descriptors() == before
    runtime.close()


def test_a_tracker_is_told_of_the_end_of_every_process(lab: Lab) -> None:
    tracker = StateTracker(lab.runtime, settings=JobSettings(relist_interval=3600))
    jobs = []
    for number in range(20):
        container_id = lab.create(f"exit {number}", f"job-{number}")
        jobs.append(TrackedJob(JobIdentity(f"job-{number}", "site-1", f"job-{number}", container_id)))
        tracker.watch(jobs[-1])
        lab.runtime.start(container_id)
    results = [job.wait(TIMEOUT) for job in jobs]
    assert [result and result.exit_code for result in results] == list(range(20))
    tracker.close()


def test_processes_need_no_image() -> None:
    runtime = ProcessRuntime()
    assert runtime.find_image("no-such-image:1")
    pull = runtime.pull("no-such-image:1")
    assert list(pull) == []
    pull.close()


def test_a_process_that_was_never_started_has_no_output_to_follow(lab: Lab) -> None:
    with lab.runtime.follow(lab.create("echo 1")) as output:
        assert list(output) == []


def test_a_process_that_could_not_be_started_has_no_output_to_follow(lab: Lab) -> None:
    container_id = lab.runtime.create(ContainerSpec("none", "", ("/no/such/program",)))
    with pytest.raises(JobStartError):
        lab.runtime.start(container_id)
    with lab.runtime.follow(container_id) as output:
        assert list(output) == []


@pytest.mark.parametrize(
    "put", ['mkfifo "$out"', 'ln -s /etc/passwd "$out"', 'mkdir "$out"'], ids=["pipe", "link", "folder"]
)
def test_what_a_process_puts_in_place_of_its_output_is_not_read_and_not_waited_for(lab: Lab, put: str) -> None:
    container_id = lab.start(f'out=$(readlink /proc/$$/fd/1); rm "$out"; {put}')
    lab.end_of(container_id)
    assert list(lab.runtime.logs(container_id)) == []
    with lab.runtime.follow(container_id) as output:
        assert list(output) == []
