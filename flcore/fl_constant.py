"""Keys that components share. Names and values are NVIDIA FLARE's, so that its components and metadata fit."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EventScope", "FLContextKey", "JobConstants", "JobMetaKey", "JobProcessArgs", "ReservedKey"]


class ReservedKey:
    """Keys that the framework itself sets in a context."""

    MANAGER = "__manager__"
    """The ``FLContextManager`` that has made the context."""
    ENGINE = "__engine__"
    """What ``get_engine`` returns: the site."""
    RUN_NUM = "__run_num__"
    """What ``get_job_id`` returns."""
    IDENTITY_NAME = "__identity_name__"
    """What ``get_identity_name`` returns: the site's name."""
    PEER_CTX = "__peer_ctx__"
    """What ``get_peer_context`` returns."""


class FLContextKey:
    """Keys of an ``FLContext``. The last group is ours, the others NVIDIA FLARE's."""

    TASK_NAME = "__task_name__"
    """The task that the context is about, in NVIDIA FLARE's job processes. It stands in logs, as the next one does."""
    TASK_ID = "__task_id__"
    """The id of that task."""
    EVENT_ID = "__event_id__"
    """The id of this firing of the event: 32 hexadecimal digits, others each time."""
    EVENT_ORIGIN = "__event_origin__"
    """The name of the component that has fired the event: in a site, its id."""
    EVENT_DATA = "__event_data__"
    """What an event says of itself, such as the reason of ENGINE_UNREACHABLE."""
    EVENT_SCOPE = "__event_scope__"
    """How far an event goes: an ``EventScope``."""
    EXCEPTIONS = "__exceptions__"
    """What handlers have raised in this context, by the component's name; a second one of a name is ``name#2``."""
    CLIENT_NAME = "__client_name__"
    """NVIDIA FLARE's: the name of a client; not set here."""
    WORKSPACE_ROOT = "__workspace_root__"
    """NVIDIA FLARE's: the path of the site's folder; not set here."""
    WORKSPACE_OBJECT = "__workspace_object__"
    """What knows the folders of the site and its jobs: ``get_root_dir()``, ``get_run_dir(job_id)``,
    ``get_app_dir(job_id)``, all as text."""
    CURRENT_RUN = ReservedKey.RUN_NUM
    """The id of the context's job, as ``get_job_id`` returns it."""
    CURRENT_JOB_ID = "__current_job_id__"
    """NVIDIA FLARE's: the id of a job that is about to be scheduled; not set here."""
    APP_ROOT = "__app_root__"
    """Where the app of a job is that is launched. At BEFORE_JOB_LAUNCH that is the copy that will run, which only the
    site can change; at AFTER_JOB_LAUNCH it is in the job's folder."""
    WORKFLOW = "__workflow__"
    """The name of the workflow that begins or ends."""
    ARGS = "__args__"
    """NVIDIA FLARE's: the arguments of its parent process; not set here."""
    JOB_META = "__job_meta__"
    """The metadata of the job that is launched. At BEFORE_JOB_LAUNCH a component may replace it: that is launched."""
    JOB_PROCESS_ARGS = "__job_process_args__"
    """The arguments of the job's process, ``name -> (flag, value)``: see ``JobProcessArgs``."""
    JOB_LAUNCHER = "_job_launcher"
    """The launchers that have volunteered so far: see ``add_launcher``."""
    JOB_BLOCK_REASON = "__job_block_reason"
    """Set by a component that hears BEFORE_JOB_LAUNCH or JOB_LAUNCH_PLANNED: why the job must not be launched."""

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
    """A function that returns the ``LaunchRequest`` of a JOB_LAUNCH_PLANNED or AFTER_JOB_LAUNCH event's job, where its
    launcher tells."""
    LAUNCH_APPROVAL = "__launch_approval__"
    """Of a launch that a JobApproval has let go on: a mapping with the ``fingerprint``, by whom it was approved (a
    list, ``approved_by``), and the digest of the ``app``."""
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
    """To all sites. NVIDIA FLARE's."""
    LOCAL = "local"
    """To the components of one site."""


class JobMetaKey(StrEnum):
    """Keys of a job's ``meta.json``."""

    JOB_ID = "job_id"
    """One run's id; who launches it sets it."""
    JOB_NAME = "name"
    """What its author calls it."""
    STUDY = "study"
    """The study that it is of, as its server says; NVIDIA FLARE knows it from 2.8 on."""
    SUBMITTER_NAME = "submitter_name"
    """Who has submitted it: NVIDIA FLARE's server says so, by the certificate of the session."""
    DEPLOY_MAP = "deploy_map"
    """``app -> [sites]``: who runs which app."""
    RESOURCE_SPEC = "resource_spec"
    """``site -> {"num_of_gpus": …}``: what it needs."""
    LAUNCHER_SPEC = "launcher_spec"
    """``site -> {"docker": {"image": …}}``: what it asks a kind of launcher for."""
    MIN_CLIENTS = "min_clients"
    """How many clients must finish, or the job has failed."""
    MANDATORY_CLIENTS = "mandatory_clients"
    """The clients without which it has failed."""
    JOB_CLIENTS = "job_clients"
    """The clients that take part in this run; who launches it sets it."""


class JobConstants:
    """Names of files and words in a job's folder and metadata."""

    SERVER_JOB_CONFIG = "config_fed_server.json"
    """In an app's ``config/``: what the server's process reads."""
    CLIENT_JOB_CONFIG = "config_fed_client.json"
    """In an app's ``config/``: what a client's process reads."""
    META_FILE = "meta.json"
    """A job's metadata."""
    META_FILE_HOCON = "meta.conf"
    """The same in HOCON, which is read where there is no ``meta.json``."""
    SITES = "sites"
    """In an entry of the ``deploy_map``: its sites."""
    TARGETS = "targets"
    """An older word for that."""
    JOB_IMAGE = "image"
    """In such an entry, or a launcher's part of the ``launcher_spec``: the image."""
    JOB_ID = JobMetaKey.JOB_ID
    """NVIDIA FLARE has this key here, too."""
    ALL_SITES = "@ALL"
    """In the ``deploy_map``: every site."""
    DEFAULT_RESOURCES = "@default"
    """In the ``resource_spec``: every site that it does not name."""
    DEFAULT_STUDY = "default"
    """The study of NVIDIA FLARE's jobs that are of none."""
    SERVER_SITE_NAME = "server"
    """What the server's site is called in metadata; any other is a client."""


class JobProcessArgs:
    """Names of the arguments that a site's parent passes to a job's process: ``name -> (flag, value)``.

    A launcher passes on those that are there, in NVIDIA FLARE's order, and only EXE_MODULE must be.
    """

    EXE_MODULE = "exe_module"
    """The module that Python runs, as ``("-m", "client")``."""
    WORKSPACE = "workspace"
    """The site's folder; a launcher says where the job sees it."""
    STARTUP_DIR = "startup_dir"
    """The ``startup/`` of a kit."""
    APP_ROOT = "app_root"
    """Where the server's process finds its app; a launcher says where the job sees it."""
    AUTH_TOKEN = "auth_token"  # noqa: S105 - a key, not a secret
    """The secret that the processes of a run share. It travels by environment, never as an argument."""
    TOKEN_SIGNATURE = "auth_signature"  # noqa: S105
    """The signature of that; it travels in the same way."""
    SSID = "ssid"
    """The server's session; it travels in the same way."""
    JOB_ID = "job_id"
    """The id of the run."""
    CLIENT_NAME = "client_name"
    """The site's name, for a client's process."""
    ROOT_URL = "root_url"
    """Where the server's own process listens for messages."""
    PARENT_URL = "parent_url"
    """Where the site's parent process listens for messages."""
    PARENT_CONN_SEC = "parent_conn_sec"
    """How that connection is secured: ``clear``, ``tls`` or ``mtls``."""
    SERVICE_HOST = "service_host"
    """The address on which the server's process of the job listens."""
    SERVICE_PORT = "service_port"
    """The port on which it listens."""
    HA_MODE = "ha_mode"
    """Whether there is more than one server."""
    TARGET = "target"
    """Where a client's process finds the server's, as ``host:port``."""
    SCHEME = "scheme"
    """By which protocol, such as ``http``."""
    STARTUP_CONFIG_FILE = "startup_config_file"
    """In the app, what the process reads first."""
    OPTIONS = "options"
    """More words at the end, as ``name=value``."""
