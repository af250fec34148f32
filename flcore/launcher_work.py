"""What a site has the chosen launcher do, and whatever that raises is one of our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .errors import FLCoreError, JobLaunchError, JobRejectedError
from .fl_constant import FLContextKey
from .fl_context import FLContext
from .job_launcher_spec import JobHandleSpec, JobLauncherSpec
from .job_meta import check_metadata, get_job_id
from .launch import Launch


def heard_meta(job_id: str, fl_ctx: FLContext) -> dict[str, Any]:
    """Return a job's metadata as the components have left it, which may change all of it but the id."""
    job_meta: dict[str, Any] = fl_ctx.get_prop(FLContextKey.JOB_META)
    check_metadata(job_meta)
    if get_job_id(job_meta) != job_id:
        raise JobRejectedError(f"job {job_id}: a component has given it the id {get_job_id(job_meta)}; an id stays")
    return job_meta


def launch_by(launcher: JobLauncherSpec, launch: Launch, job_meta: dict[str, Any], fl_ctx: FLContext) -> JobHandleSpec:
    """Have a launcher check a job and launch it."""
    with at_work(launcher, launch.job_id):
        launcher.check_job(job_meta, fl_ctx)
        if not launcher.tells_plan:
            launch.raise_if_untold()
        if not launcher.deploys:
            launch.deploy()
        handle = launcher.launch_job(job_meta, fl_ctx)
        if isinstance(handle, JobHandleSpec):
            launch.note_handle(handle)
        launch.raise_if_untold()  # what a subclass has launched in a way of its own: it is ended
        launch.deploy()  # for a subclass of one that deploys, which launches in a way of its own
    if not isinstance(handle, JobHandleSpec):
        raise JobLaunchError(f"job {launch.job_id}: the launcher {launcher.name} returned {handle!r}, no JobHandleSpec")
    return handle


@contextmanager
def at_work(launcher: JobLauncherSpec, job_id: str) -> Iterator[None]:
    """Have whatever a launcher raises be one of our errors."""
    try:
        yield
    except FLCoreError:
        raise
    except Exception as error:
        raise JobLaunchError(f"job {job_id}: the launcher {launcher.name} failed: {error!r}") from error
