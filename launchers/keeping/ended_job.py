"""What becomes of an ended job's output and folder. May be done twice: who is killed meanwhile has it done again."""

from __future__ import annotations

import logging
from pathlib import Path

from flcore.disk.os_errors import in_words
from flcore.disk.safe_files import PASSING, closing, open_private, write_new

from ..docker_state import DOCKER_STATE
from ..runtime.base import Runtime
from ..tracking.tracked_job import CleanUpDelayedError, TrackedJob
from .loans import Loans

logger = logging.getLogger(__name__)

LOG_MODE = 0o640
FOLLOWER_PATIENCE = 5.0
"""Seconds that an ended container stays for who follows its output."""


def keep_output(job: TrackedJob, runtime: Runtime, log_path: Path | None) -> None:
    """Keep the output, and write the end down, unless that was done. Raises CleanUpDelayedError if it cannot be now."""
    if job.output_is_kept:
        return
    job.wait_for_followers(FOLLOWER_PATIENCE)  # who read from the engine, which forgets the output by a removal
    try:
        if log_path and DOCKER_STATE.RUNNING in job.entered:  # else what is there is an earlier run's, and stays
            with closing(open_private(log_path.parent)) as folder:
                write_new(log_path.name, folder, runtime.logs(job.identity.container_id), LOG_MODE)
    except OSError as error:
        if error.errno in PASSING:
            raise CleanUpDelayedError(f"its output cannot be kept: {in_words(error)}") from error
        # the job may have done it: it must not keep its container by that
        logger.warning("%s: its output cannot be kept: %s", job.identity, in_words(error))
    if job.hooks.record:
        try:
            # On the disk before the removal: from then on only the record knows how the job ended.
            job.hooks.record.note(durable=True, kept=True, **job.final_fields())
        except OSError as error:
            raise CleanUpDelayedError(f"its result cannot be written down: {in_words(error)}") from error
    job.output_is_kept = True


def take_folder_back(job: TrackedJob, runtime: Runtime, loans: Loans, log_path: Path | None) -> None:
    """Have the folder be the site's again. Raises CleanUpDelayedError if that cannot be now."""
    try:
        if log_path:
            loans.take_folder_back(log_path.parent, runtime)
    except OSError as error:
        if error.errno in PASSING:
            raise CleanUpDelayedError(f"its folder cannot be taken back: {in_words(error)}") from error
        logger.warning("%s: its folder cannot be taken back from its user: %s", job.identity, in_words(error))
