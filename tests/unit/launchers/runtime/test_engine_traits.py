"""What engines have said of themselves, and what of that a site should know: as tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flcore.job_launcher_spec import Check
from launchers.runtime.engine_traits import (
    LEAK,
    PODMAN_LEAK,
    TRAITS,
    UNASKED,
    EngineTraits,
    Shift,
    as_traits,
    name_leak,
    warnings,
)

LIMITS = {"memory_limit", "pids_limit", "cpu_limit", "swap_limit"}


def recorded(name: str, root: str = "/var/lib/docker") -> tuple[Any, Any]:
    """Return what an engine has answered to ``version`` and ``info``, and where its data would be on a site's host."""
    said = json.loads((Path(__file__).parent / f"answers/{name}.json").read_text())
    return said["version"], said["info"] | {"DockerRootDir": root}


SECCOMP = "name=seccomp,profile=builtin"
DOCKER_20, DOCKER_28 = recorded("docker-20.10"), recorded("docker-28.5")
ROOTLESS = recorded("docker-28.5-rootless", "/home/a/.local/share/docker")
REMAPPED = recorded("docker-28.5-userns-remap", "/var/lib/docker/300000.300001")
PODMAN, ROOTLESS_PODMAN = recorded("podman-5.8"), recorded("podman-5.8-rootless")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (DOCKER_20, EngineTraits("Docker Engine", "20.10.24+dfsg1", frozenset({*LIMITS, "seccomp"}))),
        (DOCKER_28, EngineTraits("Docker Engine", "28.5.2+dfsg4", frozenset({*LIMITS, "seccomp"}))),
        (ROOTLESS, EngineTraits("Docker Engine", "28.5.2+dfsg4", frozenset({"seccomp", "rootless"}))),
        (
            REMAPPED,
            EngineTraits(
                *("Docker Engine", "28.5.2+dfsg4"), frozenset({*LIMITS, "seccomp", "userns"}), Shift(300000, 300001)
            ),
        ),
        (PODMAN, EngineTraits("Podman", "5.8.6", frozenset({*LIMITS, "seccomp"}))),
        (ROOTLESS_PODMAN, EngineTraits("Podman", "5.8.6", frozenset({"seccomp", "rootless"}))),
    ],
    ids=["Docker 20.10", "Docker 28.5", "rootless", "userns-remap", "Podman", "rootless Podman"],
)
def test_what_an_engine_says_of_itself_is_what_holds_there(said: tuple[Any, Any], meant: EngineTraits) -> None:
    assert replace(as_traits(*said), api="") == meant


def with_info(**info: Any) -> EngineTraits:
    version, said = DOCKER_28
    return as_traits(version, said | info)


@pytest.mark.parametrize(
    ("info", "missing"),
    [
        ({"MemoryLimit": False}, {"memory_limit"}),
        ({"PidsLimit": False}, {"pids_limit"}),
        ({"CpuCfsQuota": False}, {"cpu_limit"}),
        ({"SwapLimit": False}, {"swap_limit"}),
        ({"SwapLimit": None, "PidsLimit": None}, {"pids_limit", "swap_limit"}),
        ({"SecurityOptions": None}, {"seccomp"}),
        ({"SecurityOptions": ["name=seccomp,profile=unconfined"]}, {"seccomp"}),
        ({"SecurityOptions": [SECCOMP, "name=apparmor", "name=cgroupns", "name=selinux"]}, set()),
        ({"SecurityOptions": ["name=seccomp,profile=/etc/docker/mine.json", "name=new", ""]}, set()),
    ],
)
def test_what_an_engine_does_not_speak_of_is_not_there(info: dict[str, Any], missing: set[str]) -> None:
    assert set(with_info(**info).missing({*LIMITS, "seccomp"})) == missing


def test_a_rootless_engine_of_a_host_with_cgroup_v2_has_the_limits_that_it_names() -> None:
    version, info = ROOTLESS
    delegated = {"CgroupVersion": "2", "MemoryLimit": True, "PidsLimit": True, "CpuCfsQuota": False}
    assert set(as_traits(version, info | delegated).missing(LIMITS)) == {"cpu_limit", "swap_limit"}


@pytest.mark.parametrize(("version", "info"), [({}, {}), ({"Components": None}, {"SecurityOptions": [None]})])
def test_an_engine_that_says_nothing_has_nothing_and_shifts_nobody(version: Any, info: Any) -> None:
    assert replace(as_traits(version, info), tells=True) == EngineTraits("Docker Engine")


def test_an_engine_that_nobody_may_ask_is_said_to_be_unknown_not_to_enforce_nothing() -> None:
    (told,) = warnings(as_traits({"Version": "28.5.2"}, {}))
    assert told.detail == (
        "what Docker Engine 28.5.2 enforces is not known: whoever stands in front of it forbids 'GET /info'"
    )


@pytest.mark.parametrize(
    ("said", "user", "on_host"),
    [
        (DOCKER_28, "65534:65534", "65534:65534"),
        (DOCKER_28, "1000:100", "1000:100"),
        (DOCKER_28, "", ""),
        (REMAPPED, "65534:65534", "365534:365535"),
        (REMAPPED, "0:0", "300000:300001"),
        (ROOTLESS, "0:0", ""),
        (ROOTLESS_PODMAN, "0:0", ""),
    ],
)
def test_a_jobs_user_is_another_on_the_host_where_an_engine_has_its_own(
    said: tuple[Any, Any], user: str, on_host: str
) -> None:
    assert as_traits(*said).on_host(user) == on_host


def test_a_range_of_users_is_shifted_as_one_user_is() -> None:
    assert as_traits(*REMAPPED).uids_on_host(range(1000, 2000)) == range(301000, 302000)
    assert as_traits(*DOCKER_28).uids_on_host(range(1000, 2000)) == range(1000, 2000)


@pytest.mark.parametrize("said", [ROOTLESS, REMAPPED], ids=["rootless", "userns-remap"])
def test_a_site_in_a_container_of_that_engine_counts_users_as_its_jobs_do(said: tuple[Any, Any]) -> None:
    traits = as_traits(*said, shares_users=True)
    assert (traits.is_rootless, traits.shift, traits.on_host("1000:100")) == (False, Shift(), "1000:100")
    assert traits.has == as_traits(*said).has
    assert not [check for check in warnings(traits) if check.what == "users"]


@pytest.mark.parametrize("root", ["/data", "/data/300000", "/data/a.b", "", None])
def test_a_shift_that_is_not_told_is_not_taken_for_none(root: str | None) -> None:
    traits = with_info(SecurityOptions=["name=userns"], DockerRootDir=root)
    assert traits.shift is None


def test_a_folder_that_looks_like_a_shift_is_none_where_nobody_is_shifted() -> None:
    assert with_info(DockerRootDir="/data/300000.300000").shift == Shift()


# --- what a site should know ---


GOOD = replace(as_traits(*DOCKER_28), has=frozenset({*LIMITS, "seccomp", "apparmor"}))
LACKING = (
    "its host's kernel has them turned off (the boot option 'swapaccount=1' turns on swap_limit); "
    "a job may take all that its host has of processes, swap"
)


@pytest.mark.parametrize(
    ("traits", "told"),
    [
        (GOOD, []),
        (replace(GOOD, has=frozenset({*LIMITS, "seccomp", "selinux"})), []),
        (
            replace(GOOD, has=GOOD.has - {"pids_limit", "swap_limit"}),
            [("limits", f"Docker Engine 28.5.2+dfsg4 does not enforce pids_limit, swap_limit: {LACKING}")],
        ),
        (
            replace(GOOD, has=GOOD.has - {"seccomp"}),
            [
                (
                    "seccomp",
                    "Docker Engine 28.5.2+dfsg4 filters no system calls: jobs reach all of its host's kernel; "
                    "give it a profile",
                )
            ],
        ),
        (
            replace(GOOD, has=GOOD.has - {"apparmor"}),
            [
                (
                    "security module",
                    "Docker Engine 28.5.2+dfsg4 has neither AppArmor nor SELinux: turn one on in its host's kernel",
                )
            ],
        ),
        (
            replace(GOOD, shift=Shift(300000, 300001)),
            [
                (
                    "users",
                    "Docker Engine 28.5.2+dfsg4 shifts users (userns-remap): a job's uid is 300000 more on the host, "
                    "its gid 300001, to whom its files belong; inotify instances, which the kernel counts by "
                    "namespace, jobs take from the host's root",
                )
            ],
        ),
        (
            replace(GOOD, shift=None),
            [
                (
                    "users",
                    "Docker Engine 28.5.2+dfsg4 shifts users (userns-remap): by how much, it does not say, "
                    "so no job can be given its files",
                )
            ],
        ),
    ],
)
def test_what_an_engine_lacks_is_told_in_a_line_each(traits: EngineTraits, told: list[tuple[str, str]]) -> None:
    assert list(warnings(traits)) == [Check(what, True, words, warning=True) for what, words in told]


def test_of_a_rootless_engine_a_site_is_told_who_its_jobs_are_and_that_nothing_limits_them() -> None:
    told = {check.what: check.detail for check in warnings(as_traits(*ROOTLESS))}
    assert "does not enforce memory_limit, pids_limit, cpu_limit, swap_limit: a rootless engine sets" in told["limits"]
    assert "is rootless: jobs run as its user 0, who on the host is the site's own, and no more" in told["users"]


@pytest.mark.parametrize("lost", sorted(LIMITS))
def test_of_a_limit_that_does_not_hold_it_is_told_what_a_job_may_take_and_of_nothing_else(lost: str) -> None:
    (told,) = warnings(replace(GOOD, has=GOOD.has - {lost}))
    taken = {
        "memory_limit": "memory",
        "pids_limit": "processes",
        "cpu_limit": "processor time",
        "swap_limit": "swap",
    }
    assert told.detail.endswith(f"a job may take all that its host has of {taken[lost]}")


def test_of_a_rootless_engine_that_sets_some_limits_it_is_not_told_that_its_host_has_cgroup_v1() -> None:
    version, info = ROOTLESS
    delegated = as_traits(version, info | {"CgroupVersion": "2", "MemoryLimit": True, "PidsLimit": True})
    told = {check.what: check.detail for check in warnings(delegated)}
    assert "what its user is given: none with cgroup v1, with v2 what systemd's 'Delegate=' names" in told["limits"]


def test_of_a_rootless_docker_a_site_is_told_how_jobs_reach_a_parent_on_the_host() -> None:
    told = {check.what: check.detail for check in warnings(as_traits(*ROOTLESS))}
    assert told["host-gateway"] == (
        "jobs that look for their parent on this host find Docker Engine 28.5.2+dfsg4's own network in its place: name "
        'the address of this host as "host-gateway-ip" in its daemon.json; where that is done, all is well'
    )


@pytest.mark.parametrize("said", [ROOTLESS_PODMAN, PODMAN, REMAPPED], ids=["rootless Podman", "Podman", "userns-remap"])
def test_of_engines_whose_jobs_reach_their_host_it_is_told_nothing_of_that(said: tuple[Any, Any]) -> None:
    assert "host-gateway" not in [check.what for check in warnings(as_traits(*said))]


@pytest.mark.parametrize(
    ("version", "leaks"),
    [
        ("20.10.24+dfsg1", True),
        ("23.0.10", True),
        ("23.0.11", False),
        ("24.0.9", True),
        ("25.0.4", True),
        ("25.0.5", False),
        ("26.0.0", False),
        ("26.0", False),
        ("28.5.2+dfsg4", False),
        ("library-import", False),
        ("", False),
    ],
)
def test_engines_below_the_first_releases_without_it_leak_names_from_internal_networks(
    version: str, leaks: bool
) -> None:
    assert name_leak(EngineTraits("Docker Engine", version)) == (LEAK if leaks else "")


@pytest.mark.parametrize(("version", "leak"), [("4.3.1", PODMAN_LEAK), ("5.8.6", ""), ("", "")])
def test_podman_4_leaks_names_from_internal_networks(version: str, leak: str) -> None:
    assert name_leak(EngineTraits("Podman", version)) == leak


def test_what_is_missing_is_told_in_one_order_whatever_was_wanted() -> None:
    assert UNASKED.missing(["userns", "pids_limit", "memory_limit"]) == ("memory_limit", "pids_limit", "userns")
    assert UNASKED.missing(TRAITS) == TRAITS
