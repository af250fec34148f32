"""NVIDIA FLARE's Docker launcher as a client's parent process drives it, on a real engine: for a peer's interpreter.

Both versions run it as it is, but for what a job's process is, which each allows in its own way: 2.6 asks a subclass
for the command, and runs it by the image's /bin/bash; 2.9 takes a job's own entry point, which here ignores the
arguments that it is given, those of a job's process.
"""

from __future__ import annotations

import io
import os
import tarfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import docker
from docker.errors import APIError

from tests.bench.workload import IMAGE, NETWORK, TIMEOUT


@dataclass(frozen=True)
class PreparedJob:
    """All that a site has at hand when it calls its launcher."""

    launcher: Any
    meta: dict[str, Any]
    fl_ctx: Any
    container: str

    def launch(self) -> Any:
        """Return the launcher's handle."""
        handle = self.launcher.launch_job(self.meta, self.fl_ctx)
        if handle is None:  # what 2.6 returns instead of an error
            raise RuntimeError(f"no handle of {self.container}; see the launcher's log above")
        return handle


class NvflareLab:
    """A site with a launcher. The image needs a /bin/bash."""

    def __init__(self, api: Any, folder: Path, site: str, image: str, network: str) -> None:
        from nvflare.apis.workspace import Workspace

        for name in ("startup", "local"):
            (folder / name).mkdir()
        os.environ["NVFL_DOCKER_WORKSPACE"] = str(folder)
        self._api = api
        self._folder = folder
        self._site = site
        self._image = image
        self._workspace = Workspace(str(folder), site)
        self._launcher = _launcher(network)
        self._began = int(time.time())

    def prepare(self, command: str) -> PreparedJob:
        """Do what a site does before it calls its launcher."""
        job_id = uuid.uuid4().hex[:12]
        (self._folder / job_id).mkdir()
        return PreparedJob(self._launcher, self._meta(job_id, command), self._context(job_id), f"{self._site}-{job_id}")

    def finished_at(self, container: str) -> float:
        """Return when a container has ended, in seconds since the epoch, once it has.

        Inspects it at its ``die`` event: 2.9 has the engine remove it, but that takes the engine longer.
        """
        stream = self._api.events(decode=True, filters={"event": ["die"], "container": [container]}, since=self._began)
        with closing(stream):
            next(stream)
            state = self._api.inspect_container(container)["State"]
        return datetime.fromisoformat(state["FinishedAt"]).timestamp()

    def wait_until_none_is_left(self) -> None:
        """Wait for the engine to have removed all containers."""
        deadline = time.monotonic() + TIMEOUT
        while left := self._containers():
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(left)} containers of {self._site} were not removed")
            time.sleep(0.01)

    def remove_all(self) -> None:
        for container in self._containers():
            with suppress(APIError):  # the engine is about to remove it by itself
                self._api.remove_container(container, v=True, force=True)
        self.wait_until_none_is_left()

    def _containers(self) -> list[str]:
        return [entry["Id"] for entry in self._api.containers(all=True, filters={"name": [f"^/{self._site}-"]})]

    def _meta(self, job_id: str, command: str) -> dict[str, Any]:
        """Return what both versions read: 2.6 the deploy map and, as the launcher below, the name; 2.9 the rest."""
        command = f"exec {command}"
        return {
            "job_id": job_id,
            "name": command,
            "deploy_map": {"app": [{"sites": [self._site], "image": self._image}]},
            "launcher_spec": {self._site: {"docker": {"image": IMAGE, "entrypoint": ["sh", "-c", command]}}},
            "byoc": True,  # without it, no job may name an entry point
        }

    def _context(self, job_id: str) -> Any:
        from nvflare.apis.fl_constant import FLContextKey
        from nvflare.apis.fl_context import FLContextManager
        from nvflare.apis.job_launcher_spec import JobProcessArgs

        fl_ctx = FLContextManager(object(), self._site, job_id).new_context()
        fl_ctx.set_prop(FLContextKey.WORKSPACE_OBJECT, self._workspace, private=True, sticky=False)
        args = {JobProcessArgs.EXE_MODULE: ("-m", "bench"), JobProcessArgs.JOB_ID: ("-n", job_id)}
        fl_ctx.set_prop(FLContextKey.JOB_PROCESS_ARGS, args, private=True, sticky=False)
        return fl_ctx


@contextmanager
def a_lab(network: str = NETWORK) -> Iterator[NvflareLab]:
    """Yield a lab; whatever it made is gone at the end."""
    site = f"bench-nvflare-{uuid.uuid4().hex[:6]}"
    with (
        closing(docker.from_env()) as client,
        TemporaryDirectory(prefix="flcore-bench-") as folder,
        _image_with_bash(client.api, site) as image,
    ):
        lab = NvflareLab(client.api, Path(folder), site, image, network)
        try:
            yield lab
        finally:
            lab.remove_all()


@contextmanager
def _image_with_bash(api: Any, name: str) -> Iterator[str]:
    """Yield the demo's image with a link from bash to its sh, which starts no slower."""
    container = api.create_container(IMAGE, ["true"], name=name)["Id"]
    try:
        api.put_archive(container, "/usr/bin", _link("bash", "sh"))
        api.commit(container, name, "latest")
    finally:
        api.remove_container(container)
    try:
        yield name
    finally:
        api.remove_image(name)


def _link(name: str, target: str) -> bytes:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(member)
    return archive.getvalue()


def _launcher(network: str) -> Any:
    from nvflare.app_opt.job_launcher.docker_launcher import ClientDockerJobLauncher

    class Launcher(ClientDockerJobLauncher):  # type: ignore[misc]  # of an unknown class
        def get_command(self, job_meta: dict[str, Any], fl_ctx: Any) -> tuple[str, str]:
            """Asked by 2.6 only."""
            return f"{fl_ctx.get_identity_name()}-{job_meta['job_id']}", job_meta["name"]

    return Launcher(network=network, timeout=30)  # as 2.9 has it; 2.6 would wait for ever
