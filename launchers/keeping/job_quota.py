"""A job's folder is held to its limit by its file system, where that can be: from the job's start to its end.

Nothing depends on it: what a folder holds is looked at in any case, if less often. What has been set stands on the
folder, so that whoever finds the job again after a crash lifts it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from flcore.config.sizes import size_in_words
from flcore.disk import project_quota
from flcore.disk.os_errors import in_words
from flcore.errors import OutcomeUnknownError

from ..docker_state import DOCKER_STATE, ContainerState, effective_state, result_of
from ..tracking.job_disk import JobDisk
from ..tracking.tracked_job import TrackedJob

logger = logging.getLogger(__name__)

_BY_A_SIGNAL = 128
"""The first exit code that may stand for a signal."""


@contextmanager
def held_to_limit(job: TrackedJob) -> Iterator[None]:
    """Have the file system hold a job to its limit, if it has one and that can be; no more if what is done then fails.

    That it cannot be is logged, but where there are no such quotas.
    """
    disk = job.hooks.disk
    if disk:
        _hold(job, disk)
    try:
        yield
    except OutcomeUnknownError:  # it may run
        raise
    except BaseException:
        if disk:
            _lift(disk.folder)  # what an earlier run has left can be moved back
        raise


def lift_quota(log_path: Path | None) -> None:
    """Have the folder where a job's output is kept have no quota any more. Idempotent.

    Whoever writes there next hears of a disk that refuses this.
    """
    if log_path:
        _lift(log_path.parent)


def end_in_folder(
    log_path: Path | None, end_of: Callable[[ContainerState], ContainerState], seen: ContainerState
) -> ContainerState:
    """Return how a job ended, as ``end_of`` says; of one that failed by itself when its folder was full, that, too."""
    seen = end_of(seen)
    is_over = effective_state(seen) is DOCKER_STATE.EXITED
    has_failed = is_over and 0 < (seen.exit_code or 0) < _BY_A_SIGNAL and not seen.oom_killed
    if log_path and has_failed and (limit := _limit_of_full(log_path.parent)):
        why = f"its folder was full: it held the {size_in_words(limit)} that it may ('disk')"
        return replace(seen, error=f"{result_of(seen).error}; {why}")
    return seen


def _limit_of_full(folder: Path) -> int:
    """Return what a folder that is full may hold, in bytes; 0 for one with room, or of which nothing is known."""
    with suppress(OSError):
        held = project_quota.held(folder)
        return held.limit if held and held.is_full else 0
    return 0


def _hold(job: TrackedJob, disk: JobDisk) -> None:
    try:
        if project_quota.why_none(disk.folder.parent) is None:
            project_quota.hold(disk.folder, disk.limit)
    except OSError as error:
        _lift(disk.folder)
        why = f"no project quota can be set: {in_words(error)}"
        logger.warning("%s: what its folder holds is measured now and then: %s", job.identity, why)


def _lift(folder: Path) -> None:
    with suppress(OSError):
        project_quota.let_go(folder)
