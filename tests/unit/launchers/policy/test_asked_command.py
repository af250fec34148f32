"""With which interpreter and entry point a job runs: those that it names, if the site lists them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobRejectedError
from flcore.testing import FakeFLContext
from launchers.docker_launcher import ClientDockerJobLauncher, DockerJobLauncher
from launchers.process_launcher import ClientProcessJobLauncher

PATH = "job job-1: launcher_spec.site-1.docker"
SITE: dict[str, Any] = {
    "image": "job:1",
    "python_paths": ["/opt/venv/bin/python3"],
    "entrypoints": [["/entry.sh", "--quiet"], "/run a"],
}


def command(spec: dict[str, Any], launcher: Any = None, mode: str = "docker", **site_keys: Any) -> tuple[str, ...]:
    """Return the words that begin a job's command."""
    launcher = launcher or ClientDockerJobLauncher(**{**SITE, **site_keys})
    meta = {"job_id": "job-1", "launcher_spec": {"site-1": {mode: spec}}}
    fl_ctx = FakeFLContext("site-1", job_args={"exe_module": ("-m", "client")}, workspace=Path("/ws"))
    words: tuple[str, ...] = launcher.plan(meta, fl_ctx).spec.command
    assert words[-3:] == ("-u", "-m", "client")
    return words[:-3]


def refusal(spec: dict[str, Any], **site_keys: Any) -> str:
    with pytest.raises(JobRejectedError) as caught:
        command(spec, **site_keys)
    return str(caught.value)


def test_a_job_may_name_an_interpreter_that_the_site_lists() -> None:
    assert command({"python_path": "/opt/venv/bin/python3"}) == ("/opt/venv/bin/python3",)


def test_a_job_may_name_the_interpreter_that_it_would_get() -> None:
    assert command({"python_path": "python3"}, python_paths=[]) == ("python3",)


def test_another_interpreter_is_refused_with_the_sites_key() -> None:
    words = f"{PATH}.python_path: is not on the list of site site-1 ('python_paths'), got '/usr/bin/python3'"
    assert refusal({"python_path": "/usr/bin/python3"}) == words


@pytest.mark.parametrize("value", ["", " ", 7, True, ["python3"], {}])
def test_what_is_no_interpreter_is_refused(value: Any) -> None:
    assert refusal({"python_path": value}).startswith(f"{PATH}.python_path: must be a non-empty string, got ")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (["/entry.sh", "--quiet"], ("/entry.sh", "--quiet")),
        ("/entry.sh --quiet", ("/entry.sh", "--quiet")),
        ("'/entry.sh' \"--quiet\"", ("/entry.sh", "--quiet")),
        (["/run", "a"], ("/run", "a")),
    ],
)
def test_a_job_may_name_an_entry_point_that_the_site_lists_which_runs_before_its_command(
    value: Any, words: tuple[str, ...]
) -> None:
    assert command({"entrypoint": value}) == (*words, "python3")


def test_the_sites_own_entry_point_runs_before_the_jobs() -> None:
    assert command({"entrypoint": "/run a"}, entrypoint=["/set-up"]) == ("/set-up", "/run", "a", "python3")


def test_the_sites_own_entry_point_may_be_named_and_runs_once() -> None:
    assert command({"entrypoint": ["/set-up"]}, entrypoint=["/set-up"]) == ("/set-up", "python3")


@pytest.mark.parametrize("value", [["/entry.sh"], "/entry.sh --quiet more", ["/bin/sh", "-c", "reboot"], ["/run a"]])
def test_another_entry_point_is_refused_with_the_sites_key(value: Any) -> None:
    assert f"{PATH}.entrypoint: is not on the list of site site-1 ('entrypoints'), got " in refusal(
        {"entrypoint": value}
    )


@pytest.mark.parametrize("value", ["", " ", [], [""], [7], 7, True, {}, ["a", " "]])
def test_what_is_no_entry_point_is_refused(value: Any) -> None:
    assert f"{PATH}.entrypoint: must be a non-empty string, or a list of them, got " in refusal({"entrypoint": value})


def test_an_entry_point_that_cannot_be_split_is_refused() -> None:
    assert f"{PATH}.entrypoint: cannot be split into words: No closing quotation" in refusal({"entrypoint": "'/run"})


def test_a_process_may_have_its_own_interpreter_too() -> None:
    launcher = ClientProcessJobLauncher(python_paths=["/opt/python"])
    assert command({"python_path": "/opt/python"}, launcher, "process") == ("/opt/python",)


class Shell(DockerJobLauncher):
    """A launcher of a third party, whose jobs are no Python."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: Any) -> tuple[str, str]:
        return "name", "sh -u -m client"


def test_an_interpreter_is_refused_where_the_launcher_begins_with_another_program() -> None:
    words = "Shell runs 'sh', so that no interpreter can be had, got '/opt/venv/bin/python3'"
    with pytest.raises(JobRejectedError, match="python_path") as caught:
        command({"python_path": "/opt/venv/bin/python3"}, Shell(**SITE))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"python_paths": "/opt/python"}, "python_paths must be a list of non-empty strings"),
        ({"entrypoints": ["'"]}, r"entrypoints\[0\] cannot be split into words"),
        ({"entrypoints": [[]]}, r"entrypoints\[0\] must be a non-empty string, or a list of them"),
        ({"entrypoints": "/run"}, "entrypoints must be a list"),
    ],
)
def test_a_wrong_list_of_the_site_is_named_by_its_key(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ClientDockerJobLauncher(**{**SITE, **keys})


@pytest.mark.parametrize(
    ("option", "value"),
    [("ipc_mode", "host"), ("network", "nvflare-network"), ("init", True), ("read_only", True), ("pids_limit", 1024)],
)
def test_an_option_of_old_examples_is_granted_where_the_site_has_just_that(option: str, value: Any) -> None:
    site: dict[str, Any] = {"ipc_mode": "host", "allow_insecure": ["ipc_mode"]}
    assert command({option: value}, **site) == ("python3",)
    assert f"{PATH}.{option}: no job may ask for it, only a site ('{option}')" in refusal({option: "other"}, **site)
