"""Which of the launchers that volunteered for a job gets it, or why none does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import JobRejectedError, NoLauncherError
from .fl_component import FLComponent
from .fl_constant import FLContextKey
from .fl_context import FLContext
from .job_launcher_spec import JobLauncherSpec


def choose_launcher(fl_ctx: FLContext, components: Mapping[str, FLComponent], *, strict: bool) -> JobLauncherSpec:
    """Return the first that volunteered at the BEFORE_JOB_LAUNCH of this context.

    Raises JobRejectedError if a component refused the job, NoLauncherError if nobody volunteered, or several did and
    the site is ``strict``. ``components`` are the site's, by their ids: the error names the launchers among them.
    """
    job_id, site = fl_ctx.get_job_id(), fl_ctx.get_identity_name()
    volunteers: list[JobLauncherSpec] = fl_ctx.get_prop(FLContextKey.JOB_LAUNCHER, [])
    errors: Mapping[str, Exception] = fl_ctx.get_prop(FLContextKey.EXCEPTIONS, {})
    if not volunteers:
        _raise_refusal(errors.values())
        known = _known_launchers(components)
        failed = "".join(f"; {name} failed: {error!r}" for name, error in errors.items())
        raise NoLauncherError(f"job {job_id}: no launcher of site {site} volunteered ({known}{failed})")
    if strict and len(volunteers) > 1:
        names = ", ".join(launcher.name for launcher in volunteers)
        raise NoLauncherError(f"job {job_id}: site {site} is strict, and {names} all volunteered for it")
    return volunteers[0]


def _raise_refusal(errors: Iterable[Exception]) -> None:
    """Raise what a component said of the job: it says more than that nobody volunteered."""
    refusal = next((error for error in errors if isinstance(error, JobRejectedError)), None)
    if refusal:
        raise refusal


def _known_launchers(components: Mapping[str, FLComponent]) -> str:
    names = [name for name, component in components.items() if isinstance(component, JobLauncherSpec)]
    return f"its launchers are {', '.join(names)}" if names else "it has no launcher configured"
