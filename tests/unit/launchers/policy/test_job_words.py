"""What of a job's metadata is meant for this launcher at this site, and what is passed over, which is said."""

from __future__ import annotations

from typing import Any

import pytest

from flcore.errors import JobRejectedError
from launchers.policy.image_reference import ImageRule
from launchers.policy.job_policy import JobRequest, SitePolicy, names_image, resolve
from launchers.policy.resources import Resources

GI = 1 << 30
SITE = SitePolicy(image="site:1", images=(ImageRule.parse("*"),), gpus=8, gpu_memory=80 * GI)
DEFAULTS = {"num_of_gpus": 1, "num_of_cpus": 2, "memory": "2Gi"}


def request(site: SitePolicy = SITE, mode: str = "docker", **meta: Any) -> JobRequest:
    return resolve({"job_id": "job-1", **meta}, "site-1", site, mode)


def resources(**spec: Any) -> Resources:
    return request(resource_spec=spec).resources


def refusal(mode: str = "docker", **meta: Any) -> str:
    with pytest.raises(JobRejectedError) as caught:
        request(mode=mode, **meta)
    return str(caught.value)


# --- portable resources ---


def test_resources_for_all_sites_are_given_as_from_nvidia_flare_2_9() -> None:
    assert resources(**{"@default": DEFAULTS}) == Resources(num_of_cpus=2, memory=2 * GI, num_of_gpus=1)


def test_a_sites_own_resources_have_the_word_key_by_key() -> None:
    assert resources(**{"@default": DEFAULTS, "site-1": {"num_of_gpus": 0}}) == Resources(2, 2 * GI, num_of_gpus=0)
    assert resources(**{"@default": DEFAULTS, "site-1": {"memory": "8Gi", "num_of_cpus": None}}).memory == 8 * GI
    assert resources(**{"@default": DEFAULTS, "site-2": {"num_of_gpus": 5}}).num_of_gpus == 1


def test_what_is_refused_for_all_sites_is_named_by_its_path_with_the_way_out() -> None:
    words = refusal(resource_spec={"@default": {"num_of_gpus": 9}})
    assert words.startswith("job job-1: resource_spec.@default.num_of_gpus: more than the 8 GPUs of this site")
    assert 'a job whose part here needs fewer says so in resource_spec["site-1"]' in words


@pytest.mark.parametrize("key", ["num_of_gpu", "gpu", "mem_per_gpu_in_GiB", "docker", "shm_size"])
def test_resources_for_all_sites_are_those_that_every_launcher_has_as_in_nvidia_flare(key: str) -> None:
    words = refusal(resource_spec={"@default": {key: 1}})
    assert f"resource_spec.@default.{key}: unknown key; known are memory, num_of_cpus, num_of_gpus, got 1" in words


def test_gpus_that_two_places_want_must_be_as_many() -> None:
    def asked(gpus: int) -> dict[str, Any]:
        return {"launcher_spec": {"default": {"docker": {"num_of_gpus": gpus}}}}

    assert request(resource_spec={"site-1": {"num_of_gpus": 2}}, **asked(2)).resources.num_of_gpus == 2
    words = refusal(resource_spec={"@default": {"num_of_gpus": 1}}, **asked(2))
    path = "launcher_spec.default.docker.num_of_gpus"
    assert f"{path}: must be as many as resource_spec.@default.num_of_gpus, which is 1, got 2" in words


# --- nothing said ---


@pytest.mark.parametrize(
    "meta",
    [
        {"resource_spec": None, "launcher_spec": None},
        {"resource_spec": {"site-1": None, "@default": None}},
        {"launcher_spec": {"site-1": None, "default": {"docker": None}}},
        {"resource_spec": {"site-1": {"docker": None, "process": None}}},
    ],
)
def test_a_null_is_as_if_it_were_not_there(meta: dict[str, Any]) -> None:
    assert request(**meta) == request()


# --- parts of others ---


@pytest.mark.parametrize("key", ["gpu", "gpu_type", "gpus", "licences", "a.b", 7])
def test_a_key_of_another_resource_manager_is_passed_over_and_that_is_said(key: Any) -> None:
    asked = request(resource_spec={"site-1": {key: {"any": "thing"}, "num_of_cpus": 3}})
    assert asked.resources.num_of_cpus == 3
    assert asked.passed_over == {f"resource_spec.site-1.{key}": "no resource that this launcher gives"}


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("num_gpus", "num_of_gpus"),
        ("NUM_OF_GPUS", "num_of_gpus"),
        ("num_of_cpu", "num_of_cpus"),
        ("memory_gb", "memory"),
        ("mem_per_gpu_in_gb", "mem_per_gpu_in_GiB"),
    ],
)
def test_a_key_that_is_almost_one_of_ours_is_passed_over_with_the_one_that_may_be_meant(key: str, meant: str) -> None:
    (why,) = request(resource_spec={"site-1": {key: 1}}).passed_over.values()
    assert why == f"no resource that this launcher gives; did you mean '{meant}'?"


@pytest.mark.parametrize("part", ["process", "k8s", "slurm"])
def test_the_part_of_another_launcher_is_passed_over_whatever_is_in_it_and_that_is_said(part: str) -> None:
    spec = {"site-1": {part: {"num_of_gpus": 3, "image": 7}, "docker": {"num_of_gpus": 1}}}
    asked = request(launcher_spec=spec, resource_spec=spec)
    assert asked.resources.num_of_gpus == 1
    why = f"for launchers of the kind '{part}'; this is 'docker'"
    assert asked.passed_over == {f"launcher_spec.site-1.{part}": why, f"resource_spec.site-1.{part}": why}


def test_the_part_of_a_kind_of_launcher_that_nobody_knows_yet_is_passed_over_too() -> None:
    (path,) = request(launcher_spec={"default": {"podman": {}}}).passed_over
    assert path == "launcher_spec.default.podman"


@pytest.mark.parametrize("key", ["Docker", " docker", "DOCKER"])
def test_a_launcher_of_nearly_our_name_is_refused_for_who_means_us_would_get_nothing(key: str) -> None:
    spec = {"site-1": {key: {"num_of_gpus": 1}}}
    assert f"launcher_spec.site-1.{key}: is written 'docker'" in refusal(launcher_spec=spec)
    assert f"resource_spec.site-1.{key}: is written 'docker'" in refusal(resource_spec=spec)


def test_the_part_of_processes_counts_beside_resources_for_all_sites_as_in_nvidia_flare_2_9() -> None:
    spec = {"@default": DEFAULTS, "site-1": {"process": {"num_of_gpus": 3, "gpu_type": "a100"}}}
    asked = request(resource_spec=spec)
    assert asked.resources == Resources(2, 2 * GI, num_of_gpus=3)
    assert list(asked.passed_over) == ["resource_spec.site-1.process.gpu_type"]


def test_a_launcher_of_processes_has_its_resources_from_its_own_part() -> None:
    spec = {"site-1": {"process": {"num_of_gpus": 1, "mem_per_gpu_in_GiB": 8}, "docker": {"image": "job:1"}}}
    asked = request(mode="process", resource_spec=spec)
    assert asked.resources.num_of_gpus == 1
    assert list(asked.passed_over) == ["resource_spec.site-1.docker"]


@pytest.mark.parametrize(("key", "value"), [("image", "job:1"), ("shm_size", "8g"), ("privileged", True), ("env", {})])
def test_what_a_launcher_should_do_is_no_resource_and_refused_with_the_place_for_it(key: str, value: Any) -> None:
    words = refusal(resource_spec={"site-1": {key: value}})
    assert words.startswith(f"job job-1: resource_spec.site-1.{key}: is no resource; it belongs to launcher_spec")


def test_what_an_older_part_says_otherwise_than_a_newer_one_is_passed_over_and_that_is_said() -> None:
    older = {"site-1": {"docker": {"num_of_gpus": 2, "image": "job:1", "shm_size": "1g"}}}
    newer = {"default": {"docker": {"num_of_gpus": 1}}, "site-1": {"docker": {"image": "job:1"}}}
    asked = request(resource_spec=older, launcher_spec=newer)
    assert asked.resources == Resources(num_of_gpus=1, shm_size=GI)
    why = "launcher_spec.default.docker.num_of_gpus says it, too"
    assert asked.passed_over == {"resource_spec.site-1.docker.num_of_gpus": why}


def test_what_a_sites_part_says_otherwise_than_its_part_for_processes_is_passed_over_and_that_is_said() -> None:
    asked = request(resource_spec={"@default": {}, "site-1": {"num_of_gpus": 2, "process": {"num_of_gpus": 1}}})
    assert asked.resources.num_of_gpus == 1
    why = "resource_spec.site-1.process.num_of_gpus says it, too"
    assert asked.passed_over == {"resource_spec.site-1.num_of_gpus": why}


@pytest.mark.parametrize(
    ("section", "name", "meant"),
    [
        ("resource_spec", "default", "@default"),
        ("resource_spec", "@ALL", "@default"),
        ("launcher_spec", "@default", "default"),
        ("launcher_spec", "defaults", "default"),
        ("launcher_spec", "@all", "default"),
    ],
)
def test_what_is_almost_for_all_sites_is_passed_over_as_another_sites_and_that_is_said(
    section: str, name: str, meant: str
) -> None:
    meta: dict[str, Any] = {section: {name: {"docker": {"image": "x"}}}}
    asked = request(**meta)
    assert asked.passed_over == {f"{section}.{name}": f"for a site of this name; for all sites it is '{meant}'"}


def test_the_parts_of_other_sites_are_nobody_elses_business_and_not_told() -> None:
    assert request(resource_spec={"site-2": {"gpu": 1}}, launcher_spec={"site-2": {"slurm": {}}}).passed_over == {}


def test_whether_there_is_an_image_is_known_whatever_is_passed_over() -> None:
    meta = {"job_id": "j", "resource_spec": {"site-1": {"gpu": 1, "docker": {"image": "job:1"}}}}
    assert names_image(meta, "site-1", SitePolicy(images=(ImageRule.parse("*"),)))


@pytest.mark.parametrize(
    ("meta", "path"),
    [
        ({"launcher_spec": {"site-1": {"process": {"image": "job:1"}}}}, "launcher_spec.site-1.process.image"),
        ({"deploy_map": {"app": [{"sites": ["@ALL"], "image": "job:1"}]}}, "deploy_map.app[0].image"),
    ],
)
def test_an_image_is_passed_over_where_jobs_run_without_one_and_that_is_said(meta: dict[str, Any], path: str) -> None:
    asked = request(SitePolicy(images=None), "process", **meta)
    assert (asked.image, asked.passed_over) == (None, {path: "this launcher runs jobs without an image"})


# --- options of a container ---


def test_an_option_of_the_sites_is_granted_where_it_is_what_the_site_has() -> None:
    old = {"site-1": {"docker": {"ipc_mode": "host", "privileged": False, "image": "job:1"}}}
    site = SitePolicy(images=(ImageRule.parse("*"),), options={"ipc_mode": "host", "privileged": False})
    assert request(site, launcher_spec=old).image == "job:1"


@pytest.mark.parametrize(
    ("key", "value"), [("ipc_mode", "host"), ("privileged", 0), ("privileged", True), ("user", "0")]
)
def test_an_option_of_the_sites_is_refused_where_the_site_has_another(key: str, value: Any) -> None:
    site = SitePolicy(image="site:1", options={"ipc_mode": "", "privileged": False})
    with pytest.raises(JobRejectedError, match=f"no job may ask for it, only a site \\('{key}'\\)"):
        request(site, launcher_spec={"default": {"docker": {key: value}}})


# --- disk ---


def test_a_job_says_how_much_its_folder_may_hold_in_the_resources_of_the_site() -> None:
    site = SitePolicy(image="site:1", limits=Resources(disk=10 * GI), defaults=Resources(disk=GI))
    assert request(site, resource_spec={"site-1": {"disk": "5Gi"}}).resources.disk == 5 * GI
    assert request(site).resources.disk == GI


def test_a_job_that_says_nothing_may_fill_its_folder_up_to_the_sites_limit() -> None:
    assert request(SitePolicy(image="site:1", limits=Resources(disk=10 * GI))).resources.disk == 10 * GI
    assert request(SitePolicy(image="site:1")).resources.disk is None


def test_more_of_the_disk_than_the_site_allows_is_refused() -> None:
    with pytest.raises(JobRejectedError, match=r"resource_spec.site-1.disk: more than the site's limit of 10Gi"):
        request(SitePolicy(limits=Resources(disk=10 * GI)), resource_spec={"site-1": {"disk": "11Gi"}})
