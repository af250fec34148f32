"""A site's parent on a host that pretends to have GPUs: the engine gets each request but for the devices in it.

Run as ``python -m tests.integration.gpu_parent SITE FOLDER JOB...``. It runs the jobs of these ids that have not run
yet, each as soon as there is a GPU for it, and ends when all have ended. Each job notes when it began and ended, by the
host's monotonic clock, and which devices it was shown.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from flcore import JobHandleSpec, Site
from flcore.errors import NoGpuError
from tests.pretended_gpus import pretend

from .conftest import CommandLauncher

GPU_IDS = [f"GPU-00000000-0000-0000-0000-00000000000{n}" for n in range(4)]
EVIDENCE = "evidence"
PROGRAM = f"""
import os, time

for pause in (1, 0):
    with open("{EVIDENCE}", "a") as file:
        print(time.monotonic(), os.environ["NVIDIA_VISIBLE_DEVICES"], file=file)
    time.sleep(pause)
"""


def main(name: str, folder: Path, job_ids: list[str]) -> None:
    pretend(folder / "requests.jsonl")
    launcher = CommandLauncher(["python3", "-c", PROGRAM], gpu_ids=GPU_IDS, gpu_lease_dir=str(folder / "gpus"))
    with Site(name, {"launcher": launcher}, folder / name) as site:
        for handle in site.jobs().values():
            handle.wait()
        left = [job_id for job_id in job_ids if not (folder / name / job_id / EVIDENCE).exists()]
        for handle in [launch(site, job_id) for job_id in left]:
            handle.wait()


def launch(site: Site, job_id: str) -> JobHandleSpec:
    while True:
        try:
            return site.launch_job({"job_id": job_id, "resource_spec": {site.name: {"num_of_gpus": 1}}})
        except NoGpuError:
            threading.Event().wait(0.1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
