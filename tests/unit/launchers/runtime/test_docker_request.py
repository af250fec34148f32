"""What the engine is asked for: the body of its create request."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launchers.container_spec import OF_THE_USER, ContainerSpec, Isolation, Mount
from launchers.runtime.docker_request import create_request

SPEC = ContainerSpec("one", "job:1", ("run",))


def test_a_container_is_locked_down_by_default() -> None:
    config = create_request(SPEC)
    host = config["HostConfig"]
    assert (host["CapDrop"], host["SecurityOpt"], host["ReadonlyRootfs"]) == (["ALL"], ["no-new-privileges"], True)
    assert (host["PidsLimit"], host["Init"], host["NetworkMode"]) == (1024, True, "none")
    assert (host["RestartPolicy"], host.get("AutoRemove", False)) == ({"Name": "no"}, False)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10485760", "max-file": "3"}}
    assert set(host["Tmpfs"]) == {"/tmp"}
    assert not {"Privileged", "CapAdd", "Binds", "Devices", "DeviceRequests", "PortBindings", "Links"} & set(host)
    assert (config["Healthcheck"]["Test"], config["StopSignal"]) == (["NONE"], "SIGTERM")


def test_a_folder_in_memory_may_be_the_users_whoever_that_is() -> None:
    isolation = Isolation(tmpfs={"/tmp": "size=1", "/ws": f"mode=755,{OF_THE_USER}"})
    config = create_request(replace(SPEC, user="7:8", isolation=isolation))
    assert config["HostConfig"]["Tmpfs"] == {"/tmp": "size=1", "/ws": "mode=755,uid=7,gid=8"}


def test_what_a_spec_does_not_limit_is_not_said() -> None:
    assert not {"Memory", "MemorySwap", "NanoCpus", "ShmSize"} & set(create_request(SPEC)["HostConfig"])


def test_the_command_replaces_the_images_entry_point_word_by_word() -> None:
    config = create_request(ContainerSpec("one", "job:1", ("python3", "-c", "a b; $x", "")))
    assert (config["Entrypoint"], config["Cmd"]) == (["python3"], ["-c", "a b; $x", ""])


def test_all_that_a_spec_says_is_sent() -> None:
    spec = ContainerSpec(
        name="one",
        image="job:1",
        command=("run",),
        environment={"A": "b=c d"},
        working_dir="/workspace/job-1",
        mounts=(Mount("/ws/job-1", "/workspace/job-1", read_only=False), Mount("/d", "/data/d")),
        network="net",
        labels={"a": "b"},
        user="1000:100",
        init=False,
        cpus=1.5,
        memory=1 << 30,
        shm_size=1 << 20,
    )
    config = create_request(spec)
    host = config["HostConfig"]
    assert (config["Image"], config["WorkingDir"]) == ("job:1", "/workspace/job-1")
    assert config["Env"] == ["A=b=c d", "NVIDIA_VISIBLE_DEVICES=void"]
    assert (config["Labels"], config["User"]) == ({"a": "b"}, "1000:100")
    assert (host["NetworkMode"], host["Init"], host["NanoCpus"]) == ("net", False, 1_500_000_000)
    assert (host["Memory"], host["MemorySwap"], host["ShmSize"]) == (1 << 30, 1 << 30, 1 << 20)
    assert host["Mounts"] == [
        {"Type": "bind", "Source": "/ws/job-1", "Target": "/workspace/job-1", "ReadOnly": False},
        {"Type": "bind", "Source": "/d", "Target": "/data/d", "ReadOnly": True},
    ]


GPUS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-c2a1b0de-5f1e-4c57-9d1b-0d0f0e1a2b3c")


def test_gpus_are_asked_for_by_their_ids_never_by_count() -> None:
    host = create_request(replace(SPEC, gpu_ids=GPUS))["HostConfig"]
    assert host["DeviceRequests"] == [{"Driver": "nvidia", "DeviceIDs": list(GPUS), "Capabilities": [["gpu"]]}]


@pytest.mark.parametrize(("gpu_ids", "visible"), [((), "void"), (("0",), "0"), (("0", "2"), "0,2")])
def test_an_nvidia_runtime_shows_no_other_gpus_whatever_an_image_or_a_site_says(
    gpu_ids: tuple[str, ...], visible: str
) -> None:
    spec = replace(SPEC, gpu_ids=gpu_ids, environment={"NVIDIA_VISIBLE_DEVICES": "all"})
    said = [entry for entry in create_request(spec)["Env"] if entry.startswith("NVIDIA_VISIBLE_DEVICES=")]
    assert said == [f"NVIDIA_VISIBLE_DEVICES={visible}"]


HOSTILE = [
    "LD_PRELOAD",
    "LD_AUDIT",
    "LD_LIBRARY_PATH",
    "GCONV_PATH",
    "NVIDIA_DISABLE_REQUIRE",
    "NVIDIA_MIG_CONFIG_DEVICES",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_with_gpus_an_image_says_nothing_to_the_hooks_that_run_on_the_host(name: str) -> None:
    assert f"{name}=" in create_request(replace(SPEC, gpu_ids=("0",)))["Env"]


def test_with_gpus_an_image_gets_no_more_of_the_driver_than_computing_needs() -> None:
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in create_request(replace(SPEC, gpu_ids=("0",)))["Env"]


def test_what_a_site_says_to_the_hooks_counts() -> None:
    spec = replace(SPEC, gpu_ids=("0",), environment={"LD_LIBRARY_PATH": "/opt/cuda/lib64"})
    assert [entry for entry in create_request(spec)["Env"] if "LD_LIBRARY_PATH" in entry] == [
        "LD_LIBRARY_PATH=/opt/cuda/lib64"
    ]


def test_without_gpus_nothing_of_that_is_set() -> None:
    assert create_request(SPEC)["Env"] == ["NVIDIA_VISIBLE_DEVICES=void"]
