"""A site's process that forks: in an interpreter of its own, where a test may fork and kill as it likes.

``python -m tests.forker WORKSPACE`` launches the job ``a``, forks a child that does all that it could do with what it
has inherited, and prints what came of each as a JSON object, and who is alive by the site's files. Then it forks a
child that does nothing, at a bad moment: while it changes the site's folder and a job has a GPU, and prints ``forked``.
Both end when their standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flcore import FLContext, Site
from flcore.disk.locks import exclusively
from flcore.fl_constant import FLContextKey
from launchers.docker_launcher import DockerJobLauncher
from launchers.job_handle import ContainerJobHandle
from launchers.records.gpu_leases import GpuLeases
from launchers.records.job_record import JobIdentity
from launchers.runtime.fake import FakeRuntime


class Launcher(DockerJobLauncher):
    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", "train"


def site_of(workspace: str | Path, runtime: FakeRuntime) -> Site:
    return Site("site-1", {"launcher": Launcher(image="job:1", runtime=runtime)}, workspace)


def attempt(call: Callable[[], object]) -> str:
    """Say what became of a call."""
    try:
        return repr(call())
    except BaseException as error:  # noqa: BLE001 - it is told
        return type(error).__name__


def leases_of(workspace: str | Path) -> GpuLeases:
    return GpuLeases(Path(workspace, "gpus"), lambda: ["0"])


def do_all(site: Site, handles: list[ContainerJobHandle], workspace: str) -> dict[str, object]:
    """In the child: what comes of all that a copy of a site, of a launcher and of two handles has."""
    launcher = site.get_component("launcher")
    assert isinstance(launcher, Launcher)
    fl_ctx = site.new_context()
    fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, site.workspace, private=True, sticky=False)
    running, ended = handles
    calls: dict[str, Callable[[], object]] = {
        "poll": running.poll,
        "wait": running.wait,
        "enter_states": lambda: running.enter_states("exited"),
        "terminate": running.terminate,
        "logs": running.logs,
        "follow": lambda: list(running.logs(follow=True)),
        "usage": running.usage,
        "add_done_callback": lambda: running.add_done_callback(print),
        "site.start": site.start,
        "site.launch_job": lambda: site.launch_job({"job_id": "b"}),
        "site.abort_job": lambda: site.abort_job("a"),
        "site.jobs": site.jobs,
        "launcher.launch_job": lambda: launcher.launch_job({"job_id": "b"}, fl_ctx),
        "launcher.abort_launch": lambda: launcher.abort_launch("a", "me"),
        "poll of what had ended": ended.poll,
        "wait for what had ended": ended.wait,
        "launcher.close": launcher.close,
        "site.close": site.close,
    }
    outcomes: dict[str, object] = {name: attempt(call) for name, call in calls.items()}
    own = site_of(Path(workspace, "own"), FakeRuntime())
    outcomes["a site of its own"] = attempt(lambda: own.launch_job({"job_id": "b"}).poll())
    own.close()
    return outcomes


def main(workspace: str) -> None:
    warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: that is what this is about
    runtime = FakeRuntime()
    site = site_of(workspace, runtime)
    launched = [site.launch_job({"job_id": job_id}) for job_id in ("a", "ended")]
    handles = [handle for handle in launched if isinstance(handle, ContainerJobHandle)]
    runtime.exit("site-1-ended", 3)
    handles[1].wait_for_clean_up(10)
    if os.fork() == 0:
        print(json.dumps(do_all(site, handles, workspace)), flush=True)
        os._exit(0)
    os.wait()
    print("parents", *Path(workspace, ".flcore", "parents").iterdir(), flush=True)
    lease = leases_of(workspace).take(1, JobIdentity("a", "site-1", "site-1-a", nonce="0123"), None)
    with exclusively(Path(workspace, ".flcore", "lock"), os.O_RDWR):
        if os.fork() != 0:
            print("forked", lease.names, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
