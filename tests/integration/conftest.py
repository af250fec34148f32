"""A site on a real Docker Engine. Without one these tests fail; `make test` starts one, or leaves them out."""

from __future__ import annotations

import shlex
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import requests
from docker.errors import DockerException

from flcore import FLComponent, FLContext, JobHandleSpec, Site
from flcore.testing import EventRecorder
from launchers.container_spec import LABEL_JOB_ID
from launchers.docker_launcher import DockerJobHandle, DockerJobLauncher
from launchers.runtime.engine_traits import as_traits
from tests.packaging.conftest import built, installed, sources, wheel  # noqa: F401 - fixtures

from .engine_traits import Traits, traits_of

IMAGE = "flcore-demo:latest"
NETWORK = "flcore-demo"


def until(condition: Callable[[], object], timeout: float = 30) -> None:
    """Return when the condition holds, of something that can only be asked. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {timeout:g} s")
        pause.wait(0.05)


def has_control_groups(client: Any) -> bool:
    info = client.info()
    is_rootless = "rootless" in as_traits(client.version(), info).has
    return info.get("CgroupDriver") != "none" and not (is_rootless and info.get("CgroupVersion") == "1")


class CommandLauncher(DockerJobLauncher):
    """Runs one given command in every job's container."""

    def __init__(self, command: list[str], **kwargs: Any) -> None:
        site_keys: dict[str, Any] = {"image": IMAGE, "network": NETWORK, "stop_grace": 2}
        super().__init__(**site_keys | kwargs)
        self.command = command

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> tuple[str, str]:
        return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", shlex.join(self.command)


class Lab:
    """Sites with one launcher and a recorder each, and what the engine says of them."""

    def __init__(self, client: Any, folder: Path) -> None:
        self.client = client
        self.recorder = EventRecorder()
        self.job_id = f"job-{uuid.uuid4().hex[:8]}"
        self.folder = folder
        self._sites: list[Site] = []

    def site(self, *command: str, components: tuple[FLComponent, ...] = (), **kwargs: Any) -> Site:
        """Start a site whose jobs run the command."""
        launcher = CommandLauncher(list(command), **kwargs)
        extra = {f"extra-{i}": component for i, component in enumerate(components)}
        site = Site("site-1", {"launcher": launcher, **extra, "recorder": self.recorder}, self.folder)
        self._sites.append(site)
        site.start()
        return site

    def needs(self, *traits: str) -> None:
        """Leave a test out where the engine says that it has not what the test is about."""
        engine = as_traits(self.client.version(), self.client.info())
        if missing := engine.missing(traits):
            pytest.skip(f"the engine says that it has no {', '.join(missing)}")

    def needs_control_groups(self) -> None:
        """Leave a test out where the engine has no control groups, to pause a job, to measure it, or to list it."""
        if not has_control_groups(self.client):
            pytest.skip("the engine says that its CgroupDriver is none")

    def launch(self, *command: str, **kwargs: Any) -> DockerJobHandle:
        """Launch one job that runs the command."""
        return self.launch_at(self.site(*command, **kwargs))

    def launch_ready(self, script: str, before: str = ":", **kwargs: Any) -> DockerJobHandle:
        """Launch a shell's script, and return when it has begun: an earlier signal does something else."""
        handle = self.launch("sh", "-c", f"{before}; echo ready; {script}", **kwargs)
        until(lambda: "ready" in handle.logs())
        return handle

    def launch_at(self, site: Site, job_id: str | None = None, **meta: Any) -> DockerJobHandle:
        handle: JobHandleSpec = site.launch_job({"job_id": job_id or self.job_id, **meta})
        assert isinstance(handle, DockerJobHandle)
        return handle

    def close(self) -> None:
        """Close all sites: ended jobs are cleaned up. Who launches by one afterwards starts it anew."""
        for site in reversed(self._sites):
            site.close()

    def left_over(self, job_id: str | None = None) -> list[str]:
        """Close all sites, and return the names of the containers that are still there."""
        self.close()
        label = f"{LABEL_JOB_ID}={job_id or self.job_id}"
        listed = self.client.api.containers(all=True, filters={"label": label})
        return [entry["Names"][0] for entry in listed]


@pytest.fixture(scope="session")
def docker_client() -> Iterator[Any]:
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except (DockerException, requests.exceptions.RequestException) as error:
        pytest.fail(f"no Docker Engine answers, so this test cannot run: {error}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def traits(docker_client: Any) -> Traits:
    return traits_of(docker_client)


@pytest.fixture
def lab(docker_client: Any, tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(docker_client, tmp_path)
    yield lab
    lab.close()
    for entry in docker_client.api.containers(all=True, filters={"label": f"{LABEL_JOB_ID}={lab.job_id}"}):
        docker_client.api.remove_container(entry["Id"], force=True)
