"""A site on a real Docker Engine, and the same containers made by docker-py alone."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, Self

import docker

from flcore import FLContext, Site
from flcore.fl_constant import JobMetaKey
from launchers.container_spec import ContainerSpec
from launchers.docker_launcher import DockerJobHandle, DockerJobLauncher
from launchers.launch_plan import LaunchPlan
from launchers.runtime.docker_answer import epoch_seconds
from launchers.runtime.docker_request import create_request

from .workload import IMAGE, NETWORK, TIMEOUT

LABEL = "flcore.bench"


class BenchLauncher(DockerJobLauncher):
    """Runs a job's name as its command, and keeps what it asked the engine for."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(image=IMAGE, stop_grace=0, **kwargs)
        self.spec: ContainerSpec | None = None

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"bench-{job_meta['job_id']}", job_meta[JobMetaKey.JOB_NAME]

    def plan(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> LaunchPlan:
        plan = super().plan(job_meta, fl_ctx)
        self.spec = plan.spec
        return plan


class EngineLab:
    """Use as a context manager: whatever it made is gone at the end."""

    def __init__(self, network: Any = NETWORK, docker_host: str | None = None, **launcher_args: Any) -> None:
        self._stack = ExitStack()
        self._run = uuid.uuid4().hex[:6]
        """Sets what is made here apart from what others make on the engine."""
        self.launcher = BenchLauncher(network=network, docker_host=docker_host, **launcher_args)
        self.client = docker.from_env(max_pool_size=32)
        self.api: Any = self.client.api

    def __enter__(self) -> Self:
        self._stack.callback(self.client.close)
        self._stack.callback(self._remove_all)
        folder = self._stack.enter_context(TemporaryDirectory(prefix="flcore-bench-"))
        self.site = self._stack.enter_context(Site(f"bench-{self._run}", {"launcher": self.launcher}, folder))
        self.finish(self.launch("true"))  # the first launch makes clients and threads
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def launch(self, command: str) -> DockerJobHandle:
        """Launch a job by a site."""
        handle = self.site.launch_job({"job_id": uuid.uuid4().hex[:12], "name": command})
        assert isinstance(handle, DockerJobHandle)
        return handle

    def finish(self, handle: DockerJobHandle) -> None:
        """Have a job end, and return when it is cleaned up."""
        handle.terminate()
        handle.wait_for_clean_up(TIMEOUT)

    def pass_through(self) -> None:
        """Have a job that ends at once run by a site, and be cleaned up."""
        handle = self.launch("true")
        handle.wait()
        handle.wait_for_clean_up(TIMEOUT)

    def bare(self) -> None:
        """Do the like by the four calls of docker-py that there are for it."""
        container_id = self.run("true")
        self.api.wait(container_id)
        self.api.remove_container(container_id, v=True)

    def run(self, command: str, network: str = "") -> str:
        """Create and start the like of a job's container by two calls of docker-py; return its id."""
        spec = self.launcher.spec
        assert spec is not None
        words = command.split()
        request = create_request(spec) | {"Entrypoint": words[:1], "Cmd": words[1:], "Labels": {LABEL: self._run}}
        request["HostConfig"] |= {"NetworkMode": network} if network else {}
        created = self.api.create_container_from_config(request, f"bench-{uuid.uuid4().hex[:12]}")
        container_id = str(created["Id"])
        self.api.start(container_id)
        return container_id

    def remove(self, container_id: str) -> None:
        """Do what a launcher does after a job's end: read its output, and remove it."""
        self.api.logs(container_id)
        self.api.remove_container(container_id, v=True, force=True)

    def finished_at(self, container_id: str) -> float:
        """Return when a container has ended, in seconds since the epoch."""
        state = self.api.inspect_container(container_id)["State"]
        return epoch_seconds(state["FinishedAt"]) or 0.0

    @contextmanager
    def ends(self) -> Iterator[SimpleQueue[tuple[str, float]]]:
        """Yield a queue of the ids of ended containers of docker-py's, and when a raw subscription heard of the end."""
        queue: SimpleQueue[tuple[str, float]] = SimpleQueue()
        with contextlib.closing(docker.from_env()) as client:
            stream = client.api.events(
                decode=True, filters={"event": ["die"], "label": [f"{LABEL}={self._run}"]}, since=int(time.time())
            )

            def read() -> None:
                for event in stream:
                    queue.put((event["id"], time.time()))

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            try:
                yield queue
            finally:
                stream.close()
                reader.join(TIMEOUT)

    def _remove_all(self) -> None:
        for entry in self.api.containers(all=True, filters={"label": [f"{LABEL}={self._run}"]}):
            self.api.remove_container(entry["Id"], v=True, force=True)


def cpu_seconds(task: Path) -> float:
    """Return the processor time of one thread, by its folder in /proc."""
    try:
        return int((task / "schedstat").read_text().split()[0]) / 1e9
    except OSError:  # it has ended
        return 0.0
