"""What a job asks for, as somebody approves it: of two runs the same, and another as soon as one of it is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flcore.job_launcher_spec import JobArgs
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
from launchers.policy.launch_asks import lasting_words
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.runtime.fake import FakeRuntime

SITE: dict[str, Any] = {
    "image": "job:1",
    "images": ["job:*"],
    "datasets": {"digits": "/srv/digits"},
    "secrets": {"token": {"env": "TOKEN", "to_env": "API_TOKEN"}},
    "mounts": [{"source": "/opt/tools", "target": "/tools"}],
    "job_env_prefixes": ["EPOCHS"],
    "limits": {"memory": "4Gi", "num_of_cpus": 4},
    "network": "flare",
    "studies": {"cardio": {"datasets": {"hearts": "/srv/hearts"}}},
}


def args_of(run: int) -> JobArgs:
    """Return what a parent passes on, with all that differs between two runs."""
    return {
        "exe_module": ("-m", "client"),
        "workspace": ("-m", f"/sites/{run}"),
        "job_id": ("-n", f"job-{run}"),
        "parent_url": ("-p", f"tcp://localhost:{8000 + run}"),
        "target": ("-g", f"server:{9000 + run}"),
        "auth_token": ("-t", f"token {run}"),
        "options": ("--set", "secure_train=false"),
    }


def asks(run: int = 1, job_args: JobArgs | None = None, site: dict[str, Any] | None = None, **meta: Any) -> Any:
    launcher = ClientDockerJobLauncher(runtime=FakeRuntime(), **SITE | (site or {}))
    fl_ctx = FakeFLContext(job_id=f"job-{run}", job_args=dict(job_args or args_of(run)))
    request = launcher.describe_launch({"job_id": f"job-{run}", **meta}, fl_ctx)
    return request.asks


def test_they_are_said_as_values_that_somebody_can_read() -> None:
    assert asks() == {
        "study": "",
        "image": {"name": "job:1", "id": "job:1"},
        "datasets": {"digits": "/srv/digits"},
        "mounts": {"/tools": ["/opt/tools", "ro"]},
        "secrets": {"token": {"source": "variable TOKEN of the site's process", "to_env": "API_TOKEN"}},
        "resources": {"num_of_cpus": 4.0, "memory": 4 << 30},
        "env": {},
        "network": "flare",
        "command": [
            *("python3", "-u", "-m", "client", "-m", "{workspace}", "-n", "{job_id}", "-p", "{parent_url}"),
            *("-g", "{target}", "--set", "secure_train=false"),
        ],
    }
    assert json.loads(json.dumps(asks())) == asks()


def test_two_runs_of_the_same_job_ask_for_the_same() -> None:
    assert asks(1) == asks(2)


@pytest.mark.parametrize(
    "changed",
    [
        {"study": "cardio"},
        {"launcher_spec": {"default": {"docker": {"image": "job:2"}}}},
        {"launcher_spec": {"default": {"docker": {"env": {"EPOCHS": "2"}}}}},
        {"resource_spec": {"site-1": {"memory": "1Gi"}}},
        {"resource_spec": {"site-1": {"num_of_cpus": 1}}},
        {"site": {"datasets": {"digits": "/srv/others"}}},
        {"site": {"secrets": {"token": {"file": "/etc/token"}}}},
        {"site": {"mounts": [{"source": "/opt/tools", "target": "/tools", "read_only": False}]}},
        {"site": {"network": "another"}},
        {"site": {"entrypoint": ["/init"]}},
        {"job_args": {**args_of(1), "options": ("--set", "secure_train=true")}},
        {"job_args": {**args_of(1), "exe_module": ("-m", "server")}},
    ],
)
def test_whatever_a_job_asks_for_or_gets_is_in_there(changed: dict[str, Any]) -> None:
    assert asks(**changed) != asks()


def test_no_secret_is_in_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    assert "hunter2" not in str(asks())
    assert "token 1" not in str(asks())


def test_what_the_image_is_is_in_there() -> None:
    launcher = ClientDockerJobLauncher(image="job:1", runtime=(runtime := FakeRuntime()))
    runtime.image_ids["job:1"] = "sha256:abc"
    fl_ctx = FakeFLContext(job_args=dict(args_of(1)))
    assert launcher.describe_launch({"job_id": "job-1"}, fl_ctx).asks["image"] == {"name": "job:1", "id": "sha256:abc"}


def test_a_local_process_has_its_interpreter_in_place_of_an_image() -> None:
    launcher = ClientProcessJobLauncher()
    found = launcher.describe_launch({"job_id": "job-1"}, FakeFLContext(job_args=dict(args_of(1)))).asks
    assert found["image"] == {"name": "", "id": ""}
    assert found["command"][0] == launcher.python


def test_a_servers_ports_are_of_one_run() -> None:
    def command(port: int) -> Any:
        job_args: JobArgs = {"exe_module": ("-m", "server"), "service_port": ("--port", port)}
        launcher = ServerDockerJobLauncher(image="job:1", runtime=FakeRuntime())
        return launcher.describe_launch({"job_id": "j"}, FakeFLContext("server", job_args=dict(job_args))).asks

    assert command(1) == command(2)


@pytest.mark.parametrize(
    ("word", "lasting"),
    [
        ("--id=j1", "--id={job_id}"),
        ("/workspace/j1/out", "/workspace/{job_id}/out"),
        ("site-1-j1", "{name}"),
        ("j11", "j11"),
        ("my-j1", "my-j1"),
        ("j1.bak", "j1.bak"),
    ],
)
def test_a_jobs_id_is_taken_out_where_it_stands_by_itself(word: str, lasting: str) -> None:
    assert lasting_words([word], {}, "j1", "site-1-j1") == [lasting]
