"""Which of the launchers that volunteered for a job gets it, or why none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .errors import JobLaunchError, JobRejectedError, NoLauncherError
from .event_type import EventType
from .fl_component import FLComponent
from .fl_constant import FLContextKey
from .fl_context import FLContext
from .job_launcher_spec import JobLauncherSpec, LaunchRequest
from .launch import Launch


def ask_launchers(fl_ctx: FLContext, components: Mapping[str, FLComponent]) -> None:
    """Have those of the components that are launchers volunteer, of which others hear nothing."""
    for launcher in launchers_among(components).values():
        launcher.handle_event(EventType.BEFORE_JOB_LAUNCH, fl_ctx)


def choose_launcher(fl_ctx: FLContext, components: Mapping[str, FLComponent], *, strict: bool) -> JobLauncherSpec:
    """Return the first that volunteered at the BEFORE_JOB_LAUNCH of this context.

    Raises JobRejectedError, or another JobLaunchError, if a component has refused the job, whoever volunteered;
    NoLauncherError if nobody did, or several did and the site is ``strict``. ``components`` are the site's, by their
    ids: the error names the launchers among them.
    """
    job_id, site = fl_ctx.get_job_id(), fl_ctx.get_identity_name()
    volunteers: list[JobLauncherSpec] = fl_ctx.get_prop(FLContextKey.JOB_LAUNCHER, [])
    errors: Mapping[str, Exception] = fl_ctx.get_prop(FLContextKey.EXCEPTIONS, {})
    raise_refusal(job_id, fl_ctx, components)
    if not volunteers:
        known = _known_launchers(components)
        failed = "".join(f"; {name} failed: {error!r}" for name, error in errors.items())
        raise NoLauncherError(f"job {job_id}: no launcher of site {site} volunteered ({known}{failed})")
    if strict and len(volunteers) > 1:
        names = ", ".join(launcher.name for launcher in volunteers)
        raise NoLauncherError(f"job {job_id}: site {site} is strict, and {names} all volunteered for it")
    return volunteers[0]


def raise_refusal(job_id: str, fl_ctx: FLContext, components: Mapping[str, FLComponent]) -> None:
    """Raise what a component has refused a job by, if one has, at an event of this context at which it may.

    That is the first JobLaunchError that was raised there, with the name of who did, or the reason in JOB_BLOCK_REASON.
    The words of a launcher, which is one of ``components``, stay: they say what they are about.
    """
    errors: Mapping[str, Exception] = fl_ctx.get_prop(FLContextKey.EXCEPTIONS) or {}
    for name, error in errors.items():
        if isinstance(error, JobLaunchError):
            if not isinstance(components.get(name), JobLauncherSpec):
                error.args = (f"job {job_id}: refused by the component {name}: {error}", *error.args[1:])
            raise error
    block_reason = fl_ctx.get_prop(FLContextKey.JOB_BLOCK_REASON)
    if block_reason:
        raise JobRejectedError(f"job {job_id}: a component has blocked it: {block_reason}")


def tell_plan(launcher: JobLauncherSpec, job_id: str, fl_ctx: FLContext, describe: Callable[[], LaunchRequest]) -> None:
    """Have all components hear, in a launch's own context, what is about to be launched.

    ``describe``: returns what that is; called only if a component asks. Raises what a component has refused the job by.
    """
    if fl_ctx.get_engine() is None:  # a launcher that is used without a site
        return
    fl_ctx.set_prop(FLContextKey.EXCEPTIONS, {}, private=True, sticky=False)  # of an earlier try in this context
    fl_ctx.set_prop(FLContextKey.LAUNCH_REQUEST, describe, private=True, sticky=False)
    launcher.fire_event(EventType.JOB_LAUNCH_PLANNED, fl_ctx)
    raise_refusal(job_id, fl_ctx, {})
    Launch.of(fl_ctx, job_id).plan_was_told = True


def launchers_among(components: Mapping[str, FLComponent]) -> dict[str, JobLauncherSpec]:
    """Return the launchers by their ids, in order."""
    return {name: component for name, component in components.items() if isinstance(component, JobLauncherSpec)}


def _known_launchers(components: Mapping[str, FLComponent]) -> str:
    names = launchers_among(components)
    return f"its launchers are {', '.join(names)}" if names else "it has no launcher configured"
