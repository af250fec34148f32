"""What holds for whatever a job says. Each function raises AssertionError where it does not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hypothesis.strategies import SearchStrategy

from flcore.config.strict_json import parse_json
from flcore.errors import ConfigError, JobRejectedError
from flcore.job_meta import get_app, get_mandatory_clients, get_min_clients
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher
from launchers.launch_plan import LaunchPlan
from launchers.runtime.docker_request import create_request

from . import strategies
from .good import GI, SITE_KEYS

ACCEPTED, REFUSED = "accepted", "refused"
WORKSPACE = Path("/nowhere/site-1")
ASKED_FOR = {"Memory", "MemorySwap", "NanoCpus", "ShmSize", "Mounts"}
"""The parts of a request's host config that a job's words can change."""
DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass
class Policy:
    """A site's launcher, by the keys of its config, and what it may give at most."""

    keys: dict[str, Any]
    images: str
    """A pattern of their names."""
    variables: str = "(?!)"
    memory: int = 1 << 62
    cpus: float = 4096
    shm_size: int = 1 << 62
    gpus: int = 0
    beginnings: tuple[tuple[str, ...], ...] = (("python3",),)
    """Of commands."""

    @cached_property
    def launcher(self) -> ClientDockerJobLauncher:
        return ClientDockerJobLauncher(**self.keys)

    @cached_property
    def ordinary(self) -> dict[str, Any]:
        """What the engine is asked for a job that asks for nothing."""
        return create_request(self.plan({"job_id": "job-1"}).spec)

    def plan(self, meta: Any) -> LaunchPlan:
        """Return what a launch would do. Raises JobRejectedError."""
        fl_ctx = FakeFLContext("site-1", workspace=WORKSPACE, job_args={"exe_module": ("-m", "client")})
        return self.launcher.plan(meta, fl_ctx)


POLICIES = [
    Policy(
        SITE_KEYS, r"site:1|nvflare-job(:[\w][\w.-]*)?(@sha256:[0-9a-f]{64})?", "NCCL_[A-Za-z0-9_]*", 16 * GI, 4, 8 * GI
    ),
    Policy({"image": "site:1", "limits": {"memory": "64Mi"}, "gpu_ids": ["0", "1"]}, "site:1", memory=64 << 20, gpus=2),
    Policy(
        {"image": "site:1", "python_paths": ["/opt/python"], "entrypoints": ["/entry.sh a"]},
        "site:1",
        beginnings=(("python3",), ("/opt/python",), ("/entry.sh", "a", "python3"), ("/entry.sh", "a", "/opt/python")),
    ),
    Policy(
        {"image": "site:1", "images": ["*"], "job_env_prefixes": ["A", "P", "_"], "allow_insecure": ["images"]},
        r"[a-z0-9][a-z0-9._/:@-]*[\w.-]*(@sha256:[0-9a-f]{64})?",
        r"(?!PATH|PYTHON)[AP_][A-Za-z0-9_]*",
    ),
]


def check_text(text: str) -> str:
    """Any text is JSON that can be used, or gets a ConfigError of one line."""
    try:
        value = parse_json(text, "meta.json")
    except ConfigError as error:
        check_error(error)
        return REFUSED
    for string in strings_in(value):
        assert "\0" not in string
        string.encode()
    check_metadata(value)
    return ACCEPTED


def check_metadata(meta: Any) -> str:
    """Any metadata give a request within the site's limits, or get a JobRejectedError of one line."""
    if isinstance(meta, dict):
        check_deployment(meta)
    return ACCEPTED if ACCEPTED in [check_at_site(meta, policy) for policy in POLICIES] else REFUSED


def check_deployment(meta: dict[str, Any]) -> None:
    """Any object has sites, apps and clients, or gets a JobRejectedError of one line."""
    clients = ["site-1", "site-2"]
    try:
        app, least = get_app(meta, "site-1"), get_min_clients(meta, len(clients))
        mandatory = get_mandatory_clients(meta, clients)
    except JobRejectedError as error:
        check_error(error)
        return
    assert app is None or JOB_ID.fullmatch(app)
    assert 0 <= least <= len(clients)
    assert mandatory <= set(clients)


PROPERTIES: list[tuple[SearchStrategy[Any], Any]] = [
    (strategies.metadata, check_metadata),
    (strategies.json_texts, check_text),
]


def check_at_site(meta: Any, policy: Policy) -> str:
    try:
        plan = policy.plan(meta)
    except JobRejectedError as error:
        check_error(error)
        return REFUSED
    request = create_request(plan.spec)
    assert 0 <= (plan.request.resources.num_of_gpus or 0) <= policy.gpus
    assert DNS_LABEL.fullmatch(plan.spec.name)
    check_limits(request, policy)
    check_words(request, policy)
    check_identity(request, meta["job_id"])
    check_command(request, policy)
    check_sameness(request, policy.ordinary)
    return ACCEPTED


def check_error(error: Exception) -> None:
    assert str(error).isprintable(), repr(str(error))
    assert len(str(error)) < 900


def check_limits(request: dict[str, Any], policy: Policy) -> None:
    host = request["HostConfig"]
    assert 6 << 20 <= host["Memory"] <= policy.memory
    assert host["MemorySwap"] == host["Memory"]
    assert 0 < host.get("NanoCpus", 1) <= policy.cpus * 1e9
    assert 0 < host.get("ShmSize", 1) <= policy.shm_size


def check_words(request: dict[str, Any], policy: Policy) -> None:
    assert re.fullmatch(policy.images, request["Image"]), request["Image"]
    ours, variables = (dict(v.split("=", 1) for v in r["Env"]) for r in (policy.ordinary, request))
    assert re.fullmatch(r"/workspace/[^/:]+/app_site-1/custom", variables["PYTHONPATH"])
    assert {name for name in ours if variables[name] != ours[name]} <= {"PYTHONPATH"}
    assert all(re.fullmatch(policy.variables, name) for name in set(variables) - set(ours))
    for string in strings_in(request):
        assert "\0" not in string
        assert len(string.encode()) < 128 << 10


def check_identity(request: dict[str, Any], job_id: str) -> None:
    assert JOB_ID.fullmatch(job_id)
    assert request["Labels"]["flcore.job_id"] == job_id
    (mount,) = request["HostConfig"]["Mounts"]
    assert Path(mount["Source"]) == WORKSPACE / job_id
    assert Path(mount["Source"]).parent == WORKSPACE


def check_command(request: dict[str, Any], policy: Policy) -> None:
    ordinary = (*policy.ordinary["Entrypoint"], *policy.ordinary["Cmd"])
    commands = [(*beginning, *ordinary[1:]) for beginning in policy.beginnings]
    assert (*request["Entrypoint"], *request["Cmd"]) in commands


def check_sameness(request: dict[str, Any], ordinary: dict[str, Any]) -> None:
    """Nothing but what a job may ask for differs from a job that asks for nothing."""

    def rest(body: dict[str, Any]) -> dict[str, Any]:
        parts = {key: body[key] for key in ("User", "StopSignal", "Healthcheck")}
        return parts | {key: value for key, value in body["HostConfig"].items() if key not in ASKED_FOR}

    assert rest(request) == rest(ordinary)
    assert set(request) == set(ordinary)


def strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            yield from strings_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings_in(item)
