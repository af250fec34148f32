"""A hundred jobs at once: all results right, and a handful of threads and connections."""

from __future__ import annotations

import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from flcore import FLContext, Site
from flcore.testing import EventRecorder
from launchers.docker_launcher import DockerJobHandle

from .conftest import CommandLauncher, Lab, until

JOBS = 100
THREADS = 4


class NumberedLauncher(CommandLauncher):
    """Job number n waits for SIGUSR1, then ends with exit code n % 7."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        name = str(job_meta["job_id"])
        code = int(name.rpartition("-")[2]) % 7
        script = f"trap 'exit {code}' USR1; echo ready; sleep 600 & wait"
        return name, shlex.join(["sh", "-c", script])


def test_a_hundred_jobs_need_a_handful_of_threads_and_connections(lab: Lab) -> None:
    until(lambda: threads_of_ours() == 0)  # those of an earlier test end when they are idle
    sockets = open_sockets()
    recorder = EventRecorder()
    with Site("site-1", {"launcher": NumberedLauncher([]), "recorder": recorder}, lab.folder) as site:
        with ThreadPoolExecutor(4) as pool:
            handles = list(pool.map(lambda n: lab.launch_at(site, f"{lab.job_id}-{n}"), range(JOBS)))
        until(lambda: all("ready" in handle.logs() for handle in handles[-8:]))
        until(lambda: threads_of_ours() <= THREADS)  # those that asked for so many at once end when idle
        more_threads, more_sockets = threads_of_ours(), open_sockets() - sockets
        for handle in handles:
            lab.client.api.kill(handle.container.id, "SIGUSR1")
        codes = [exit_code(handle) for handle in handles]
    print(f"{JOBS} running jobs: {more_threads} threads, {more_sockets} connections")  # shown by pytest -s
    assert codes == [number % 7 for number in range(JOBS)]
    assert more_threads <= THREADS, "a thread per job?"
    assert more_sockets <= 12, "a connection per job?"
    for number in range(JOBS):
        assert recorder.states(f"{lab.job_id}-{number}") == ["created", "running", "exited"]
    assert not any(lab.left_over(f"{lab.job_id}-{number}") for number in range(JOBS))
    assert threads_of_ours() == 0


def exit_code(handle: DockerJobHandle) -> int | None:
    handle.wait()
    assert handle.result is not None
    return handle.result.exit_code


def threads_of_ours() -> int:
    return sum(thread.name.startswith("flcore-") for thread in threading.enumerate())


def open_sockets() -> int:
    links = (Path("/proc/self/fd") / name for name in Path("/proc/self/fd").iterdir())
    return sum(is_socket(link) for link in links)


def is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:
        return False
