"""A job's own network is there before its container, and nothing of it is left, whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeRefusedError,
    RuntimeUnavailableError,
)
from flcore.testing import FakeFLContext
from launchers.container_spec import LABEL_NONCE, THIS_PROCESS, ContainerSpec
from launchers.docker_launcher import ClientDockerJobLauncher, ServerDockerJobLauncher
from launchers.keeping.launch_steps import LaunchSteps
from launchers.keeping.loans import Loans
from launchers.process_launcher import ClientProcessJobLauncher
from launchers.runtime.fake import FakeRuntime
from launchers.runtime.fake_networks import GATEWAY, FakeJobNetworks
from tests.unit.launchers.keeping.test_job_recovery import NAME, TIMEOUT, Lab, SleepLauncher

PER_JOB: dict[str, Any] = {"network": {"per_job": True}}
NETWORK = f"{NAME}.net"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def until_nothing_is_left(lab: Lab) -> None:
    lab.until_nothing_is_left()
    assert lab.runtime.job_networks.names() == []


def test_a_job_has_it_as_long_as_it_lives(lab: Lab) -> None:
    handle = lab.life(**PER_JOB).launch()
    assert lab.runtime.job_networks.names() == [NETWORK]
    spec = lab.runtime.container(NAME).spec
    assert spec.network == NETWORK
    assert lab.runtime.job_networks.all_of(LABEL_NONCE)[0].labels == spec.labels
    lab.runtime.exit(NAME)
    handle.wait_for_clean_up(TIMEOUT)
    until_nothing_is_left(lab)


def test_an_ended_container_that_is_kept_keeps_it_from_nobody(lab: Lab) -> None:
    handle = lab.life(keep=True, **PER_JOB).launch()
    lab.runtime.exit(NAME)
    handle.wait_for_clean_up(TIMEOUT)
    assert lab.runtime.containers()
    assert lab.runtime.job_networks.names() == []


def test_jobs_that_share_a_network_have_none(lab: Lab) -> None:
    lab.life(network="shared").launch()
    assert lab.runtime.job_networks.names() == []


def fail_to_start(runtime: FakeRuntime) -> None:
    runtime.start_error = "no such command"


def have_no_image(runtime: FakeRuntime) -> None:
    runtime.images = set()


def have_the_name_in_use(runtime: FakeRuntime) -> None:
    runtime.create(ContainerSpec(NAME, "job:1", ("true",)))


def have_no_subnet(runtime: FakeRuntime) -> None:
    runtime.job_networks.make_error = NetworkError("no /28 is free")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (fail_to_start, JobStartError),
        (have_no_image, ImageError),
        (have_the_name_in_use, NameInUseError),
        (have_no_subnet, NetworkError),
    ],
)
def test_a_launch_that_fails_leaves_none(
    lab: Lab, spoil: Callable[[FakeRuntime], None], error: type[JobLaunchError]
) -> None:
    life = lab.life(**PER_JOB)
    spoil(lab.runtime)
    with pytest.raises(error):
        life.launcher.launch_job({"job_id": "job-1"}, life.ctx)
    lab.until(lambda: not lab.records())
    assert lab.runtime.job_networks.names() == []


def test_an_error_of_it_names_the_job(lab: Lab) -> None:
    life = lab.life(**PER_JOB)
    have_no_subnet(lab.runtime)
    with pytest.raises(NetworkError, match=r"^job job-1: no /28 is free$"):
        life.launcher.launch_job({"job_id": "job-1"}, life.ctx)


class AwayBehindIt(FakeJobNetworks):
    """Of an engine that makes a network, and is away before it has said so."""

    def __init__(self, runtime: FakeRuntime) -> None:
        super().__init__(runtime.traits)  # type: ignore[arg-type]  # which says nothing, or that it is away
        self._runtime = runtime

    def make(self, spec: ContainerSpec) -> ContainerSpec:
        super().make(spec)
        self._runtime.set_reachable(False)
        raise RuntimeUnavailableError("the engine does not answer")


def test_one_that_was_made_unheard_goes_when_the_engine_is_back(lab: Lab) -> None:
    life = lab.life(**PER_JOB)
    lab.runtime.job_networks = AwayBehindIt(lab.runtime)
    with pytest.raises(RuntimeUnavailableError):
        life.launcher.launch_job({"job_id": "job-1"}, life.ctx)
    assert lab.runtime.job_networks.names() == [NETWORK]
    lab.runtime.set_reachable(True)
    lab.until(lambda: not lab.records() and not lab.runtime.job_networks.names())


def test_one_that_cannot_be_removed_yet_is_removed_later(lab: Lab) -> None:
    handle = lab.life(**PER_JOB).launch()
    networks, refusals = lab.runtime.job_networks, iter([NetworkError("has active endpoints")] * 2)
    remove = networks.remove

    def refuse_at_first(nonce: str, name: str) -> None:
        if error := next(refusals, None):
            raise error
        remove(nonce, name)

    networks.remove = refuse_at_first  # type: ignore[method-assign]
    lab.runtime.exit(NAME)
    handle.wait_for_clean_up(TIMEOUT)
    until_nothing_is_left(lab)


# --- after the death of the site's process ---


def test_of_a_job_that_is_found_again_it_goes_with_the_job(lab: Lab) -> None:
    first = lab.life(**PER_JOB)
    first.launch()
    first.end()
    second = lab.life(network="shared")  # whatever the site's config says now
    handle = second.handles.wait_for("job-1")
    assert lab.runtime.job_networks.names() == [NETWORK]
    lab.runtime.exit(NAME)
    handle.wait_for_clean_up(TIMEOUT)
    until_nothing_is_left(lab)


def test_of_a_job_that_has_ended_meanwhile_it_goes_at_the_next_start(lab: Lab) -> None:
    first = lab.life(**PER_JOB)
    first.launch()
    first.end()
    lab.runtime.exit(NAME)
    lab.life(**PER_JOB)
    until_nothing_is_left(lab)


def test_of_a_launch_that_was_cut_off_before_its_container_it_goes_at_the_next_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.life(**PER_JOB)

    def die(spec: ContainerSpec) -> str:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(lab.runtime, "create", die)
        patched.setattr(LaunchSteps, "give_up", lambda *_: False)
        patched.setattr(Loans, "take_back", lambda *_: False)
        with pytest.raises(Killed):
            first.launcher.launch_job({"job_id": "job-1"}, first.ctx)
    assert lab.runtime.job_networks.names() == [NETWORK]
    first.end()
    lab.life(**PER_JOB)
    until_nothing_is_left(lab)


class Killed(BaseException):
    """In place of a SIGKILL: nothing is done any more."""


def test_of_a_container_whose_record_is_lost_it_goes_too(lab: Lab) -> None:
    first = lab.life(**PER_JOB)
    first.launch()
    first.end()
    (record,) = (lab.workspace / ".flcore" / "jobs").iterdir()
    record.write_text("\n{}")
    handle = lab.life(**PER_JOB).handles.wait_for("job-1")
    lab.runtime.exit(NAME)
    handle.wait_for_clean_up(TIMEOUT)
    lab.until(lambda: not lab.runtime.containers() and not lab.runtime.job_networks.names())


def refuse_to_say(nonce: str, name: str) -> None:
    raise RuntimeRefusedError("403 Forbidden: nobody may ask for networks here")


def test_who_may_not_ask_for_networks_is_not_held_up_by_a_job_that_has_none(lab: Lab) -> None:
    first = lab.life(network="shared")
    first.launch()
    first.end()
    lab.runtime.job_networks.remove = refuse_to_say  # type: ignore[method-assign]
    lab.life(network="shared")
    lab.runtime.exit(NAME)
    lab.until_nothing_is_left()


def test_who_may_not_ask_for_networks_is_not_held_up_by_a_job_of_which_nobody_knows(lab: Lab) -> None:
    first = lab.life(network="shared")
    first.launch()
    first.end()
    (record,) = (lab.workspace / ".flcore" / "jobs").iterdir()
    record.write_text("\n{}")
    lab.runtime.job_networks.remove = refuse_to_say  # type: ignore[method-assign]
    lab.life(network="shared").handles.wait_for("job-1")
    lab.runtime.exit(NAME)
    lab.until(lambda: not lab.runtime.containers() and not lab.records())


# --- who cannot have one ---


def test_a_runtime_that_makes_none_is_told(lab: Lab) -> None:
    life = lab.life(**PER_JOB)
    lab.runtime.job_networks = None  # type: ignore[assignment]
    with pytest.raises(JobLaunchError, match=r"job job-1: fake runtime makes no networks .*'network\.per_job'"):
        life.launcher.launch_job({"job_id": "job-1"}, life.ctx)


def test_local_processes_have_none() -> None:
    arguments: dict[str, Any] = PER_JOB
    with pytest.raises(TypeError, match="network"):
        ClientProcessJobLauncher(**arguments)


def test_a_clients_job_that_is_to_call_the_servers_is_told_that_it_cannot() -> None:
    by = ClientDockerJobLauncher(image="job:1", runtime=FakeRuntime(), network={"per_job": True})
    args = {"exe_module": ("-m", "train"), "target": ("-g", "server-j1:8000")}
    with pytest.raises(JobLaunchError, match=r"job j1: it is to call the server's job at server-j1:8000, where no net"):
        by.plan({"job_id": "j1"}, FakeFLContext(job_args=args))


@pytest.mark.parametrize("kind", [ClientDockerJobLauncher, ServerDockerJobLauncher])
def test_a_check_says_what_jobs_with_one_each_cannot_do(kind: type[ClientDockerJobLauncher]) -> None:
    said = [found for found in kind(image="job:1", runtime=FakeRuntime(), **PER_JOB).check() if found.what == "network"]
    assert [(found.ok, found.warning) for found in said] == [(True, True)]
    assert "(flcore run) do not find each other" in said[0].detail
    assert not any(found.warning for found in kind(image="job:1", runtime=FakeRuntime()).check())


class CallsParent(SleepLauncher):
    """Its jobs call their parent."""

    def complete(self, spec: ContainerSpec) -> ContainerSpec:
        return replace(super().complete(spec), hosts={"parent": THIS_PROCESS})


def test_the_parent_is_at_the_gateway_which_is_known_at_the_launch(lab: Lab) -> None:
    life = lab.life(**PER_JOB)
    by = CallsParent(image="job:1", runtime=lab.runtime, **PER_JOB)
    assert by.describe_launch({"job_id": "job-1"}, life.ctx).request["hosts"] == {"parent": "(at launch)"}
    by.launch_job({"job_id": "job-1"}, life.ctx)
    assert lab.runtime.container(NAME).spec.hosts == {"parent": GATEWAY}
    lab.runtime.exit(NAME)
    by.close()


def test_a_rootless_engine_has_no_gateway_at_which_a_parent_is(lab: Lab) -> None:
    runtime = FakeRuntime()
    runtime.engine = replace(runtime.engine, has=runtime.engine.has | {"rootless"})
    by = CallsParent(image="job:1", runtime=runtime, **PER_JOB)
    plan = by.plan({"job_id": "j1"}, lab.life().ctx)
    with pytest.raises(JobLaunchError, match=r"'network\.per_job' cannot be had of fake runtime, which is rootless"):
        by.fit(plan, runtime.engine)
