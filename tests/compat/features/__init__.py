"""What NVIDIA FLARE's jobs can do, one job each: that it works in our containers, too."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..environments import Flare

_SCRIPT = Path(__file__).with_name("write_job.py")


@dataclass(frozen=True)
class FeatureJob:
    """A job of ``write_job.py``."""

    name: str
    flare: Flare
    model: None = None
    """What it keeps is looked for by who submits it."""
    is_kept_by_clients: ClassVar[bool] = False

    def write(self, folder: Path, more_meta: Mapping[str, Any]) -> Path:
        """Write the job's folder into another one, and return it."""
        job = folder / self.name
        shutil.rmtree(job, ignore_errors=True)
        subprocess.run([self.flare.python, "-Wignore", _SCRIPT, self.name, folder], check=True)
        meta = job / "meta.json"
        meta.write_text(json.dumps({**json.loads(meta.read_text()), **more_meta}))
        return job
