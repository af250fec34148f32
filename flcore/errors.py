"""Every error that flcore and its launchers raise on purpose.

::

    FLCoreError
    ├── ConfigError                  a site config, job folder or argument of a component is wrong
    ├── EventError                   events nested too deep
    ├── UnknownJobError              the site has no such job
    ├── JobLaunchError               a job could not be launched
    │   ├── JobRejectedError         it asks for what is not allowed, or its metadata is malformed
    │   │   └── JobNotApprovedError  nobody has approved it, or somebody has denied it
    │   ├── SiteBusyError            as many jobs run, and launches wait, as the site allows
    │   ├── NoGpuError               too few of the site's GPUs are free
    │   ├── NoLauncherError          no launcher volunteered, or too many for a strict site
    │   ├── ImageError               the image is not there
    │   │   └── PullTimeoutError     it did not come in time
    │   ├── NetworkError             the network is not there
    │   ├── NameInUseError           the job already runs, or its container's name is taken
    │   ├── JobStartError            the container was created but its process could not be started
    │   ├── RuntimeRefusedError      the engine answered, and refused for another reason
    │   ├── JobAbortedError          somebody asked for the job's end while it was being launched
    │   └── RuntimeUnavailableError  the engine does not answer
    │       ├── OutcomeUnknownError  ... and may have made a container: one that appears is removed
    │       └── ForkedError          it was not asked: this process is a fork of the one that may
    └── TerminateTimeout             the engine did not confirm in time that a job has ended

A message names the thing and the way out. Catching :class:`FLCoreError` catches all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "ConfigError",
    "EventError",
    "FLCoreError",
    "ForkedError",
    "ImageError",
    "JobAbortedError",
    "JobLaunchError",
    "JobNotApprovedError",
    "JobRejectedError",
    "JobStartError",
    "NameInUseError",
    "NetworkError",
    "NoGpuError",
    "NoLauncherError",
    "OutcomeUnknownError",
    "PullTimeoutError",
    "RuntimeRefusedError",
    "RuntimeUnavailableError",
    "SiteBusyError",
    "TerminateTimeout",
    "UnknownJobError",
]


class FLCoreError(Exception):
    """Base of all errors of this project."""


class ConfigError(FLCoreError):
    """A site config, a job folder or a component's argument is wrong."""


class EventError(FLCoreError):
    """Events fire events without an end."""


class UnknownJobError(FLCoreError):
    """The site has no job of this id: it was never launched here, its launch failed, or it ended long ago."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a launch that is refused may be let go on later, and how to know when."""

    reason: str
    """What the job waits for, as in "waits for approval"."""
    may_go_on: Callable[[], bool]
    """Returns whether to try again. Asked about once a second, so it must be quick; never raises."""
    patience: float
    """Seconds to wait, all tries of the launch together."""
    summary: str = ""
    """What of the reason may be told to others than the site's operator; empty: that it waits."""


class JobLaunchError(FLCoreError):
    """A job could not be launched; nothing of it is left behind."""

    hold: Hold | None = None
    """Set by a component that refuses a job for now: where the caller can wait, a site tries again in place of raising
    this, when it may go on. None: the refusal is the last word."""


class JobRejectedError(JobLaunchError):
    """The site does not allow what the job asks for, or cannot read it. Raised before any call to an engine."""


class JobNotApprovedError(JobRejectedError):
    """Nobody has approved what the job would run, or too few have, or somebody has denied it.

    The message names the ``fingerprint`` of that, and the commands that show and approve it.
    """

    def __init__(self, message: str, fingerprint: str = "") -> None:
        super().__init__(message)
        self.fingerprint = fingerprint


class SiteBusyError(JobLaunchError):
    """The site runs or launches as many jobs as it may, and no more launches may wait. Later there may be room."""


class NoGpuError(JobLaunchError):
    """Other jobs have the site's GPUs; the message says which jobs. Later there may be enough."""


class NoLauncherError(JobLaunchError):
    """No launcher volunteered for the job, or several did and the site is strict."""


class ImageError(JobLaunchError):
    """The job's image is not there."""


class PullTimeoutError(ImageError):
    """The image was not pulled in the time that the site allows; the message names the image and the site's key."""


class NetworkError(JobLaunchError):
    """The network that the job's container should join is not there."""


class NameInUseError(JobLaunchError):
    """The job already runs here, or something else has its container's name."""


class JobStartError(JobLaunchError):
    """The container was created, but its process could not be started."""


class RuntimeRefusedError(JobLaunchError):
    """The engine answered a request with an error that has no class of its own."""


class RuntimeUnavailableError(JobLaunchError):
    """The engine does not answer. Of a running job this says nothing at all.

    ``reached`` is False where the request has certainly not got to the engine: then nothing came of it.
    """

    def __init__(self, message: str, reached: bool = True) -> None:
        super().__init__(message)
        self.reached = reached


class OutcomeUnknownError(RuntimeUnavailableError):
    """The engine did not answer a launch, so it may have made a container; if one appears, it is removed."""


class ForkedError(RuntimeUnavailableError):
    """A site, a launcher or a handle belongs to another process, of which this one is a fork. No engine was asked."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reached=False)


class JobAbortedError(JobLaunchError):
    """Somebody, ``by``, asked for the job's end while it was being launched."""

    def __init__(self, message: str, by: str) -> None:
        super().__init__(message)
        self.by = by


class TerminateTimeout(FLCoreError):  # noqa: N818 - reads like the standard library's TimeoutError
    """The engine did not confirm in time that a job has ended. The wish to end it stays."""
