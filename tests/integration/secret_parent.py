"""A site's parent whose job has a secret. Run as ``python -m tests.integration.secret_parent FOLDER SECRETS JOB``.

It launches the job, or finds it again, and ends when the job has ended.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flcore import Site

from .conftest import CommandLauncher

SITE = "site-1"


def main(folder: Path, secrets_dir: str, job_id: str) -> None:
    source = {"db": {"file": str(folder / "db-password")}}
    launcher = CommandLauncher(["sleep", "5"], secrets=source, secrets_dir=secrets_dir)
    with Site(SITE, {"launcher": launcher}, folder / SITE) as site:
        handle = site.jobs().get(job_id) or site.launch_job({"job_id": job_id})
        handle.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
