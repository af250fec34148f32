"""A site as a program that runs for ever: it launches each job whose folder is put into its inbox.

    python inbox_site.py SITE_CONFIG INBOX

What has a name that begins with a dot is passed over: copy a job there as `.NAME`, then rename it to `NAME`. Its folder
goes once its job is launched; one that cannot be launched is in `.refused-…/NAME` then, and the log says why.

This is for the unit and the Compose file beside it. In your own program, your queue or your FL runtime is in the place
of the inbox, and the rest stays: a thread launches, while the main thread waits for the signal to end, and then closes
the site, which calls back what is being launched.
"""

import logging
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from flcore import Site
from flcore.errors import FLCoreError
from flcore.job_meta import get_app
from flcore.submitted_job import SubmittedJob

INTERVAL = 1.0
"""Seconds between two looks into the inbox."""

logger = logging.getLogger("inbox")


def launch(site: Site, folder: Path) -> None:
    """Launch the job in a folder. Raises FLCoreError."""
    job = SubmittedJob.read(folder)
    app = get_app(job.meta, site.name)
    module = "server" if site.name == "server" else "client"
    meta = job.meta | {"job_id": job.new_job_id()}
    site.launch_job(meta, {"exe_module": ("-m", module)}, folder / app if app else None)


def look(site: Site, inbox: Path) -> None:
    """Launch what is in the inbox, one after the other; what waits for its turn holds up the rest."""
    for path in sorted(path for path in inbox.iterdir() if not path.name.startswith(".")):
        folder = set_aside(path, inbox, "launching")  # first: who is killed here launches nothing twice
        try:
            launch(site, folder)
        except FLCoreError as error:
            logger.error("%s", error)  # noqa: TRY400 - the message says it all
            set_aside(folder, inbox, "refused")
        shutil.rmtree(folder.parent)


def set_aside(path: Path, inbox: Path, why: str) -> Path:
    """Move a job's folder to where nobody looks for more, and return where that is."""
    aside = inbox / f".{why}-{time.time_ns()}"
    aside.mkdir()
    return path.rename(aside / path.name)


def serve(site: Site, inbox: Path, ended: threading.Event) -> None:
    """Launch until the end; an error that nobody has thought of is the end, too: the supervisor starts all anew."""
    try:
        while not ended.wait(INTERVAL):
            look(site, inbox)
    finally:
        ended.set()


def main(config: str, inbox: Path) -> int:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    inbox.mkdir(parents=True, exist_ok=True)
    with Site.from_config(config) as site:  # its end leaves jobs running, or ends them: "at_end" in its config
        launcher = threading.Thread(target=serve, args=(site, inbox, ended))
        launcher.start()
        ended.wait()
    launcher.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
