"""Keys that components share. Names and values are NVIDIA FLARE's, so that its components and metadata fit."""

from __future__ import annotations

from enum import StrEnum


class ReservedKey:
    """Keys that the framework itself sets in a context."""

    MANAGER = "__manager__"
    ENGINE = "__engine__"
    RUN_NUM = "__run_num__"
    IDENTITY_NAME = "__identity_name__"
    PEER_CTX = "__peer_ctx__"


class FLContextKey:
    """Keys of an ``FLContext``. The last group is ours, the others NVIDIA FLARE's."""

    TASK_NAME = "__task_name__"
    TASK_ID = "__task_id__"
    EVENT_ID = "__event_id__"
    EVENT_ORIGIN = "__event_origin__"
    EVENT_DATA = "__event_data__"
    EVENT_SCOPE = "__event_scope__"
    EXCEPTIONS = "__exceptions__"
    CLIENT_NAME = "__client_name__"
    WORKSPACE_ROOT = "__workspace_root__"
    WORKSPACE_OBJECT = "__workspace_object__"
    CURRENT_RUN = ReservedKey.RUN_NUM
    CURRENT_JOB_ID = "__current_job_id__"
    APP_ROOT = "__app_root__"
    """Where the app of a job is that is launched. At BEFORE_JOB_LAUNCH that is the copy that will run, which only the
    site can change; at AFTER_JOB_LAUNCH it is in the job's folder."""
    WORKFLOW = "__workflow__"
    ARGS = "__args__"
    JOB_META = "__job_meta__"
    JOB_PROCESS_ARGS = "__job_process_args__"
    JOB_LAUNCHER = "_job_launcher"
    JOB_BLOCK_REASON = "__job_block_reason"
    """Set by a component that hears BEFORE_JOB_LAUNCH: why the job must not be launched."""

    JOB_STATE_CHANGE = "__job_state_change__"
    """The ``JobStateChange`` of a JOB_STATE_CHANGED event."""
    JOB_EVENT_ID = "__job_event_id__"
    """The id of what a JOB_STATE_CHANGED, JOB_RECOVERED, JOB_COMPLETED or JOB_ABORTED event tells: the same when the
    site's next process tells that again, and no other's (see ``flcore.event_ids``)."""
    JOB_HANDLE = "__job_handle__"
    """The handle of an AFTER_JOB_LAUNCH or JOB_RECOVERED event's job."""
    LAUNCH = "_launch"
    """The ``Launch`` of a context in which a job is launched, where the framework puts one there: flcore does."""
    LAUNCH_REQUEST = "__launch_request__"
    """A function that returns the ``LaunchRequest`` of an AFTER_JOB_LAUNCH event's job, where its launcher tells."""
    JOB_USAGE = "__job_usage__"
    """The ``JobUsage`` of a JOB_USAGE event."""
    IMAGE_PULL_PROGRESS = "__image_pull_progress__"
    """The ``ImagePullProgress`` of an IMAGE_PULL_PROGRESS event."""
    LAUNCH_ERROR = "__launch_error__"
    """What the launch raised of which a JOB_ABORTED event tells that it failed; not set for a job that was launched."""
    JOB_RESULT = "__job_result__"
    """The ``JobResult`` of a JOB_COMPLETED or JOB_ABORTED event."""


class EventScope:
    """How far an event goes. flcore fires local events only."""

    FEDERATION = "federation"
    LOCAL = "local"


class JobMetaKey(StrEnum):
    """Keys of a job's ``meta.json``."""

    JOB_ID = "job_id"
    JOB_NAME = "name"
    STUDY = "study"
    DEPLOY_MAP = "deploy_map"
    RESOURCE_SPEC = "resource_spec"
    LAUNCHER_SPEC = "launcher_spec"
    MIN_CLIENTS = "min_clients"
    MANDATORY_CLIENTS = "mandatory_clients"
    JOB_CLIENTS = "job_clients"


class JobConstants:
    """Names of files and words in a job's folder and metadata."""

    SERVER_JOB_CONFIG = "config_fed_server.json"
    CLIENT_JOB_CONFIG = "config_fed_client.json"
    META_FILE = "meta.json"
    META_FILE_HOCON = "meta.conf"
    SITES = "sites"
    TARGETS = "targets"
    JOB_IMAGE = "image"
    JOB_ID = JobMetaKey.JOB_ID
    ALL_SITES = "@ALL"
    DEFAULT_RESOURCES = "@default"
    SERVER_SITE_NAME = "server"


class JobProcessArgs:
    """Names of the arguments that a site's parent passes to a job's process: ``name -> (flag, value)``."""

    EXE_MODULE = "exe_module"
    WORKSPACE = "workspace"
    STARTUP_DIR = "startup_dir"
    APP_ROOT = "app_root"
    AUTH_TOKEN = "auth_token"  # noqa: S105 - a key, not a secret
    TOKEN_SIGNATURE = "auth_signature"  # noqa: S105
    SSID = "ssid"
    JOB_ID = "job_id"
    CLIENT_NAME = "client_name"
    ROOT_URL = "root_url"
    PARENT_URL = "parent_url"
    PARENT_CONN_SEC = "parent_conn_sec"
    SERVICE_HOST = "service_host"
    SERVICE_PORT = "service_port"
    HA_MODE = "ha_mode"
    TARGET = "target"
    SCHEME = "scheme"
    STARTUP_CONFIG_FILE = "startup_config_file"
    OPTIONS = "options"
