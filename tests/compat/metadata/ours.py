"""What this package makes of metadata: as `flcore run` submits them, and as the launcher of one of the sites plans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flcore import JobWorkflow, Site
from flcore.errors import FLCoreError
from flcore.job_meta import get_app
from flcore.submitted_job import SubmittedJob
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher

from .made_up import APPS, SITE, SITES, MadeUp
from .outcome import Outcome, Refused, Taken

SITE_KEYS: dict[str, Any] = {
    "image": "the-sites:1",
    "images": ["*"],
    "job_env_prefixes": ["NCCL_"],
    "gpu_ids": [str(number) for number in range(8)],
    "gpu_memory": "80Gi",
    "limits": {"memory": "100Ti"},
    "python_paths": ["/opt/venv/bin/python3"],
    "entrypoints": [["/opt/entry.sh"]],
    "ipc_mode": "host",
    "allow_insecure": ["images", "ipc_mode"],
}
"""A site that gives much, and sets little of its own."""


class Ours:
    """A federation of ours."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "job"
        for app in APPS:
            (self._folder / app).mkdir(parents=True)
        self._sites = [Site(name, {}, folder / name) for name in ("server", *SITES)]
        self._launcher = ClientDockerJobLauncher(**SITE_KEYS)

    def outcome(self, made_up: MadeUp) -> Outcome:
        file = self._folder / made_up.file
        file.write_text(made_up.text)
        try:
            job = SubmittedJob.read(self._folder)
            JobWorkflow(job, self._sites)
            return self._at_the_site(job.meta)
        except FLCoreError as error:
            return Refused(str(error))
        finally:
            file.unlink()

    def _at_the_site(self, meta: dict[str, Any]) -> Outcome:
        app = get_app(meta, SITE)
        if app is None:
            return Taken(meta=meta)
        fl_ctx = FakeFLContext(SITE, job_args={"exe_module": ("-m", "client")}, workspace=self._folder)
        request = self._launcher.plan({**meta, "job_id": "job-1"}, fl_ctx).request
        asked = request.resources
        return Taken(
            app=app,
            image=None if request.image == SITE_KEYS["image"] else request.image,
            gpus=asked.num_of_gpus,
            cpus=asked.num_of_cpus,
            memory=None if asked.memory == self._launcher.policy.limits.memory else asked.memory,
            shm_size=asked.shm_size,
            python=request.python or None,
            entrypoint=request.entrypoint,
            meta=meta,
        )
