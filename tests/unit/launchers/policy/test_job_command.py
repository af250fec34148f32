"""The command of a job's process, as NVIDIA FLARE spells it, and its credentials."""

from __future__ import annotations

from typing import Any

import pytest

from launchers.policy.job_command import CLIENT_ARGS, SERVER_ARGS, credentials, job_command

JobArgs = dict[str, tuple[str, Any]]

CLIENT: JobArgs = {  # not in the order of the command
    "options": ("--set", "a=1 b='two words'"),
    "scheme": ("-scheme", "tcp"),
    "exe_module": ("-m", "private.worker"),
    "startup_config_file": ("-s", "fed_client.json"),
    "workspace": ("-m", "/ws"),
    "startup_dir": ("-w", "/ws/startup"),
    "auth_token": ("-t", "secret-token"),
    "auth_signature": ("-ts", "secret-signature"),
    "ssid": ("-d", "secret-ssid"),
    "job_id": ("-n", "job-1"),
    "client_name": ("-c", "site-1"),
    "parent_url": ("-p", "tcp://parent:8102"),
    "parent_conn_sec": ("--parent_conn_sec", "clear"),
    "target": ("-g", "server:8002"),
}
SERVER: JobArgs = {
    "options": ("--set", "a=1"),
    "exe_module": ("-m", "private.runner"),
    "workspace": ("-m", "/ws"),
    "startup_config_file": ("-s", "fed_server.json"),
    "app_root": ("-r", "/ws/job-1/app_server"),
    "job_id": ("-n", "job-1"),
    "auth_signature": ("-ts", "secret-signature"),
    "parent_url": ("-p", "tcp://parent:8102"),
    "root_url": ("-u", "grpc://server:8002"),
    "service_host": ("--host", "server"),
    "service_port": ("--port", 8002),
    "ssid": ("--ssid", "secret-ssid"),
    "ha_mode": ("--ha_mode", False),
}


def same(path: str) -> str:
    return path


def in_container(path: str) -> str:
    return path.replace("/ws", "/workspace")


def test_a_clients_command_is_in_nvflares_order() -> None:
    assert job_command("python3", CLIENT, CLIENT_ARGS, same) == [
        *("python3", "-u", "-m", "private.worker", "-m", "/ws", "-w", "/ws/startup", "-n", "job-1", "-c", "site-1"),
        *("-p", "tcp://parent:8102", "--parent_conn_sec", "clear", "-g", "server:8002", "-scheme", "tcp"),
        *("-s", "fed_client.json", "--set", "a=1", "b=two words"),
    ]


def test_a_servers_command_is_in_nvflares_order() -> None:
    assert job_command("python3", SERVER, SERVER_ARGS, same) == [
        *("python3", "-u", "-m", "private.runner", "-m", "/ws", "-s", "fed_server.json", "-r", "/ws/job-1/app_server"),
        *("-n", "job-1", "-p", "tcp://parent:8102", "-u", "grpc://server:8002", "--host", "server"),
        *("--port", "8002", "--ha_mode", "False", "--set", "a=1"),
    ]


def test_missing_arguments_are_skipped() -> None:
    job_args = {"exe_module": ("-m", "worker"), "job_id": ("-n", "job-1")}
    assert job_command("python3", job_args, CLIENT_ARGS, same) == ["python3", "-u", "-m", "worker", "-n", "job-1"]


def test_arguments_of_none_are_skipped() -> None:
    args = {"exe_module": ("-m", "work"), "parent_url": ("-p", None), "auth_token": ("-t", None)}
    assert job_command("python3", args, CLIENT_ARGS, same) == ["python3", "-u", "-m", "work"]
    assert credentials(args) == {}


def test_values_need_not_be_strings() -> None:
    job_args = {"exe_module": ("-m", "worker"), "service_port": ("--port", 8002), "ha_mode": ("--ha_mode", True)}
    assert job_command("python3", job_args, SERVER_ARGS, same)[-4:] == ["--port", "8002", "--ha_mode", "True"]


def test_paths_and_only_paths_are_placed_where_the_job_sees_them() -> None:
    job_args = CLIENT | {"client_name": ("-c", "/ws-client")}
    command = job_command("python3", job_args, CLIENT_ARGS, in_container)
    assert (command[5], command[7], command[11]) == ("/workspace", "/workspace/startup", "/ws-client")


def test_a_value_with_spaces_and_quotes_is_one_word() -> None:
    job_args = CLIENT | {"client_name": ("-c", "a 'b'; rm -rf $HOME")}
    assert "a 'b'; rm -rf $HOME" in job_command("python3", job_args, CLIENT_ARGS, same)


def test_no_credential_stands_in_a_command() -> None:
    words = job_command("p", CLIENT, CLIENT_ARGS, same) + job_command("p", SERVER, SERVER_ARGS, same)
    assert not [word for word in words if "secret" in word or word in ("-t", "-ts", "-d", "--ssid")]


def test_credentials_travel_in_the_environment() -> None:
    assert credentials(CLIENT) == {
        "NVFLARE_JOB_AUTH_TOKEN": "secret-token",
        "NVFLARE_JOB_TOKEN_SIGNATURE": "secret-signature",
        "NVFLARE_JOB_SSID": "secret-ssid",
    }


def test_a_missing_credential_is_no_variable() -> None:
    assert set(credentials(SERVER)) == {"NVFLARE_JOB_TOKEN_SIGNATURE", "NVFLARE_JOB_SSID"}
    assert credentials({}) == {}


def test_without_a_module_to_run_there_is_no_command() -> None:
    with pytest.raises(ValueError, match="exe_module: which module"):
        job_command("python3", {"job_id": ("-n", "job-1")}, CLIENT_ARGS, same)


@pytest.mark.parametrize("value", ["job-1", ("-n",), ("-n", "job", "1"), None, {"-n": "job-1"}])
def test_an_argument_that_is_no_pair_is_refused_by_its_name(value: Any) -> None:
    with pytest.raises(ValueError, match="job_id must be a flag and a value"):
        job_command("python3", CLIENT | {"job_id": value}, CLIENT_ARGS, same)


def test_a_credential_that_is_no_pair_is_refused_without_its_value() -> None:
    with pytest.raises(ValueError, match=r"^the job argument auth_token must be a flag and a value$"):
        credentials({"auth_token": "secret-token"})  # type: ignore[dict-item]


def test_options_with_an_open_quote_are_refused() -> None:
    with pytest.raises(ValueError, match="options cannot be split into words"):
        job_command("python3", CLIENT | {"options": ("--set", "a='1")}, CLIENT_ARGS, same)
