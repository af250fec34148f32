"""The events of a site. Names and values are NVIDIA FLARE's; the last group is ours."""

from __future__ import annotations


class EventType:
    """Event types, as plain strings: a component may fire any other non-empty string too.

    Those that are marked NVIDIA FLARE's have its names for an FL runtime, or a component, that fires them; no site of
    flcore does.
    """

    SYSTEM_BOOTSTRAP = "_system_bootstrap"
    """The first event of a site's start, before SYSTEM_START."""
    SYSTEM_START = "_system_start"
    """A site starts; launchers find the jobs of an earlier process again."""
    SYSTEM_END = "_system_end"
    """The last event until the next SYSTEM_BOOTSTRAP; launchers hear it first."""

    DEPLOY_JOB_TO_SERVER = "_deploy_job_to_server"
    """NVIDIA FLARE's: a job's app comes to the server."""
    DEPLOY_JOB_TO_CLIENT = "_deploy_job_to_client"
    """NVIDIA FLARE's: a job's app comes to a client."""
    JOB_DEPLOYED = "_job_deployed"
    """NVIDIA FLARE's: a job's app is at all its sites."""
    BEFORE_JOB_LAUNCH = "_before_job_launch"
    """A job is about to be launched: launchers volunteer (:func:`flcore.add_launcher`), any component may refuse it."""
    AFTER_JOB_LAUNCH = "_after_job_launch"
    """A job was launched; ``FLContextKey.JOB_HANDLE`` has its handle."""
    JOB_STARTED = "_job_started"
    """NVIDIA FLARE's: a job runs at its sites."""
    JOB_COMPLETED = "_job_completed"
    """A job has ended by itself, well or not; ``FLContextKey.JOB_RESULT`` says how."""
    JOB_ABORTED = "_job_aborted"
    """A job was ended on somebody's request, or could not be launched; ``FLContextKey.JOB_RESULT`` says why."""
    JOB_CANCELLED = "_job_cancelled"
    """NVIDIA FLARE's: a job was given up before it ran."""

    START_WORKFLOW = "_start_workflow"
    """A workflow begins; ``FLContextKey.WORKFLOW`` is its name."""
    END_WORKFLOW = "_end_workflow"
    """A workflow has ended, be it by an exception."""

    ABOUT_TO_START_RUN = "_about_to_start_run"
    """NVIDIA FLARE's, in a job's process: its run is about to begin."""
    START_RUN = "_start_run"
    """NVIDIA FLARE's, in a job's process: its run begins."""
    ABOUT_TO_END_RUN = "_about_to_end_run"
    """NVIDIA FLARE's, in a job's process: its run is about to end."""
    END_RUN = "_end_run"
    """NVIDIA FLARE's, in a job's process: its run ends."""
    ABORT_TASK = "_abort_task"
    """NVIDIA FLARE's, in a job's process: a task is to be given up."""
    FATAL_SYSTEM_ERROR = "_fatal_system_error"
    """NVIDIA FLARE's, in a job's process: it cannot go on."""

    JOB_LAUNCH_PLANNED = "_job_launch_planned"
    """It is known what will run, to the image's id, and nothing of it is there yet: any component may still refuse it.

    ``LaunchRequest.of`` describes it. Fired by launchers whose ``tells_plan`` says so, in the launching thread and the
    launch's own context; a refusal is as at BEFORE_JOB_LAUNCH.
    """
    JOB_HELD = "_job_held"
    """A launch waits outside of the site's admission, for what a component says (``errors.Hold``); EVENT_DATA is that.

    A BEFORE_JOB_LAUNCH follows when it is tried again, from the beginning; or the end.
    """
    JOB_STATE_CHANGED = "_job_state_changed"
    """A job's container entered another state; ``FLContextKey.JOB_STATE_CHANGE`` has the ``JobStateChange``."""
    JOB_RECOVERED = "_job_recovered"
    """A job of an earlier process of this site was found again; ``FLContextKey.JOB_HANDLE`` has its handle."""
    IMAGE_PULL_PROGRESS = "_image_pull_progress"
    """The image of a job is being pulled; ``FLContextKey.IMAGE_PULL_PROGRESS`` has the ``ImagePullProgress``."""
    JOB_USAGE = "_job_usage"
    """What a running job uses was measured; ``FLContextKey.JOB_USAGE`` has the ``JobUsage``."""
    FEDERATED_JOB_FAILED = "_federated_job_failed"
    """The job of all sites has not ended well, however this site's process of it did; EVENT_DATA says how. A server of
    NVIDIA FLARE's knows that."""
    ENGINE_UNREACHABLE = "_engine_unreachable"
    """A runtime stopped answering. It ends no job."""
    ENGINE_REACHABLE = "_engine_reachable"
    """The runtime answers again."""
