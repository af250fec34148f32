"""What an engine said, and what it means: as tables."""

from __future__ import annotations

import socket
import ssl
from itertools import pairwise
from typing import Any

import pytest

from flcore.errors import (
    ImageError,
    JobLaunchError,
    JobStartError,
    NameInUseError,
    NetworkError,
    RuntimeRefusedError,
)
from launchers.docker_state import DOCKER_STATE, ContainerState
from launchers.runtime import docker_answer as answer
from launchers.runtime.base import ContainerSummary, ContainerUsage, FoundImage, OutputChunk
from launchers.runtime.docker_answer import NothingToDoError, Refusals, ToldEnd, no_answer
from launchers.runtime.docker_dialect import PODMAN

NEVER = "0001-01-01T00:00:00Z"
CREATED, STARTED, FINISHED = "2023-11-14T22:13:20Z", "2023-11-14T22:13:21.5Z", "2023-11-14T22:13:30.000000001Z"
CREATED_AT, STARTED_AT, FINISHED_AT = 1_700_000_000.0, 1_700_000_001.5, 1_700_000_010.0


# --- a container ---


def inspection(status: str, exit_code: int = 0, *, started: str = NEVER, ended: str = NEVER, **more: Any) -> Any:
    """Return the parts of an inspection that count, as an engine gives them."""
    state = {"Status": status, "ExitCode": exit_code, "StartedAt": started, "FinishedAt": ended, "Error": ""}
    return {"Created": CREATED, "State": {**state, "Running": status == "running", "OOMKilled": False, **more}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (inspection("created"), ContainerState(DOCKER_STATE.CREATED, 0, created_at=CREATED_AT)),
        (
            inspection("exited", -1, started=STARTED, ended=FINISHED),
            ContainerState(
                DOCKER_STATE.EXITED, None, created_at=CREATED_AT, started_at=STARTED_AT, finished_at=FINISHED_AT
            ),
        ),
        (
            inspection("created", 127, Error="exec: no such\n  file"),
            ContainerState(DOCKER_STATE.CREATED, 127, error="exec: no such file", created_at=CREATED_AT),
        ),
        (
            inspection("running", started=STARTED),
            ContainerState(DOCKER_STATE.RUNNING, 0, created_at=CREATED_AT, started_at=STARTED_AT),
        ),
        (
            inspection("exited", 3, started=STARTED, ended=FINISHED),
            ContainerState(
                DOCKER_STATE.EXITED, 3, created_at=CREATED_AT, started_at=STARTED_AT, finished_at=FINISHED_AT
            ),
        ),
        (
            inspection("exited", 137, started=STARTED, ended=FINISHED, OOMKilled=True),
            ContainerState(
                *(DOCKER_STATE.EXITED, 137, True), created_at=CREATED_AT, started_at=STARTED_AT, finished_at=FINISHED_AT
            ),
        ),
        (
            inspection("exited", started=STARTED, ended=CREATED),
            ContainerState(
                DOCKER_STATE.EXITED, 0, created_at=CREATED_AT, started_at=STARTED_AT, finished_at=STARTED_AT
            ),
        ),
        (
            inspection("running", started=STARTED, ended=CREATED),
            ContainerState(
                DOCKER_STATE.RUNNING, 0, created_at=CREATED_AT, started_at=STARTED_AT, finished_at=CREATED_AT
            ),
        ),
    ],
    ids=[
        "created",
        "end-not-seen",
        "not-startable",
        "running",
        "exited",
        "out-of-memory",
        "end-noted-first",
        "started-again",
    ],
)
def test_an_inspection_is_a_state(said: Any, meant: ContainerState) -> None:
    assert answer.inspected_state(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (inspection("pondering"), DOCKER_STATE.CREATED),
        (inspection("pondering", started=STARTED, Running=True), DOCKER_STATE.RUNNING),
        (inspection("pondering", started=STARTED), DOCKER_STATE.RUNNING),
        (inspection("pondering", started=STARTED, ended=FINISHED), DOCKER_STATE.EXITED),
        ({"State": {}}, DOCKER_STATE.CREATED),
    ],
    ids=["not-started", "running", "started", "ended", "nothing-said"],
)
def test_an_unknown_word_for_a_state_is_understood_by_the_times_beside_it(said: Any, meant: DOCKER_STATE) -> None:
    assert answer.inspected_state(said).state is meant


@pytest.mark.parametrize(
    ("said", "name", "labels"),
    [
        ({"Names": ["/one"], "Labels": {"a": "b"}}, "one", {"a": "b"}),
        ({"Names": ["/one", "/two/one"], "Labels": None}, "one", {}),
        ({"Names": [], "Labels": {}}, "", {}),
        ({"Names": None, "Labels": {}}, "", {}),
    ],
    ids=["one-name", "two-names", "no-name", "null"],
)
def test_an_entry_of_a_list_is_a_summary(said: Any, name: str, labels: dict[str, str]) -> None:
    entry = {"Id": "c1", "State": "exited", "Created": 1_700_000_000, **said}
    assert answer.listed_container(entry) == ContainerSummary("c1", name, DOCKER_STATE.EXITED, labels, CREATED_AT)


@pytest.mark.parametrize("entry", [{"Id": "c1", "State": "pondering"}, {"Id": "c1"}], ids=["unknown-word", "no-word"])
def test_an_entry_of_an_unknown_state_costs_no_list(entry: dict[str, Any]) -> None:
    assert answer.listed_container(entry) == ContainerSummary("c1", "", None, {})


CPU = {"cpu_usage": {"total_usage": 2_500_000_000}}


@pytest.mark.parametrize(
    ("details", "memory"),
    [
        ({"inactive_file": 300, "total_inactive_file": 400}, 600),  # cgroup v1
        ({"inactive_file": 300, "file": 350}, 700),  # cgroup v2
        ({"inactive_file": 1200}, 1000),
        ({}, 1000),
        (None, 1000),
    ],
)
def test_memory_is_counted_without_what_is_only_cached(details: Any, memory: int) -> None:
    stats = {"pids_stats": {"current": 1}, "cpu_stats": CPU, "memory_stats": {"usage": 1000, "stats": details}}
    assert answer.measured_usage(stats) == ContainerUsage(2.5, memory)


def test_a_host_with_cgroup_v2_leaves_out_what_only_v1_counts() -> None:
    stats = {
        "pids_stats": {"current": 3, "limit": 1024},
        "blkio_stats": {"io_service_bytes_recursive": None, "io_serviced_recursive": None},
        "num_procs": 0,
        "cpu_stats": {
            "cpu_usage": {"total_usage": 2_500_000_000, "usage_in_kernelmode": 500, "usage_in_usermode": 2_000},
            "system_cpu_usage": 9_000_000_000,
            "online_cpus": 2,
            "throttling_data": {"periods": 0, "throttled_periods": 0, "throttled_time": 0},
        },
        "memory_stats": {
            "usage": 9_000_000,
            "stats": {"anon": 6_000_000, "file": 2_500_000, "active_file": 500_000, "inactive_file": 2_000_000},
            "limit": 67_108_864,
        },
    }
    assert answer.measured_usage(stats) == ContainerUsage(2.5, 7_000_000)


@pytest.mark.parametrize("stats", [{}, {"cpu_stats": {"cpu_usage": {"total_usage": 0}}, "memory_stats": {}}])
def test_a_container_that_does_not_run_has_empty_statistics(stats: Any) -> None:
    assert answer.measured_usage(stats) is None


@pytest.mark.parametrize(
    ("said", "position", "data"),
    [
        (b"2023-11-14T22:13:20.000000001Z hello world\n", "2023-11-14T22:13:20.000000001Z", b"hello world\n"),
        (b"2023-11-14T22:13:20.000000001Z \n", "2023-11-14T22:13:20.000000001Z", b"\n"),
        (b"", "", b""),
        (b"\xff no time", "�", b"no time"),
    ],
    ids=["line", "empty-line", "nothing", "garbage"],
)
def test_output_has_its_time_in_front(said: bytes, position: str, data: bytes) -> None:
    assert answer.output_chunk(said) == OutputChunk(position, data)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000.0),
        ("2023-11-14T22:13:20.25Z", 1_700_000_000.25),
        ("2023-11-14T22:13:20.250000001Z", 1_700_000_000.25),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000.0),
        (NEVER, None),
    ],
)
def test_a_time_is_in_seconds_since_the_epoch(said: str, meant: float | None) -> None:
    assert answer.epoch_seconds(said) == meant


# --- its end ---


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"id": "c1", "Action": action, "timeNano": 1_700_000_010 * 10**9, "Actor": {"Attributes": attributes}}


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (event("die", exitCode="3"), ToldEnd(FINISHED_AT, 3)),
        (event("start", exitCode="3"), None),
        (event("die", exitCode="no number"), None),
        (event("die", exitCode="-1"), None),
        (event("die"), None),
        ({"id": "c1"}, None),
    ],
    ids=["end", "start", "no-number", "not-seen", "no-code", "nothing"],
)
def test_an_event_tells_of_an_end_or_is_a_hint_only(said: dict[str, Any], meant: ToldEnd | None) -> None:
    assert answer.told_end(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ({"id": "c1", "status": "die", "from": "image", "Action": "die", "Actor": {"ID": "c1"}}, "c1"),
        ({"Action": "die", "Actor": {"ID": "c1"}}, "c1"),
        ({"id": "c1"}, "c1"),
        ({"Action": "die", "Actor": None}, ""),
        ({}, ""),
    ],
    ids=["until-api-1.51", "from-api-1.52", "of-old", "no-actor", "nothing"],
)
def test_an_event_names_its_container(said: dict[str, Any], meant: str) -> None:
    assert answer.told_container(said) == meant


@pytest.mark.parametrize(
    ("labels", "is_disguised"), [(None, False), ({}, False), ({"exitcode": "3"}, False), ({"exitCode": "3"}, True)]
)
def test_a_label_may_stand_in_place_of_the_exit_code(labels: Any, is_disguised: bool) -> None:
    assert answer.is_end_disguised({"Config": {"Labels": labels}}) is is_disguised


@pytest.mark.parametrize(
    ("state", "says_now", "told", "exit_code"),
    [
        ("exited", 0, ToldEnd(FINISHED_AT, 3), 3),
        ("exited", 255, ToldEnd(FINISHED_AT, 3), 3),
        ("exited", None, ToldEnd(FINISHED_AT, 3), 3),
        ("exited", 255, ToldEnd(FINISHED_AT, 0), 0),
        ("exited", 255, ToldEnd(STARTED_AT, 3), 3),
        ("exited", 7, ToldEnd(FINISHED_AT, 3), 7),
        ("exited", 0, ToldEnd(FINISHED_AT, 255), 0),
        ("exited", 0, ToldEnd(STARTED_AT - 1, 3), 0),
        ("running", 0, ToldEnd(FINISHED_AT, 3), 0),
    ],
    ids=["as-0", "as-255", "as-unknown", "success", "at-once", "known", "unseen", "earlier-start", "runs"],
)
def test_an_end_that_was_told_counts_where_the_engine_has_forgotten_it(
    state: str, says_now: int | None, told: ToldEnd, exit_code: int
) -> None:
    seen = ContainerState(DOCKER_STATE(state), says_now, started_at=STARTED_AT, finished_at=FINISHED_AT + 60)
    counts = answer.as_it_ended(seen, told)
    assert counts.exit_code == exit_code
    assert counts.finished_at == (told.time if exit_code != says_now else FINISHED_AT + 60)


# --- the engine ---

GPUS = ("GPU-8932f937-d72c-4106-c12f-20bd9faed9f6", "GPU-c2a1b0de-5f1e-4c57-9d1b-0d0f0e1a2b3c")


def cdi(*names: str) -> dict[str, Any]:
    """Return an engine's answer about itself, as engines of version 28.2 and later give it."""
    return {"DiscoveredDevices": [{"Source": "cdi", "ID": name} for name in names]}


@pytest.mark.parametrize(
    ("info", "found"),
    [
        ({}, []),
        ({"DiscoveredDevices": None}, []),
        (cdi("nvidia.com/gpu=0", "nvidia.com/gpu=1", "nvidia.com/gpu=all"), ["0", "1"]),
        (cdi("nvidia.com/gpu=0", f"nvidia.com/gpu={GPUS[0]}", "nvidia.com/gpu=all"), [GPUS[0]]),
        (cdi("nvidia.com/gpu=0:1", "amd.com/gpu=0", "nvidia.com/gpuish=0"), []),
    ],
    ids=["old-engine", "no-device", "indices", "both", "others"],
)
def test_gpus_are_found_among_the_engines_devices_by_uuid_where_it_says_them(info: Any, found: list[str]) -> None:
    assert answer.cdi_gpus(info) == found


# --- a refusal, or no answer ---


@pytest.mark.parametrize(
    ("refusals", "status", "kind"),
    [
        (answer.OF_A_CREATE, 409, NameInUseError),
        (answer.OF_A_CREATE, 400, RuntimeRefusedError),
        (answer.OF_A_START, 404, JobStartError),
        (answer.OF_A_START, 500, JobStartError),
        (answer.OF_A_START, 409, RuntimeRefusedError),
        (answer.OF_A_NAME_OF_AN_IMAGE, 400, ImageError),
        (answer.OF_A_CHECK, 404, NetworkError),
        (answer.OF_A_REMOVAL, 404, NothingToDoError),
        (answer.OF_A_REMOVAL, 409, RuntimeRefusedError),
        (answer.OF_WHAT_NEEDS_A_CONTAINER, 409, NothingToDoError),
        ({}, 404, RuntimeRefusedError),
        (answer.OF_A_START, None, RuntimeRefusedError),
    ],
)
def test_what_a_status_means_depends_on_the_request(
    refusals: Refusals, status: int | None, kind: type[JobLaunchError]
) -> None:
    error = answer.refusal("container c1", status, "no,\n   thanks", refusals)
    assert type(error) is kind
    assert str(error) == "container c1: the engine says: no, thanks"


NO_NETWORK = "network jobs not found"
STALE = "endpoint with name site-1-j1 already exists in network jobs"
NO_DRIVER = 'could not select device driver "nvidia" with capabilities: [[gpu]]'
NO_VENDOR = "failed to discover GPU vendor from CDI: no known GPU vendor found"
INSTALL = "install the NVIDIA Container Toolkit on its host, or take 'gpu_ids' out of the site's config"
NO_USER = "runc create failed: error during container init: unable to setup user: setgroups: invalid argument"
OTHER_USERS = "its containers have other users: name such in 'user' or 'user_range', 1 to 65535 as a rule"
DISCONNECT = "an earlier one has left it, end it with: docker network disconnect -f jobs site-1-j1"


@pytest.mark.parametrize(
    ("refusals", "said", "kind", "way_out"),
    [
        (answer.OF_A_START, NO_NETWORK, NetworkError, "; make it with: docker network create jobs"),
        (
            *(answer.OF_A_START, f"failed to set up container networking: {NO_NETWORK}", NetworkError),
            "; make it with: docker network create jobs",
        ),
        (answer.OF_A_START, f"a job says: {NO_NETWORK}", JobStartError, ""),
        (answer.OF_A_CREATE, NO_NETWORK, RuntimeRefusedError, ""),
        (answer.OF_A_START, f"cannot join: {STALE}", NetworkError, f"; {DISCONNECT}"),
        (answer.OF_A_START, NO_DRIVER, JobStartError, f"; {INSTALL}"),
        (answer.OF_A_START, NO_VENDOR, JobStartError, f"; {INSTALL}"),
        (answer.OF_A_START, NO_USER, JobStartError, f"; {OTHER_USERS}"),
        (answer.OF_A_START, "exec: no such file", JobStartError, ""),
    ],
    ids=[
        "network",
        "network-from-28",
        "words-of-a-job",
        "of-a-create",
        "stale-endpoint",
        "until-28",
        "from-29",
        "user",
        "other",
    ],
)
def test_what_an_engine_says_tells_of_the_way_out(
    refusals: Refusals, said: str, kind: type[JobLaunchError], way_out: str
) -> None:
    error = answer.refusal("container c1", 500, said, refusals)
    assert type(error) is kind
    assert str(error) == f"container c1: the engine says: {said}{way_out}"


def raised(*chain: Exception) -> Exception:
    """Return an error that was raised from others: the first from the second, and so on."""
    for error, cause in pairwise(chain):
        error.__cause__ = cause
    return chain[0]


@pytest.mark.parametrize(
    ("error", "may_have_arrived", "root"),
    [
        (raised(OSError("aborted"), ConnectionRefusedError(111, "refused")), False, "refused"),
        (raised(OSError("aborted"), FileNotFoundError(2, "no socket")), False, "no socket"),
        (raised(OSError("aborted"), PermissionError(13, "denied"), KeyError(1)), False, "1"),
        (raised(socket.gaierror(-2, "no such host")), False, "no such host"),
        (raised(OSError("aborted"), ConnectionResetError(104, "reset\n by peer")), True, "reset by peer"),
        (raised(TimeoutError("timed out")), True, "timed out"),
    ],
    ids=["refused", "no-socket", "denied", "no-host", "reset", "timeout"],
)
def test_only_a_connection_that_was_never_made_carries_no_request(
    error: Exception, may_have_arrived: bool, root: str
) -> None:
    assert answer.may_have_arrived(error) is may_have_arrived
    assert answer.root_cause(error).partition(": ")[2] == root


ANOTHER = "or name another by DOCKER_HOST or docker_host"
NO_FILE, REFUSED = FileNotFoundError(2, "No such file or directory"), ConnectionRefusedError(111, "refused")
SOCKET, HOST = "unix:///var/run/docker.sock", "tcp://host:2375"


@pytest.mark.parametrize(
    ("error", "address", "told"),
    [
        (NO_FILE, SOCKET, f"at {SOCKET}; start it (sudo systemctl start docker), {ANOTHER}"),
        (REFUSED, SOCKET, f"at {SOCKET}; start it (sudo systemctl start docker), {ANOTHER}"),
        (REFUSED, HOST, f"at {HOST}; start it there, {ANOTHER}"),
        (
            PermissionError(13, "Permission denied"),
            SOCKET,
            f"; join the group docker (sudo usermod -aG docker $USER, and log in anew), or be root, {ANOTHER}",
        ),
        (socket.gaierror(-2, "Name or service not known"), HOST, f"at {HOST}; correct its host's name, {ANOTHER}"),
        (
            FileNotFoundError("/ca.pem is not there"),
            HOST,
            f"at {HOST}; does it run, and is DOCKER_HOST or docker_host right?",
        ),
        (TimeoutError("timed out"), HOST, f"at {HOST}; does it run, and is DOCKER_HOST or docker_host right?"),
    ],
)
def test_an_engine_without_an_answer_is_told_with_its_address_the_cause_and_the_cure(
    error: Exception, address: str, told: str
) -> None:
    assert no_answer(error, address).endswith(told)
    assert no_answer(error, address).startswith(type(error).__name__)


@pytest.mark.parametrize("lacks", ["Missing Authority Key Identifier", "CA cert does not include key usage extension"])
def test_a_certificate_that_only_newer_pythons_refuse_is_told_with_what_it_lacks(lacks: str) -> None:
    error = ssl.SSLCertVerificationError(1, f"certificate verify failed: {lacks} (_ssl.c:1)")
    told = no_answer(error, "tcp://host.invalid:2376")
    assert lacks in told
    assert told.endswith("make it anew, with keyUsage and authorityKeyIdentifier")


@pytest.mark.parametrize(
    "said",
    [
        'Conflict. The container name "/site-1-j" is already in use by container "c0ffee00c0ffee00". '
        "You have to remove (or rename) that container to be able to reuse that name.",
        'the container name "site-1-j" is already in use by c0ffee00c0ffee00. You have to remove that container',
    ],
)
def test_a_name_in_use_is_told_without_the_advice_to_remove_who_has_it(said: str) -> None:
    error = answer.refusal("container site-1-j", 409, said, answer.OF_A_CREATE)
    assert type(error) is NameInUseError
    assert str(error).startswith("container site-1-j: its name is in use by the container c0ffee00c0ff; see whose that")
    assert "remove" not in str(error)


PODMAN_S = (
    'creating container storage: the container name "site-1-j" is already in use by c0ffee00c0ffee00. You have to '
    "remove that container to be able to reuse that name: that name is already in use, or use --replace"
)


def image_with(**config: Any) -> dict[str, Any]:
    return {"Id": "sha256:1", "RepoDigests": ["job@sha256:2"], "Config": config}


def test_an_image_is_found_with_its_digests_and_whatever_a_usual_config_says() -> None:
    usual = image_with(Env=["PATH=/bin"], Labels={"maintainer": "x" * 9000}, ExposedPorts={"22/tcp": {}}, Volumes=None)
    for found in (usual, {"Id": "sha256:1", "RepoDigests": ["job@sha256:2"], "Config": None}):
        assert answer.found_image("job:1", found) == FoundImage("sha256:1", frozenset({"sha256:1", "sha256:2"}))


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"ExposedPorts": {f"{port}/tcp": {} for port in range(1001)}}, "1001 ExposedPorts, more than 1000"),
        ({"Volumes": {f"/{number}": {} for number in range(101)}}, "101 Volumes, more than 100"),
        ({"Env": ["A=1"] * 1001}, "1001 Env, more than 1000"),
        ({"Labels": {str(number): "" for number in range(1001)}}, "1001 Labels, more than 1000"),
        ({"Labels": {"a": "x" * (256 << 10)}}, "is longer than 256Ki"),
        ({"OnBuild": ["x" * (256 << 10)]}, "is longer than 256Ki"),
    ],
)
def test_an_image_whose_config_would_slow_down_all_of_the_engine_is_refused(config: dict[str, Any], what: str) -> None:
    with pytest.raises(ImageError, match=f"^image job:1: its config .*{what}") as raised:
        answer.found_image("job:1", image_with(**config))
    assert len(str(raised.value)) < 300


def test_a_name_that_podman_says_is_in_use_by_a_500_is_in_use() -> None:
    error = answer.refusal("container site-1-j", 500, PODMAN_S, answer.OF_A_CREATE, PODMAN)
    assert type(error) is NameInUseError
    assert str(error).startswith("container site-1-j: its name is in use by the container c0ffee00c0ff; see whose that")


def test_words_of_a_name_in_use_mean_nothing_where_none_was_asked_for() -> None:
    assert type(answer.refusal("container c0ffee", 500, PODMAN_S, answer.OF_A_START, PODMAN)) is JobStartError
    assert type(answer.refusal("container j", 500, "no space left", answer.OF_A_CREATE, PODMAN)) is RuntimeRefusedError


def test_a_password_in_an_address_is_told_to_nobody() -> None:
    assert answer.told_address("tcp://user:pass@host:2375") == "tcp://user:***@host:2375"
    assert answer.told_address("ssh://user@host") == "ssh://user@host"
    assert answer.told_address("unix:///run/a:b@c.sock") == "unix:///run/a:b@c.sock"
