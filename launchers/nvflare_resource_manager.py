"""Answers NVIDIA FLARE, before it schedules a job, whether a client's site has room for it: the job waits if not.

It takes the place of the ``resource_manager`` that a client's kit has, beside :mod:`launchers.nvflare_launcher`'s::

    {"components": [{"id": "resource_manager",
                     "path": "launchers.nvflare_resource_manager.FlareResourceManager",
                     "args": {"max_jobs": 4}}]}

The GPUs are the launcher's own (``gpu_ids``, ``gpu_lease_dir``): what is reserved here for a job is what its launch
takes, so that there is one truth of who has which. Importing this module and making a manager need NVIDIA FLARE, but no
Docker SDK, engine, socket or disk.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from nvflare.apis.event_type import EventType as FlareEventType
from nvflare.apis.fl_component import FLComponent
from nvflare.apis.fl_constant import FLContextKey as FlareContextKey
from nvflare.apis.resource_manager_spec import ResourceManagerSpec

from flcore.config.problems import Problems
from flcore.errors import FLCoreError, JobLaunchError, JobRejectedError, NoGpuError
from flcore.event_type import EventType
from flcore.fl_constant import JobMetaKey
from flcore.job_meta import JobMeta

from .keeping.reservations import Reservations
from .nvflare_launcher import LAUNCHER_KEY, KitLauncher
from .policy import site_args
from .policy.job_policy import SitePolicy, resolve

__all__ = ["FlareResourceManager"]

_EXPIRATION_PERIOD = 300
"""Seconds, as in the kits of NVIDIA FLARE's newest versions: a big app may take its time to get to all sites."""
_LAUNCH_PERIOD = 60.0
"""Seconds from the allocation until the launch is to have begun, which it does at once, or never."""
_SEPARATOR = ":"
"""In a token, between the job's id and the reservation's nonce; in neither of them."""
_ALONE = (
    "resource_manager: the site has no launcher of launchers.nvflare_launcher, whose jobs and GPUs this is about, so "
    "it takes no job: name one in local/*__p_resources.json, or give the kit its own resource_manager back"
)


class _SiteLauncher(Protocol):
    """What this needs of the site's launcher."""

    launcher: KitLauncher
    reservations: Reservations

    def why_not_yet(self, job_id: str, fl_ctx: Any) -> str: ...


class FlareResourceManager(ResourceManagerSpec, FLComponent):  # type: ignore[misc]  # of a package without types
    """Keeps places and GPUs for the jobs that NVIDIA FLARE is about to schedule.

    It hands out no resources (``allocate_resources`` returns none), so the kit's ``resource_consumer`` has nothing to
    do: a job's container is shown its GPUs by the launcher, and has them as long as it is there.

    Args:
        max_jobs: how many jobs may be here at the same time; None is any number.
        expiration_period: seconds for which a job's place and GPUs are kept until it is launched.
    """

    def __init__(self, max_jobs: int | None = None, expiration_period: float = _EXPIRATION_PERIOD) -> None:
        super().__init__()
        problems = Problems()
        checked = problems.attempt
        self.max_jobs = None if max_jobs is None else checked(site_args.count, "max_jobs", max_jobs)
        period = checked(site_args.optional_seconds, "expiration_period", expiration_period)
        self.expiration_period = _EXPIRATION_PERIOD if period is None else period
        problems.raise_all(ValueError)
        self._asked = threading.local()
        """The metadata of the job that this thread is asked about. NVIDIA FLARE passes on a part of it only."""

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:
        """Look for the site's launcher at the start; take note of a job's metadata before its check."""
        if event_type == EventType.SYSTEM_START:
            if fl_ctx.get_prop(LAUNCHER_KEY) is None:
                self.logger.error(_ALONE)
        elif event_type == FlareEventType.AUTHORIZE_COMMAND_CHECK:
            items = fl_ctx.get_prop(FlareContextKey.SECURITY_ITEMS) or {}
            self._asked.meta = items.get(FlareContextKey.JOB_META)

    def check_resources(self, resource_requirement: dict[str, Any], fl_ctx: Any) -> tuple[bool, str]:
        """Reserve a place, and the GPUs that a job asks for. Returns (True, token), or (False, the reason).

        NVIDIA FLARE puts the job off then, if it needs the site, and shows the reason in its ``schedule_history``: up
        to 2.8 only for a mandatory client, where enough others have room. So it waits, too, for what a component of the
        site puts it off for, as for its approval, where its app is here already.
        """
        job_id = fl_ctx.get_prop(FlareContextKey.CURRENT_JOB_ID)
        job_meta = self._meta(job_id)
        try:
            if why := _launcher_of(fl_ctx).why_not_yet(job_id, fl_ctx):
                return False, f"job {job_id}: {why}"
            return True, self._reserve(job_id, resource_requirement, job_meta, fl_ctx)
        except NoGpuError as error:
            self.logger.info("%s", error)
            return False, f"job {job_id}: too few of the site's GPUs are free; its log says which jobs have them"
        except FLCoreError as error:
            self.logger.info("%s", error)
            return False, str(error)

    def cancel_resources(self, resource_requirement: dict[str, Any], token: str, fl_ctx: Any) -> None:  # noqa: ARG002
        """Give back what a token stands for, if its launch has not begun. Idempotent."""
        job_id, nonce = _parsed(token)
        _launcher_of(fl_ctx).reservations.give_back(job_id, nonce)

    def allocate_resources(self, resource_requirement: dict[str, Any], token: str, fl_ctx: Any) -> dict[str, Any]:
        """Keep what a token stands for until the launch has begun that is to follow. Returns no resources.

        A token that has expired, or is of a parent that has died since, is good if there is still room. Raises
        JobLaunchError if not.
        """
        job_id, nonce = _parsed(token)
        if not nonce:
            raise JobLaunchError(f"the token {token!r} was given by another resource manager: submit the job again")
        reservations, seconds = _launcher_of(fl_ctx).reservations, min(self.expiration_period, _LAUNCH_PERIOD)
        if not reservations.renew(job_id, seconds):
            self._reserve(job_id, resource_requirement, None, fl_ctx)
        return {}

    def free_resources(self, resources: dict[str, Any], token: str, fl_ctx: Any) -> None:
        """Give back what no launch has taken; what one has, is free when nothing is left of the job. Idempotent."""
        self.cancel_resources(resources, token, fl_ctx)

    def report_resources(self, fl_ctx: Any) -> dict[str, Any]:
        """Return how many GPUs there are, and are free, and which jobs there are, for NVIDIA FLARE's console."""
        try:
            site = _launcher_of(fl_ctx)
            keeper = site.launcher.open_keeper(fl_ctx)
            gpus, free = keeper.count_gpus()
        except FLCoreError as error:
            return {"error": str(error)}
        here = keeper.job_ids()
        reserved = set(site.reservations.job_ids()) - here
        jobs = {"max_jobs": self.max_jobs, "jobs": sorted(here), "reserved": sorted(reserved)}
        return {"gpus": gpus, "free_gpus": free, **jobs}

    def _reserve(self, job_id: str, requirement: Any, job_meta: Any, fl_ctx: Any) -> str:
        site = _launcher_of(fl_ctx)
        name = fl_ctx.get_identity_name()
        asked: JobMeta = {JobMetaKey.JOB_ID: job_id, JobMetaKey.RESOURCE_SPEC: {name: requirement}}
        gpus = _gpus_of(asked, job_meta, name, site.launcher)
        keeper = site.launcher.open_keeper(fl_ctx)
        nonce = site.reservations.make(keeper, job_id, gpus, self.max_jobs, self.expiration_period)
        return f"{job_id}{_SEPARATOR}{nonce}"

    def _meta(self, job_id: Any) -> Any:
        """Return the whole metadata of the job that this thread is asked about; None if it is not known."""
        meta, self._asked.meta = getattr(self._asked, "meta", None), None
        return meta if isinstance(meta, Mapping) and meta.get(JobMetaKey.JOB_ID) == job_id else None


def _launcher_of(fl_ctx: Any) -> _SiteLauncher:
    """Return the site's launcher. Raises JobLaunchError if none of ours has heard of the site's start."""
    launcher: _SiteLauncher | None = fl_ctx.get_prop(LAUNCHER_KEY)
    if launcher is None:
        raise JobLaunchError(_ALONE)
    return launcher


def _gpus_of(asked: JobMeta, job_meta: JobMeta | None, site: str, launcher: KitLauncher) -> int:
    """Return how many GPUs a job's launch will take. Raises JobRejectedError if it asks for more than the site gives.

    That is a matter of its resources, so that it may do without the site. What else a site does not allow, the launch
    refuses: at once, where a refusal here would put the job off, again and again.

    Args:
        asked: what NVIDIA FLARE asks for.
        job_meta: all of the job's metadata, if it is known.
    """
    if job_meta is not None:
        with suppress(JobRejectedError):
            return resolve(job_meta, site, launcher.policy, launcher.mode).resources.num_of_gpus or 0
    policy = _within_study(launcher.policy, job_meta or {})
    return resolve(asked, site, policy, launcher.mode).resources.num_of_gpus or 0


def _within_study(policy: SitePolicy, job_meta: JobMeta) -> SitePolicy:
    """Return what holds for the resources of a job of a study; which study it names, the launch looks at."""
    return replace(policy.within(policy.study_in(job_meta)), studies=None, study_required=False)


def _parsed(token: Any) -> tuple[str, str]:
    """Return the job's id and the nonce of a token; what is none has no nonce that was ever given."""
    job_id, _, nonce = str(token).partition(_SEPARATOR)
    return job_id, nonce
