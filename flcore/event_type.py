"""The events of a site. Names and values are NVIDIA FLARE's; the last group is ours."""

from __future__ import annotations


class EventType:
    """Event types, as plain strings: a component may fire any other non-empty string too."""

    SYSTEM_BOOTSTRAP = "_system_bootstrap"
    SYSTEM_START = "_system_start"
    SYSTEM_END = "_system_end"
    """The last event until the next SYSTEM_BOOTSTRAP; launchers hear it first."""

    DEPLOY_JOB_TO_SERVER = "_deploy_job_to_server"
    DEPLOY_JOB_TO_CLIENT = "_deploy_job_to_client"
    JOB_DEPLOYED = "_job_deployed"
    BEFORE_JOB_LAUNCH = "_before_job_launch"
    AFTER_JOB_LAUNCH = "_after_job_launch"
    JOB_STARTED = "_job_started"
    JOB_COMPLETED = "_job_completed"
    JOB_ABORTED = "_job_aborted"
    JOB_CANCELLED = "_job_cancelled"

    START_WORKFLOW = "_start_workflow"
    END_WORKFLOW = "_end_workflow"

    ABOUT_TO_START_RUN = "_about_to_start_run"
    START_RUN = "_start_run"
    ABOUT_TO_END_RUN = "_about_to_end_run"
    END_RUN = "_end_run"
    ABORT_TASK = "_abort_task"
    FATAL_SYSTEM_ERROR = "_fatal_system_error"

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
