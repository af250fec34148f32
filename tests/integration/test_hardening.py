"""The demo's containers while they run, item by item of two standards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from launchers.docker_launcher import DockerJobLauncher
from tests.hardening import CIS, KUBERNETES, Check, RunningContainer

from .conftest import has_control_groups
from .engine_traits import Traits, traits_of
from .test_demo_job import SITES, Federation, handle_of, run_until

_READS = 20
OF_LIMITS = {"5.11", "5.12", "5.29"}
"""Memory, processors and processes."""


@pytest.fixture(scope="module")
def containers(docker_client: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningContainer]]:
    """The containers of the demo's job in its first round, by site."""
    with ExitStack() as stack:
        federation = Federation(tmp_path_factory.mktemp("federation"), stack)
        runner = run_until(federation, "round 1/")
        yield {site: look_at(docker_client, federation, site) for site in SITES}
        runner.join(60)


def look_at(client: Any, federation: Federation, site: str) -> RunningContainer:
    container = handle_of(federation, site).container.id
    job_folder = federation.folder / site / federation.workflow.job_id
    inspection = client.api.inspect_container(container)  # first: what is asked below may be seen in it
    mounts = [line.split() for line in read(client, container, "/proc/mounts")]
    return RunningContainer(
        inspection=inspection,
        engine=client.info(),
        programs=programs_of(client, container),
        own_folders=(job_folder, *datasets_of(federation, site)),
        status=dict(line.split(":\t", 1) for line in read(client, container, "/proc/1/status") if ":\t" in line),
        mounts_inside={path: set(options.split(",")) for _, path, _, options, *_ in mounts},
    )


def read(client: Any, container: str, path: str) -> list[str]:
    """Return the lines of a file that is not empty, as the container's own user sees it.

    Podman may lose all that such a process says which ends before it listens: once in a hundred times, and once in ten
    where the machine is busy.
    """
    for _ in range(_READS):
        output: bytes = client.api.exec_start(client.api.exec_create(container, ["cat", path])["Id"])
        if output:
            return output.decode().splitlines()
    raise AssertionError(f"{path}: {_READS} times, the engine says that there is nothing in it")


def programs_of(client: Any, container: str) -> list[str]:
    """Return what runs in a container; of an engine that can list no processes, what it was told to run."""
    if has_control_groups(client):
        return [
            " ".join(process) for process in client.api.top(container, traits_of(client).top_arguments)["Processes"]
        ]
    inspection = client.api.inspect_container(container)
    return [" ".join((inspection["Path"], *inspection["Args"]))]


def datasets_of(federation: Federation, site: str) -> list[Path]:
    (launcher,) = (s.get_component("launcher") for s in federation.sites if s.name == site)
    assert isinstance(launcher, DockerJobLauncher)
    return [Path(path).resolve() for path in launcher.policy.study.datasets.values()]


@pytest.mark.parametrize("item", CIS)
@pytest.mark.parametrize("site", SITES)
def test_it_passes_the_cis_docker_benchmark(
    containers: dict[str, RunningContainer], site: str, item: str, traits: Traits
) -> None:
    if item in OF_LIMITS and not traits.has_control_groups:
        pytest.skip("this engine has no control groups to set limits by")
    assert CIS[item](containers[site]), containers[site].host


@pytest.mark.parametrize("check", KUBERNETES.values(), ids=KUBERNETES.keys())
@pytest.mark.parametrize("site", SITES)
def test_it_passes_the_kubernetes_standard(containers: dict[str, RunningContainer], site: str, check: Check) -> None:
    assert check(containers[site]), containers[site].host
