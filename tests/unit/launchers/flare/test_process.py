"""What NVIDIA FLARE hands to a job's process, made fit for one in a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import JobLaunchError
from flcore.job_launcher_spec import JobReturnCode
from launchers.container_spec import THIS_PROCESS, OwnNetwork
from launchers.docker_state import DOCKER_STATE, ContainerState, EndRequest, result_of
from launchers.flare.process import (
    PARENT_HOST,
    RETURN_CODE_FILE,
    check_leads_to_parent,
    counted_end,
    credential_flags,
    forget_written_code,
    parent_hosts,
    reachable,
    server_hosts,
    shared_folder,
    value_of,
    with_credentials,
    written_code,
)

# --- where a job finds its parent ---


@pytest.mark.parametrize("url", ["tcp://10.0.0.1:8102", "stcp://server:8102", "shared-file://0/srv/shared"])
@pytest.mark.parametrize("network", ["host", "flare"])
def test_an_address_that_a_job_reaches_stays_what_it_is(url: str, network: str) -> None:
    assert reachable(url, network) == url


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "0.0.0.0", "[::]"])
def test_on_the_hosts_network_a_parent_on_this_machine_is_at_hand(host: str) -> None:
    assert reachable(f"stcp://{host}:8102/x?y=z", "host") == "stcp://localhost:8102/x?y=z"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_on_a_bridge_a_parent_that_listens_everywhere_has_a_name(host: str) -> None:
    url = reachable(f"tcp://{host}:8102", "flare")
    assert url == f"tcp://{PARENT_HOST}:8102"
    assert parent_hosts({"parent_url": ("-p", url)}) == {PARENT_HOST: THIS_PROCESS}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_on_a_bridge_no_job_reaches_a_parent_that_listens_to_its_own_machine_only(host: str) -> None:
    with pytest.raises(JobLaunchError, match=r"no container in the network flare reaches.*local/comm_config.json"):
        reachable(f"tcp://{host}:8102", "flare")


@pytest.mark.parametrize("job_args", [{}, {"parent_url": ("-p", "tcp://10.0.0.1:1")}, {"parent_url": ("-p", None)}])
def test_a_parent_with_an_address_needs_no_name(job_args: dict[str, Any]) -> None:
    assert parent_hosts(job_args) == {}


def test_a_job_and_its_parent_may_talk_by_files() -> None:
    assert shared_folder({"parent_url": ("-p", "shared-file://0/srv/shared?poll_interval=1")}) == "/srv/shared"
    assert shared_folder({"parent_url": ("-p", "tcp://10.0.0.1:8102")}) == ""
    assert shared_folder({}) == ""


# --- where it finds the server ---

HOSTS = """\
127.0.0.1 localhost
# 10.0.0.9 commented.example
10.0.0.1 server.example server # the server
127.0.0.1 here.example
"""


@pytest.mark.parametrize(
    ("target", "hosts"),
    [
        ("server:8002", {"server": "10.0.0.1"}),
        ("server.example:8002", {"server.example": "10.0.0.1"}),
        ("here.example:8002", {"here.example": THIS_PROCESS}),
        ("localhost:8002", {"localhost": THIS_PROCESS}),
        ("commented.example:8002", {}),
        ("elsewhere.example:8002", {}),
        ("10.0.0.1:8002", {}),
        (None, {}),
    ],
)
def test_what_the_hosts_file_says_of_the_server_a_job_knows_too(target: str | None, hosts: dict[str, str]) -> None:
    assert server_hosts({"target": ("-g", target)}, HOSTS) == hosts


def test_a_server_has_no_server() -> None:
    assert server_hosts({}, HOSTS) == {}


# --- credentials ---

CLIENT_ARGS = {"auth_token": ("-t", "T"), "auth_signature": ("-ts", "S"), "ssid": ("-d", "D"), "job_id": ("-n", "j")}


def test_the_flags_of_credentials_are_those_that_a_process_takes() -> None:
    names = ["workspace", "auth_token", "ssid", "job_id"]
    assert credential_flags(CLIENT_ARGS, names) == {"-t": "NVFLARE_JOB_AUTH_TOKEN", "-d": "NVFLARE_JOB_SSID"}
    assert credential_flags(CLIENT_ARGS, ["workspace", "job_id"]) == {}
    assert credential_flags({}, names) == {}


def test_a_command_whose_module_takes_none_stays_what_it_is() -> None:
    assert with_credentials("python3 -u -m module -n j", {}) == "python3 -u -m module -n j"


def test_a_module_gets_its_credentials_as_arguments_and_nothing_else_does(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import json, os, sys\n"
        "with open('/proc/self/cmdline') as file: seen = file.read()\n"
        "told = ['secret' in seen, 'NVFLARE_JOB_SSID' in os.environ]\n"
        "print(json.dumps([sys.argv[1:], *told, __name__, __spec__.name]))\n"
    )
    command = with_credentials(f"{sys.executable} -u -m module -n j --set a=b c='d e'", {"-d": "NVFLARE_JOB_SSID"})
    variables = {**os.environ, "NVFLARE_JOB_SSID": "the secret", "PYTHONPATH": str(tmp_path)}
    said = subprocess.run(["sh", "-c", command], env=variables, capture_output=True, text=True, check=True).stdout
    arguments, is_seen, is_inherited, name, module = json.loads(said)
    assert arguments == ["-d", "the secret", "-n", "j", "--set", "a=b", "c=d e"]
    assert (is_seen, is_inherited, name, module) == (False, False, "__main__", "module")


# --- how it ended ---


@pytest.mark.parametrize(("text", "code"), [("0", 0), ("102", 102), ("101\n", 101), ("None", 0), ("-9", -9)])
def test_a_job_may_write_down_how_it_ended(tmp_path: Path, text: str, code: int) -> None:
    (tmp_path / RETURN_CODE_FILE).write_text(text)
    assert written_code(tmp_path) == code


@pytest.mark.parametrize("text", [b"", b"none", b"0x1", b"1e3", b"\xff", b" " * 5000 + b"0"])
def test_what_is_no_number_tells_nothing(tmp_path: Path, text: bytes) -> None:
    (tmp_path / RETURN_CODE_FILE).write_bytes(text)
    assert written_code(tmp_path) is None


def test_without_a_file_nothing_is_told(tmp_path: Path) -> None:
    assert written_code(tmp_path) is None
    assert written_code(tmp_path / "gone") is None


def test_a_link_that_a_job_has_left_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("0")
    (tmp_path / RETURN_CODE_FILE).symlink_to(tmp_path / "elsewhere")
    assert written_code(tmp_path) is None


def test_a_pipe_that_a_job_has_left_in_its_place_blocks_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / RETURN_CODE_FILE)
    assert written_code(tmp_path) is None


NOTHING, OOM = None, True
SUCCESS, FAILED, ABORTED = JobReturnCode.SUCCESS, JobReturnCode.EXECUTION_ERROR, JobReturnCode.ABORTED
EXCEPTION, UNSAFE, LOST = (
    JobReturnCode.EXCEPTION,
    JobReturnCode.UNSAFE_COMPONENT,
    JobReturnCode.INFRASTRUCTURE_ERROR,
)
ENDS = [
    # written, exit code, OOM, the code that counts, how the job ended
    (NOTHING, 0, False, 0, SUCCESS),
    (NOTHING, 1, False, 1, FAILED),
    (NOTHING, 137, False, 137, FAILED),
    # it was done, and ended, or killed itself, as NVIDIA FLARE does up to 2.8
    (0, 0, False, 0, SUCCESS),
    (0, 0, OOM, 0, SUCCESS),  # a process beside it was killed
    (0, 137, False, 0, SUCCESS),
    (101, 0, False, 101, EXCEPTION),
    (102, 0, False, 102, UNSAFE),
    (102, 137, False, 102, UNSAFE),
    # it had failed by its own account, and says so once more, in another way
    (101, 101, False, 101, EXCEPTION),
    (102, 1, False, 102, UNSAFE),
    (102, 1, OOM, 102, UNSAFE),
    # it said that all was well, and then it was not: no success
    (0, 1, False, 1, FAILED),
    (0, 1, OOM, 1, FAILED),
    (0, 101, False, 101, EXCEPTION),
    # the kernel has killed it
    (0, 137, OOM, 137, FAILED),
    (102, 137, OOM, 137, FAILED),
    # another signal has ended it: SIGABRT, SIGBUS, SIGSEGV, SIGTERM
    (0, 134, False, 134, FAILED),
    (0, 135, False, 135, FAILED),
    (0, 139, False, 139, FAILED),
    (0, 143, False, 143, FAILED),
    (102, 139, False, 139, FAILED),
    # nobody has seen its end
    (0, None, False, None, LOST),
]


@pytest.mark.parametrize(("written", "exit_code", "oom_killed", "counted", "return_code"), ENDS)
def test_what_a_job_has_written_down_is_believed_as_far_as_its_end_bears_it_out(
    written: int | None, exit_code: int | None, oom_killed: bool, counted: int | None, return_code: JobReturnCode
) -> None:
    state = DOCKER_STATE.DEAD if exit_code is None else DOCKER_STATE.EXITED
    seen = ContainerState(state, exit_code, oom_killed, started_at=1.0, finished_at=None if exit_code is None else 3.0)
    end = counted_end(seen, written)
    assert (end.exit_code, result_of(end).return_code) == (counted, return_code)
    assert result_of(end, EndRequest("somebody", 2.0, delivered=True)).return_code is ABORTED
    assert result_of(end, EndRequest("somebody", 4.0, delivered=False)).return_code is return_code


def test_what_a_job_has_written_down_can_be_forgotten(tmp_path: Path) -> None:
    (tmp_path / RETURN_CODE_FILE).write_text("0")
    forget_written_code(tmp_path)
    forget_written_code(tmp_path)
    forget_written_code(tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("job_args", "value"), [({}, ""), ({"a": ("-a", None)}, ""), ({"a": ("-a", 1)}, "1")])
def test_a_missing_argument_is_an_empty_one(job_args: dict[str, Any], value: str) -> None:
    assert value_of(job_args, "a") == value


# --- from a network of its own ---


def url(host: str) -> dict[str, tuple[str, str]]:
    return {"parent_url": ("-p", f"tcp://{host}:8102")}


@pytest.mark.parametrize("args", [url(PARENT_HOST), {}, {"parent_url": ("-p", "shared-file://0/srv/shared")}])
def test_from_a_network_of_its_own_a_job_finds_a_parent_that_listens_everywhere(args: Any) -> None:
    check_leads_to_parent("j1", args, OwnNetwork(), alone=True)


@pytest.mark.parametrize(
    ("args", "how", "alone", "why"),
    [
        (url("172.30.0.1"), OwnNetwork(), True, r"listens for its jobs on 172\.30\.0\.1, .* name 0\.0\.0\.0"),
        (
            url(PARENT_HOST),
            OwnNetwork(reaches_host=False),
            True,
            "call their parent, and 'parent' of 'network' is 'none'",
        ),
        (url(PARENT_HOST), OwnNetwork(), False, r"calls the server itself \('private_key'\), and finds no way out"),
    ],
)
def test_a_job_that_would_not_find_whom_it_calls_is_told_why(args: Any, how: OwnNetwork, alone: bool, why: str) -> None:
    with pytest.raises(JobLaunchError, match=f"^job j1: .*{why}"):
        check_leads_to_parent("j1", args, how, alone=alone)
