"""What a job may ask for, and what a site makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from docker.utils import parse_bytes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flcore.errors import JobRejectedError
from launchers.policy.image_reference import ImageRule
from launchers.policy.job_policy import SitePolicy, names_image, resolve
from launchers.policy.resources import Resources, parse_resources
from tests.thoroughness import tries

GI = 1 << 30


def rules(*patterns: str) -> tuple[ImageRule, ...]:
    return tuple(map(ImageRule.parse, patterns))


ANY_IMAGE = SitePolicy(image="site-default", images=rules("*"))
ANY_VARIABLE = SitePolicy(job_env_prefixes=("",))
HUGE = 1 << 4000


def meta(**more: Any) -> dict[str, Any]:
    return {"job_id": "job-1", **more}


def launcher_spec(**spec: Any) -> dict[str, Any]:
    return meta(launcher_spec={"site-1": {"docker": spec}})


def resource_spec(**spec: Any) -> dict[str, Any]:
    return meta(resource_spec={"site-1": spec})


def image_of(job_meta: dict[str, Any], policy: SitePolicy = ANY_IMAGE) -> str | None:
    return resolve(job_meta, "site-1", policy).image


def resources_of(job_meta: dict[str, Any], policy: SitePolicy | None = None) -> Resources:
    return resolve(job_meta, "site-1", policy or SitePolicy()).resources


def refusal(job_meta: Any, policy: SitePolicy | None = None) -> str:
    with pytest.raises(JobRejectedError) as caught:
        resolve(job_meta, "site-1", policy or SitePolicy())
    return str(caught.value)


# --- where the image comes from ---

EVERYWHERE: dict[str, Any] = meta(
    launcher_spec={"default": {"docker": {"image": "by-default"}}, "site-1": {"docker": {"image": "by-site"}}},
    resource_spec={"site-1": {"docker": {"image": "by-legacy"}}},
    deploy_map={"app": [{"sites": ["site-1"], "image": "by-deployment"}]},
)


def without(*paths: str) -> dict[str, Any]:
    job_meta: dict[str, Any] = json.loads(json.dumps(EVERYWHERE))
    for path in paths:
        place = job_meta
        *parents, last = path.split("/")
        for parent in parents:
            place = place[parent]
        del place[last]
    return job_meta


BY_SITE, BY_DEFAULT, BY_LEGACY = "launcher_spec/site-1", "launcher_spec/default", "resource_spec/site-1"


@pytest.mark.parametrize(
    ("job_meta", "image"),
    [
        (without(), "by-site"),
        (without(BY_SITE), "by-default"),
        (without(BY_SITE, BY_DEFAULT), "by-legacy"),
        (without(BY_SITE, BY_DEFAULT, BY_LEGACY), "by-deployment"),
        (without(BY_SITE, BY_DEFAULT, BY_LEGACY, "deploy_map"), "site-default"),
    ],
)
def test_the_first_place_that_names_an_image_wins(job_meta: dict[str, Any], image: str) -> None:
    assert image_of(job_meta) == image


@pytest.mark.parametrize("nothing", [{}, {"env": {}}, {"image": None}])
def test_a_place_that_names_no_image_is_passed_over(nothing: dict[str, Any]) -> None:
    job_meta = without(BY_DEFAULT)
    job_meta["launcher_spec"]["site-1"]["docker"] = nothing
    assert image_of(job_meta) == "by-legacy"


def test_what_a_sites_own_spec_does_not_say_the_default_says_key_by_key() -> None:
    default = {"image": "by-default", "env": {"A": "default"}, "shm_size": "1Gi"}
    job_meta = meta(launcher_spec={"default": {"docker": default}, "site-1": {"docker": {"env": {"B": "own"}}}})
    request = resolve(job_meta, "site-1", SitePolicy(images=rules("*"), job_env_prefixes=("",)))
    assert (request.image, request.resources, request.env) == ("by-default", Resources(shm_size=GI), {"B": "own"})


def test_specs_of_other_sites_and_other_kinds_of_launcher_do_not_count() -> None:
    specs = {"site-2": {"docker": {"image": "other"}}, "site-1": {"k8s": {"image": "other", "anything": 1}}}
    assert image_of(meta(launcher_spec=specs)) == "site-default"


def test_an_entry_of_the_deploy_map_for_all_sites_covers_this_one() -> None:
    assert image_of(meta(deploy_map={"app": [{"sites": ["@ALL"], "image": "for-all"}]})) == "for-all"


def test_a_site_is_never_found_inside_the_name_of_another() -> None:
    deploy_map = {"app": [{"sites": ["site-10", "my-site-1"], "image": "other"}]}
    assert image_of(meta(deploy_map=deploy_map)) == "site-default"


def test_sites_that_are_a_string_are_refused() -> None:
    assert "must be a list, got 'site-10'" in refusal(meta(deploy_map={"app": [{"sites": "site-10", "image": "x"}]}))


def test_of_several_entries_the_first_with_an_image_counts() -> None:
    entries: list[Any] = ["site-1", {"sites": ["site-1"]}, {"sites": ["site-1"], "image": "job:a"}, {"sites": ["@ALL"]}]
    assert image_of(meta(deploy_map={"app": entries, "app2": [{"sites": ["@ALL"], "image": "job:b"}]})) == "job:a"


def test_without_any_image_the_request_has_none() -> None:
    assert image_of(meta(), SitePolicy()) is None


@pytest.mark.parametrize(
    ("job_meta", "policy", "there_is_one"),
    [
        (meta(), SitePolicy(), False),
        (meta(), SitePolicy(image="mine"), True),
        (launcher_spec(image="not-allowed"), SitePolicy(), True),
        (launcher_spec(env={}), SitePolicy(images=rules("*")), False),
    ],
)
def test_it_is_known_whether_there_is_an_image(
    job_meta: dict[str, Any], policy: SitePolicy, there_is_one: bool
) -> None:
    assert names_image(job_meta, "site-1", policy) is there_is_one


def test_another_kind_of_launcher_reads_its_own_specs() -> None:
    job_meta = meta(launcher_spec={"site-1": {"process": {"env": {"A": "1"}}, "docker": {"image": "x"}}})
    assert resolve(job_meta, "site-1", ANY_VARIABLE, "process").env == {"A": "1"}


# --- which images are allowed ---


@pytest.mark.parametrize(
    ("image", "pattern"),
    [
        ("job:1", "job:1"),
        ("job:1", "job:*"),
        ("registry.example:5000/team/job:1", "registry.example:5000/team/*"),
        ("job@sha256:" + "0" * 64, "job@sha256:" + "0" * 64),
    ],
)
def test_an_image_on_the_sites_list_is_allowed(image: str, pattern: str) -> None:
    assert image_of(launcher_spec(image=image), SitePolicy(images=rules("other", pattern))) == image


def test_the_sites_own_image_is_always_allowed() -> None:
    assert image_of(launcher_spec(image="mine:1"), SitePolicy(image="mine:1")) == "mine:1"


@pytest.mark.parametrize(("image", "pattern"), [("job:2", "job:1"), ("Job:1", "job:*"), ("a/job:1", "job:*")])
def test_an_image_that_is_not_on_the_list_is_refused(image: str, pattern: str) -> None:
    assert refusal(launcher_spec(image=image), SitePolicy(images=rules(pattern)))


def test_a_refusal_names_the_job_the_path_the_value_and_the_sites_key() -> None:
    words = refusal(launcher_spec(image="evil:1"))
    for part in ("job job-1", "launcher_spec.site-1.docker.image", "site-1", "'images'", "'evil:1'"):
        assert part in words


@pytest.mark.parametrize(
    ("job_meta", "path"),
    [
        (without(), "launcher_spec.site-1.docker.image"),
        (without(BY_SITE), "launcher_spec.default.docker.image"),
        (without(BY_SITE, BY_DEFAULT), "resource_spec.site-1.docker.image"),
        (without(BY_SITE, BY_DEFAULT, BY_LEGACY), "deploy_map.app[0].image"),
    ],
)
def test_a_refusal_names_the_place_that_the_image_came_from(job_meta: dict[str, Any], path: str) -> None:
    assert f" {path}: " in refusal(job_meta)


def test_a_long_value_is_cut() -> None:
    assert len(refusal(launcher_spec(image="x" * 5000))) < 400


@pytest.mark.parametrize("image", ["0123456789ab", "f" * 64, "cafe", "a", "sha256:" + "0" * 64, "sha256:0123"])
def test_an_image_id_is_refused_for_it_could_be_any_local_image(image: str) -> None:
    assert "must be the name of an image" in refusal(launcher_spec(image=image), ANY_IMAGE)


@pytest.mark.parametrize(
    "image",
    ["", " job", "job ", "job 1", "-job", "a\0b", "jöb", "\uff4aob", "job\n", "--privileged", "x" * 256, "\ud800"],
)
def test_what_is_no_name_of_an_image_is_refused(image: str) -> None:
    assert refusal(launcher_spec(image=image), ANY_IMAGE)


@pytest.mark.parametrize("image", [True, 1, ["job"], {"job": 1}, 1.5])
def test_an_image_that_is_no_string_is_refused(image: Any) -> None:
    assert refusal(launcher_spec(image=image), ANY_IMAGE)
    assert refusal(meta(deploy_map={"app": [{"sites": ["@ALL"], "image": image}]}), ANY_IMAGE)


# --- resources ---


def test_a_job_gets_what_it_asks_for_within_the_limits() -> None:
    job_meta = resource_spec(num_of_cpus=1.5, memory="512Mi", docker={"shm_size": "64Mi"})
    policy = SitePolicy(limits=Resources(num_of_cpus=2, memory=GI, shm_size=GI))
    assert resources_of(job_meta, policy) == Resources(1.5, 512 << 20, 64 << 20)


def test_a_job_that_asks_for_nothing_gets_the_sites_defaults() -> None:
    policy = SitePolicy(limits=Resources(4, 4 * GI, GI), defaults=Resources(num_of_cpus=1, memory=GI))
    assert resources_of(meta(), policy) == Resources(1, GI, GI)  # and the limit where there is no default


def test_without_a_word_from_anybody_nothing_is_said() -> None:
    assert resources_of(meta()) == Resources(None, None, None)
    assert resources_of(resource_spec(num_of_cpus=None, memory=None)) == Resources()


@pytest.mark.parametrize(
    ("job_meta", "path"),
    [
        (resource_spec(num_of_cpus=3), "resource_spec.site-1.num_of_cpus"),
        (resource_spec(memory="2Gi"), "resource_spec.site-1.memory"),
        (launcher_spec(shm_size="2Gi"), "launcher_spec.site-1.docker.shm_size"),
    ],
)
def test_more_than_the_limit_is_refused_by_its_path(job_meta: dict[str, Any], path: str) -> None:
    words = refusal(job_meta, SitePolicy(limits=Resources(2, GI, GI)))
    assert f" {path}: more than the site's limit" in words
    assert "'limits'" in words


@pytest.mark.parametrize("at_most", [2, 2.0])
def test_as_much_as_the_limit_is_allowed(at_most: float) -> None:
    assert resources_of(resource_spec(num_of_cpus=at_most), SitePolicy(limits=Resources(2))).num_of_cpus == 2


@pytest.mark.parametrize(
    "cpus", [True, "2", [2], {}, 0, -1, 0.001, 4097, HUGE, float("nan"), float("inf"), -float("inf")]
)
def test_a_number_of_processors_is_a_positive_number_and_nothing_like_one(cpus: Any) -> None:
    assert "resource_spec.site-1.num_of_cpus: must be a number of processors" in refusal(
        resource_spec(num_of_cpus=cpus)
    )


@pytest.mark.parametrize(
    "memory",
    [
        True,
        1000000000.0,
        [],
        {},
        0,
        -1,
        6 * (1 << 20) - 1,
        HUGE,
        float("nan"),
        "",
        "1e9",
        " 64Mi",
        "64Mi ",
        "64m",
        "64mi",
        "-64Mi",
        "0Mi",
        "\uff11\uff12\uff18Mi",
        "64 Mi",
        "64Mi\n",
        "1.5Gi",
        "9" * 15 + "Ti",
    ],
)
def test_memory_is_bytes_or_a_text_with_a_binary_unit_and_nothing_like_it(memory: Any) -> None:
    assert " resource_spec.site-1.memory: must be " in refusal(resource_spec(memory=memory))


SHM_SITE = SitePolicy(limits=Resources(shm_size=16 * GI), defaults=Resources(shm_size=3 * GI))


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        *(("8g", 8 * GI), ("8G", 8 * GI), ("8gb", 8 * GI), ("8GB", 8 * GI), ("512MB", GI // 2), ("1.5g", 3 * GI // 2)),
        *(("1024b", 1024), ("1024", 1024), ("08k", 8 << 10), ("2.5KB", 2560), (4096, 4096)),
        *(("8Gi", 8 * GI), ("64Mi", 64 << 20)),
    ],
)
def test_shared_memory_is_understood_as_nvidia_flare_and_docker_write_it(asked: Any, size: int) -> None:
    assert resources_of(launcher_spec(shm_size=asked), SHM_SITE).shm_size == (size or 3 * GI)


@pytest.mark.parametrize("number", ["1", "7", "512", "1.5", "0.25", "12.125"])
@pytest.mark.parametrize("unit", ["b", "B", "k", "K", "kb", "KB", "m", "mB", "M", "g", "G", "gb", "Gb", "GB"])
def test_a_size_is_as_many_bytes_as_for_dockers_own_sdk(number: str, unit: str) -> None:
    size = parse_bytes(number + unit)
    assert resources_of(launcher_spec(shm_size=number + unit)).shm_size == (size or None)


@pytest.mark.parametrize("nothing", [0, "0", "0g", "0.0MB", "0.5b"])
def test_no_shared_memory_is_dockers_word_for_what_jobs_get_that_do_not_ask(nothing: Any) -> None:
    spec = {"default": {"docker": {"shm_size": "8g"}}, "site-1": {"docker": {"shm_size": nothing}}}
    assert resources_of(meta(launcher_spec=spec), SHM_SITE).shm_size == 3 * GI
    assert resources_of(launcher_spec(shm_size=nothing)).shm_size is None


@pytest.mark.parametrize(
    "bad", ["", "g", "1.g", ".5g", "1,5g", "-1g", "8 g", "8gib", "8g\n", "\uff18g", "8kk", "1e3", "9" * 25]
)
def test_what_is_no_size_of_shared_memory_is_refused(bad: str) -> None:
    assert " launcher_spec.site-1.docker.shm_size: must be " in refusal(launcher_spec(shm_size=bad))


@pytest.mark.parametrize("place", [resource_spec, launcher_spec])
@pytest.mark.parametrize("gpus", [1, 8, -1, True, "1", "0", 1.0, [], HUGE])
def test_gpus_are_refused(place: Any, gpus: Any) -> None:
    assert "num_of_gpus" in refusal(place(num_of_gpus=gpus))


@pytest.mark.parametrize("place", [resource_spec, launcher_spec])
@pytest.mark.parametrize("none", [0, None])
def test_a_job_may_ask_for_no_gpu(place: Any, none: Any) -> None:
    assert not resources_of(place(num_of_gpus=none)).num_of_gpus


def test_gpus_hidden_behind_another_place_are_refused_too() -> None:
    job_meta = meta(
        resource_spec={"site-1": {"num_of_gpus": 1}}, launcher_spec={"site-1": {"docker": {"num_of_gpus": 0}}}
    )
    assert "resource_spec.site-1.num_of_gpus" in refusal(job_meta)


FOUR_GPUS = SitePolicy(gpus=4, gpu_memory=80 * GI)


@pytest.mark.parametrize("place", [resource_spec, launcher_spec])
@pytest.mark.parametrize("policy", [FOUR_GPUS, SitePolicy(gpus=None)], ids=["four", "found-later"])
def test_a_job_may_have_as_many_gpus_as_the_site_has(place: Any, policy: SitePolicy) -> None:
    assert resources_of(place(num_of_gpus=4), policy).num_of_gpus == 4


def test_a_job_that_asks_for_no_gpu_gets_none_or_the_sites_default_never_the_limit() -> None:
    limits = Resources(num_of_gpus=2)
    assert resources_of(meta(), SitePolicy(gpus=4, limits=limits)).num_of_gpus is None
    one = SitePolicy(gpus=4, limits=limits, defaults=Resources(num_of_gpus=1))
    assert (resources_of(meta(), one).num_of_gpus, resources_of(launcher_spec(num_of_gpus=0), one).num_of_gpus) == (
        1,
        0,
    )


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (SitePolicy(), "this site offers no GPUs ('gpu_ids'), got 5"),
        (FOUR_GPUS, "more than the 4 GPUs of this site ('gpu_ids'), got 5"),
        (SitePolicy(gpus=8, limits=Resources(num_of_gpus=2)), "more than the site's limit of 2 ('limits'), got 5"),
        (SitePolicy(gpus=None, limits=Resources(num_of_gpus=2)), "more than the site's limit of 2 ('limits'), got 5"),
    ],
    ids=["none", "few", "limited", "found-later"],
)
def test_more_gpus_than_a_site_offers_are_refused_with_the_key(policy: SitePolicy, words: str) -> None:
    assert refusal(resource_spec(num_of_gpus=5), policy) == f"job job-1: resource_spec.site-1.num_of_gpus: {words}"


def test_a_limit_of_a_size_is_told_as_the_config_says_it() -> None:
    words = "more than the site's limit of 256Mi ('limits'), got '1Gi'"
    told = refusal(resource_spec(memory="1Gi"), SitePolicy(limits=Resources(memory=256 << 20)))
    assert told == f"job job-1: resource_spec.site-1.memory: {words}"


NO_SIZES: list[Any] = [-1, True, "8", [], HUGE, float("nan")]


@pytest.mark.parametrize("asked", [0, 80, 79.5, None])
def test_a_gpu_has_the_memory_that_a_job_asks_for(asked: Any) -> None:
    assert resources_of(resource_spec(num_of_gpus=1, mem_per_gpu_in_GiB=asked), FOUR_GPUS).num_of_gpus == 1


@pytest.mark.parametrize(
    ("asked", "policy", "words"),
    [
        (81, FOUR_GPUS, "more than this site's GPUs have ('gpu_memory')"),
        (1, SitePolicy(gpus=4), "this site does not say how much its GPUs have ('gpu_memory')"),
        *((bad, FOUR_GPUS, "must be a number of GiB") for bad in NO_SIZES),
    ],
)
def test_memory_of_a_gpu_that_cannot_be_had_is_refused(asked: Any, policy: SitePolicy, words: str) -> None:
    job_meta = resource_spec(num_of_gpus=1, mem_per_gpu_in_GiB=asked)
    assert f"resource_spec.site-1.mem_per_gpu_in_GiB: {words}, got" in refusal(job_meta, policy)


def test_memory_of_no_gpu_is_had_by_every_job() -> None:
    assert resources_of(resource_spec(mem_per_gpu_in_GiB=8)) == Resources()


@pytest.mark.parametrize("name", ["NVIDIA_VISIBLE_DEVICES", "nvidia_mig_config_devices", "CUDA_VISIBLE_DEVICES"])
def test_a_job_may_not_say_which_gpus_it_sees(name: str) -> None:
    assert "a job may not set this variable" in refusal(launcher_spec(env={name: "all"}), ANY_VARIABLE)


# --- environment ---


def test_variables_with_an_allowed_prefix_are_given() -> None:
    policy = SitePolicy(job_env_prefixes=("MY_", "EPOCHS"))
    assert resolve(launcher_spec(env={"MY_A": "1", "EPOCHS": ""}), "site-1", policy).env == {"MY_A": "1", "EPOCHS": ""}


@pytest.mark.parametrize("name", ["OTHER", "my_a", "A_MY_"])
def test_variables_without_an_allowed_prefix_are_refused(name: str) -> None:
    words = refusal(launcher_spec(env={name: "1"}), SitePolicy(job_env_prefixes=("MY_",)))
    assert "launcher_spec.site-1.docker.env" in words
    assert "'job_env_prefixes'" in words


def test_a_site_that_allows_no_prefix_allows_no_variable() -> None:
    assert "'job_env_prefixes'" in refusal(launcher_spec(env={"A": "1"}))


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD",
        "PATH",
        "PYTHONPATH",
        "http_proxy",
        "HTTPS_PROXY",
        "DOCKER_HOST",
        "NVFLARE_JOB_SSID",
        "HOME",
        "IFS",
        "FLCORE_DATASET_X",
        "Path",
        "pythonstartup",
    ],
)
def test_reserved_variables_are_refused_whatever_the_prefixes(name: str) -> None:
    assert "may not set this variable" in refusal(launcher_spec(env={name: "1"}), ANY_VARIABLE)


@pytest.mark.parametrize("name", ["", "A=B", "A B", "1A", "A\0", "A\n", "Ä", "A" * 129, 1, None, True, ("A",)])
def test_what_is_no_name_of_a_variable_is_refused(name: Any) -> None:
    assert refusal(launcher_spec(env={name: "1"}), ANY_VARIABLE)


@pytest.mark.parametrize("value", [1, True, None, ["1"], {"A": "1"}, "a\0b", "\ud800"])
def test_a_value_that_is_no_proper_string_is_refused(value: Any) -> None:
    assert refusal(launcher_spec(env={"A": value}), ANY_VARIABLE)


def test_nothing_in_a_value_is_expanded() -> None:
    value = "$HOME ${PATH} `id` %(x)s"
    assert resolve(launcher_spec(env={"A": value}), "site-1", ANY_VARIABLE).env == {"A": value}


@pytest.mark.parametrize("env", [[], "A=1", 1, True])
def test_an_environment_that_is_no_object_is_refused(env: Any) -> None:
    assert "env: must be an object" in refusal(launcher_spec(env=env), ANY_VARIABLE)


# --- what is not known ---


@pytest.mark.parametrize(
    ("job_meta", "path"),
    [
        (launcher_spec(volumes=["/:/host"]), "launcher_spec.site-1.docker.volumes"),
        (meta(launcher_spec={"default": {"docker": {"devices": []}}}), "launcher_spec.default.docker.devices"),
        (resource_spec(docker={"network_mode": "host"}), "resource_spec.site-1.docker.network_mode"),
        (meta(deploy_map={"app": [{"sites": ["@ALL"], "user": "0"}]}), "deploy_map.app[0].user"),
    ],
)
def test_an_unknown_key_is_refused_by_its_path(job_meta: dict[str, Any], path: str) -> None:
    assert f" {path}: unknown key" in refusal(job_meta)


@pytest.mark.parametrize(
    ("job_meta", "path"),
    [
        (launcher_spec(ipc_mode="host"), "launcher_spec.site-1.docker.ipc_mode"),
        (meta(launcher_spec={"default": {"docker": {"user": "0"}}}), "launcher_spec.default.docker.user"),
        (resource_spec(docker={"network": "host"}), "resource_spec.site-1.docker.network"),
    ],
)
def test_what_only_a_site_may_set_is_refused_with_the_sites_key(job_meta: dict[str, Any], path: str) -> None:
    key = path.rpartition(".")[2]
    assert f" {path}: no job may ask for it, only a site ('{key}'), got" in refusal(job_meta)


def test_a_hidden_unknown_key_is_refused_though_a_stronger_place_has_the_word() -> None:
    specs = {"default": {"docker": {"privileged": True}}, "site-1": {"docker": {"image": "x"}}}
    assert "launcher_spec.default.docker.privileged" in refusal(meta(launcher_spec=specs), ANY_IMAGE)
    legacy = meta(launcher_spec={"site-1": {"docker": {"image": "x"}}}, resource_spec={"site-1": {"docker": {"a": 1}}})
    assert "resource_spec.site-1.docker.a" in refusal(legacy, ANY_IMAGE)


@pytest.mark.parametrize("job_id", [None, "", 1, True, "a/b", "../a", ".", "-a", "a" * 129, "ä", "a\n", ["a"]])
def test_an_id_that_is_no_identifier_is_refused(job_id: Any) -> None:
    assert "job_id" in refusal({"job_id": job_id})


@pytest.mark.parametrize("job_meta", [None, [], "job-1", 1, [{"job_id": "job-1"}]])
def test_metadata_that_are_no_object_are_refused(job_meta: Any) -> None:
    assert "must be an object" in refusal(job_meta)
    with pytest.raises(JobRejectedError):
        names_image(job_meta, "site-1", SitePolicy())


def test_metadata_that_are_nested_too_deep_are_refused() -> None:
    deep: Any = "image"
    for _ in range(10_000):
        deep = [deep]
    assert "nested deeper" in refusal(launcher_spec(image=deep))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(HUGE)
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["@ALL", "site-1", "job:1", "2Gi"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "site-1",
                    "default",
                    "docker",
                    "image",
                    "env",
                    "shm_size",
                    "num_of_gpus",
                    "num_of_cpus",
                    "memory",
                    "sites",
                    "app",
                    "A",
                ]
            )
            | st.text(st.characters(), max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
metadata = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("job_id", "launcher_spec", "resource_spec", "deploy_map"), json_values)
)
almost_right = st.fixed_dictionaries(
    {"job_id": st.just("job-1")},
    optional={
        "launcher_spec": st.dictionaries(
            st.sampled_from(["site-1", "default"]),
            st.fixed_dictionaries(
                {"docker": st.dictionaries(st.sampled_from(["image", "env", "shm_size", "num_of_gpus"]), json_values)}
            ),
        ),
        "resource_spec": st.fixed_dictionaries(
            {
                "site-1": st.dictionaries(
                    st.sampled_from(["num_of_cpus", "memory", "docker", "num_of_gpus"]), json_values
                )
            }
        ),
        "deploy_map": st.dictionaries(st.just("app"), st.lists(json_values, max_size=3)),
    },
)


@settings(max_examples=tries(60), deadline=None)
@given(json_values | metadata | almost_right)
@example({"job_id": {}})
@example({"job_id": "job-1", "deploy_map": {"app": [[]]}})
def test_any_metadata_give_a_request_or_a_refusal_and_no_other_error(job_meta: Any) -> None:
    policy = SitePolicy("mine", rules("*"), ("",), limits=Resources(4, GI, GI))
    try:
        request = resolve(job_meta, "site-1", policy)
    except JobRejectedError:
        return
    assert isinstance(request.image, str)
    assert all(isinstance(text, str) for pair in request.env.items() for text in pair)
    assert (request.resources.memory or 0) <= GI


# --- what the site itself says ---


def test_a_sites_limits_are_read() -> None:
    config = {"num_of_cpus": 2, "memory": "4Gi", "shm_size": None}
    assert parse_resources(config) == Resources(2.0, 4 * GI, None)
    assert parse_resources({}) == Resources()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cpus": 2}, "unknown key 'cpus'; known are num_of_cpus, memory, shm_size"),
        ({"memory": "4GB"}, "memory: must be a number of bytes"),
        ({"memory": 1}, "memory: must be at least 6Mi"),
        ({"num_of_cpus": "2"}, "num_of_cpus: must be a number of processors"),
        ({"shm_size": 0}, "shm_size: must be at least 1 bytes"),
    ],
)
def test_a_wrong_limit_is_named_by_its_key(config: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_resources(config)
