"""What NVIDIA FLARE's jobs can do, one job each: that it works in our containers, too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import docker

from ..environments import Flare

_HERE = Path(__file__).parent
_SCRIPT = "write_job.py"


def run(flare: Flare, script: str, *arguments: str) -> str:
    """Run a script of this folder in NVIDIA FLARE's environment; return what it prints."""
    command = [str(flare.python), "-Wignore", str(_HERE / script), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@dataclass(frozen=True)
class Image:
    """An image of jobs, in which their author works, too."""

    name: str
    engine: str

    def run(self, folder: Path, script: str, *arguments: str) -> str:
        """Run a script of this folder, which may write to another one; return what it prints."""
        command = ["python3", "-Wignore", str(_HERE / script), *arguments]
        binds = [f"{_HERE}:{_HERE}:ro", f"{folder}:{folder}"]
        with closing(docker.DockerClient(self.engine)) as client:
            user = f"{os.getuid()}:{os.getgid()}"
            return str(client.containers.run(self.name, command, volumes=binds, user=user, remove=True).decode())


@dataclass(frozen=True)
class FeatureJob:
    """A job of ``write_job.py``."""

    name: str
    flare: Flare
    model: None = None
    """What it keeps is looked for by who submits it."""
    is_kept_by_clients: ClassVar[bool] = False
    image: Image | None = None
    """That it names, where its author has what this machine has not."""

    def write(self, folder: Path, more_meta: Mapping[str, Any]) -> Path:
        """Write the job's folder into another one, and return it."""
        job = folder / self.name
        shutil.rmtree(job, ignore_errors=True)
        own_meta: dict[str, Any] = {}
        if self.image:
            self.image.run(folder, _SCRIPT, self.name, str(folder))
            own_meta = {"launcher_spec": {"default": {"docker": {"image": self.image.name}}}}
        else:
            run(self.flare, _SCRIPT, self.name, str(folder))
        meta = job / "meta.json"
        meta.write_text(json.dumps({**json.loads(meta.read_text()), **more_meta, **own_meta}))
        return job
